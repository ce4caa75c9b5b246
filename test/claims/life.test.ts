/** The life of a claim, from its making to its end, with the controller as it runs, over an API server in memory. */
import test from 'ava';
import { claimPath, condition, Rig } from './rig.ts';

const GAMES = { pools: [{ start: 7000, end: 7002 }] };

test('a claim of a class gets a host port, and says which one', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', GAMES);
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  const replica = rig.start('a');
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  await rig.until(() => rig.hostPort('hp-7000')?.status?.phase === 'Allocated');
  t.like(rig.claim('shop', 'web').status, {
    hostPortName: 'hp-7000',
    port: 7000,
    protocols: ['TCP', 'UDP'],
    handover: 'OnReady',
    observedGeneration: 1,
  });
  t.like(condition(rig.claim('shop', 'web'), 'Bound'), { status: 'True', reason: 'Bound' });
  t.deepEqual(rig.hostPort('hp-7000').spec, {
    hostPortClassName: 'games',
    claimRef: { namespace: 'shop', name: 'web', uid: rig.claim('shop', 'web').metadata.uid },
  });
  for (const object of [rig.claim('shop', 'web'), rig.hostPort('hp-7000'), rig.class('games')]) {
    t.deepEqual(object.metadata.finalizers, ['berth.dev/hostport']);
  }
  await rig.until(() => rig.class('games').status?.allocated === 1);
  t.is(rig.class('games').status.ports, 3);
  t.deepEqual(replica.news('Bound'), ['HostPortClaim web: bound to HostPort hp-7000 of HostPortClass games']);
  t.deepEqual(replica.failures, []);
});

test('a claim that is deleted gives its host port back, and the number goes to the next one', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', GAMES);
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  rig.start('a');
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.claim('shop', 'web') === undefined && rig.hostPort('hp-7000') === undefined);
  rig.createClaim('shop', 'other', { hostPortClassName: 'games' });
  await rig.until(() => rig.claim('shop', 'other').status?.port === 7000);
  t.is(rig.hostPorts().length, 1);
});
