/** Claims for the pods of StatefulSets. */
import test from 'ava';
import { claimPath, Rig, type Thing } from './rig.ts';

const SETS = '/apis/apps/v1/namespaces/shop/statefulsets';

function started(): Rig {
  const rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', { pools: [{ start: 7000, end: 7009 }] });
  rig.start('a');
  return rig;
}

function createSet(rig: Rig, replicas: number, annotations: object, more: object = {}): Thing {
  const spec = { replicas, template: { metadata: { annotations } }, ...more };
  return rig.ask('POST', SETS, { metadata: { name: 'arena' }, spec });
}

const names = (rig: Rig) => rig.claims().map(({ metadata }) => metadata.name);

test('a StatefulSet gets a claim for each of its pods, which is its own and outlives scaling down', async (t) => {
  await using rig = started();
  const { uid } = createSet(rig, 2, { 'claim-template.berth.dev/game': 'games', other: 'x' }).metadata;
  await rig.until(() => rig.phase('shop', 'game-arena-0') === 'Bound' && rig.phase('shop', 'game-arena-1') === 'Bound');
  t.deepEqual(rig.claim('shop', 'game-arena-0').metadata.ownerReferences, [
    { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'arena', uid, controller: true },
  ]);
  rig.patch(`${SETS}/arena`, { spec: { replicas: 3 } });
  await rig.until(() => rig.phase('shop', 'game-arena-2') === 'Bound');
  rig.patch(`${SETS}/arena`, { spec: { replicas: 0 } });
  await rig.run(60_000);
  t.deepEqual(names(rig), ['game-arena-0', 'game-arena-1', 'game-arena-2']);
});

test('ordinals begin where the StatefulSet says', async (t) => {
  await using rig = started();
  createSet(rig, 2, { 'claim-template.berth.dev/game': 'games' }, { ordinals: { start: 5 } });
  await rig.until(() => rig.claims().length === 2);
  await rig.run(10_000);
  t.deepEqual(names(rig), ['game-arena-5', 'game-arena-6']);
});

test('a claim that is not its own, or of another class, is reported once and left as it is', async (t) => {
  await using rig = started();
  rig.createClass('other', { pools: [{ start: 9000, end: 9009 }] });
  rig.createClaim('shop', 'game-arena-0', { hostPortClassName: 'games' });
  createSet(rig, 2, { 'claim-template.berth.dev/game': 'games' });
  await rig.until(() => rig.phase('shop', 'game-arena-1') === 'Bound');
  rig.patch(`${SETS}/arena`, {
    spec: { template: { metadata: { annotations: { 'claim-template.berth.dev/game': 'other' } } } },
  });
  await rig.run(60_000);
  const [replica] = rig.replicas;
  t.deepEqual(replica?.news('ClaimNotOwned').length, 1);
  t.deepEqual(replica?.news('ClaimOfAnotherClass').length, 1);
  t.is(rig.claim('shop', 'game-arena-0').metadata.ownerReferences, undefined);
  t.is(rig.claim('shop', 'game-arena-1').spec.hostPortClassName, 'games');
});

test('a template that can be nobody\u2019s claim is reported', async (t) => {
  await using rig = started();
  createSet(rig, 1, { 'claim-template.berth.dev/No_Name': 'games', 'claim-template.berth.dev/web': '' });
  const [replica] = rig.replicas;
  await rig.until(() => replica?.news('InvalidClaimTemplate').length === 2);
  t.deepEqual(names(rig), []);
});

test('pods that came after a claim was deleted do not hold it: the next one gets a number for them', async (t) => {
  await using rig = started();
  createSet(rig, 1, { 'claim-template.berth.dev/game': 'games' });
  await rig.until(() => rig.phase('shop', 'game-arena-0') === 'Bound');
  const annotations = { 'claim-template.berth.dev/game': 'games' };
  rig.createPod('shop', 'arena-0', annotations);
  const { uid } = rig.claim('shop', 'game-arena-0').metadata;
  rig.ask('DELETE', claimPath('shop', 'game-arena-0'));
  await rig.until(() => rig.claim('shop', 'game-arena-0').status.heldBy?.length === 1);
  // As the StatefulSet's own controller does, at once.
  rig.ask('DELETE', '/api/v1/namespaces/shop/pods/arena-0');
  rig.createPod('shop', 'arena-0', annotations);
  rig.replicas[0]?.kill();
  rig.start('next');
  await rig.until(() => rig.claim('shop', 'game-arena-0')?.metadata.uid !== uid);
  await rig.until(() => rig.phase('shop', 'game-arena-0') === 'Bound');
  t.pass();
});

test('neither do pods that came while no controller ran, unless they have the number', async (t) => {
  await using rig = started();
  createSet(rig, 2, { 'claim-template.berth.dev/game': 'games' });
  await rig.until(() => rig.phase('shop', 'game-arena-0') === 'Bound' && rig.phase('shop', 'game-arena-1') === 'Bound');
  const annotations = { 'claim-template.berth.dev/game': 'games' };
  const uids = [0, 1].map((ordinal) => rig.claim('shop', `game-arena-${ordinal}`).metadata.uid);
  rig.replicas[0]?.kill();
  for (const ordinal of [0, 1]) rig.ask('DELETE', claimPath('shop', `game-arena-${ordinal}`));
  await rig.run(5_000);
  rig.createPod('shop', 'arena-0', annotations);
  rig.createPod('shop', 'arena-1', { ...annotations, 'port.berth.dev/game': '7001' });
  rig.start('next');
  const isNew = () => ![undefined, uids[0]].includes(rig.claim('shop', 'game-arena-0')?.metadata.uid);
  await rig.until(() => isNew() && rig.phase('shop', 'game-arena-0') === 'Bound');
  await rig.run(60_000);
  t.is(rig.claim('shop', 'game-arena-1').metadata.uid, uids[1]);
  t.is(rig.claim('shop', 'game-arena-1').status.heldBy.length, 1);
});

test('a claim of a StatefulSet that is deleted comes again, with a number', async (t) => {
  await using rig = started();
  createSet(rig, 1, { 'claim-template.berth.dev/game': 'games' });
  await rig.until(() => rig.phase('shop', 'game-arena-0') === 'Bound');
  const { uid } = rig.claim('shop', 'game-arena-0').metadata;
  rig.ask('DELETE', claimPath('shop', 'game-arena-0'));
  await rig.until(
    () => rig.claim('shop', 'game-arena-0')?.metadata.uid !== uid && rig.phase('shop', 'game-arena-0') === 'Bound',
  );
  t.pass();
});

test('the claims of an earlier StatefulSet of the same name are not called somebody else\u2019s while they end', async (t) => {
  await using rig = started();
  const annotations = { 'claim-template.berth.dev/game': 'games' };
  createSet(rig, 2, annotations);
  const isBound = (ordinal: number) => rig.phase('shop', `game-arena-${ordinal}`) === 'Bound';
  await rig.until(() => isBound(0) && isBound(1));
  rig.createPod('shop', 'arena-0', annotations);
  rig.ask('DELETE', `${SETS}/arena`);
  const { uid } = createSet(rig, 2, annotations).metadata;
  await rig.run(2_000);
  // As the garbage collector does.
  for (const name of names(rig)) rig.ask('DELETE', claimPath('shop', name));
  const owner = (ordinal: number) => rig.claim('shop', `game-arena-${ordinal}`)?.metadata.ownerReferences[0].uid;
  await rig.until(() => owner(1) === uid);
  await rig.run(120_000);
  t.not(owner(0), uid, 'its pod has it still');
  t.deepEqual(rig.replicas[0]?.news('ClaimNotOwned'), []);
  rig.ask('DELETE', '/api/v1/namespaces/shop/pods/arena-0');
  await rig.until(() => owner(0) === uid && isBound(0), 70_000);
});

test('I10: a StatefulSet of as many pods as nobody will ever start has a claim for each that gets a number, and few that wait', async (t) => {
  await using rig = started();
  createSet(rig, 2_147_483_647, { 'claim-template.berth.dev/game': 'games' });
  await rig.until(() => rig.hostPorts().length === 10);
  await rig.run(60_000);
  t.is(rig.claims().length, 10 + 20);
});

test('I8: a namespace in which no claim may be made holds up no other', async (t) => {
  await using rig = new Rig();
  rig.createClass('games', { pools: [{ start: 7000, end: 7009 }] });
  for (const name of ['aaa', 'shop']) rig.createNamespace(name);
  rig.start('a', {
    journey: ({ method, path }) => {
      const refused = method === 'POST' && path === claimPath('aaa');
      const fault = { kind: 'status', code: 403, reason: 'Forbidden' } as const;
      return { there: 1, back: 1, ...(refused ? { fault } : {}) };
    },
  });
  const template = { metadata: { annotations: { 'claim-template.berth.dev/game': 'games' } } };
  for (let index = 0; index < 60; index++) {
    const path = '/apis/apps/v1/namespaces/aaa/statefulsets';
    rig.ask('POST', path, { metadata: { name: `full-${index}` }, spec: { replicas: 1_000, template } });
  }
  createSet(rig, 3, { 'claim-template.berth.dev/game': 'games' });
  await rig.until(() => rig.phase('shop', 'game-arena-2') === 'Bound', 60_000);
  t.is(rig.claims().length, 3);
});
