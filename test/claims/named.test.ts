/** Host ports that are named: by a claim, or by an administrator for a claim. Nobody gets what is another's. */
import test from 'ava';
import { claimPath, condition, hostPortPath, Rig, type Thing } from './rig.ts';

const GAMES = { pools: [{ start: 7000, end: 7009 }] };

function started(games: object = GAMES): Rig {
  const rig = new Rig();
  rig.createNamespace('shop');
  rig.createNamespace('evil');
  rig.createClass('games', games);
  rig.createClass('other', { pools: [{ start: 9000, end: 9009 }] });
  rig.start('a');
  return rig;
}

const naming = (hostPortName: string) => ({ hostPortClassName: 'games', hostPortName });

test('a claim that names a number of the pool gets that one', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', naming('hp-7005'));
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  t.is(rig.claim('shop', 'web').status.port, 7005);
});

test('a claim that names the host port of another claim gets nothing, and takes nothing', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.createClaim('evil', 'web', naming('hp-7000'));
  await rig.until(() => rig.reason('evil', 'web') === 'HostPortTaken');
  await rig.run(60_000);
  t.is(rig.phase('evil', 'web'), 'Pending');
  t.is(rig.claim('evil', 'web').status.port, undefined);
  t.is(rig.hostPort('hp-7000').spec.claimRef.namespace, 'shop');
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.phase('evil', 'web') === 'Bound');
});

const REFUSED = [
  ['a number that is in no pool and no HostPort', 'hp-443', 'HostPortMissing'],
  ['what is no name of a host port', 'hpc-web', 'Invalid'],
  ['a number beyond the last port', 'hp-65536', 'Invalid'],
  ['a host port of another class', 'hp-9000', 'ClassMismatch'],
] as const;
for (const [what, name, reason] of REFUSED) {
  test(`a claim that names ${what} is told so`, async (t) => {
    await using rig = started();
    rig.createHostPort('hp-9000', { hostPortClassName: 'other' });
    rig.createClaim('shop', 'web', naming(name));
    await rig.until(() => rig.reason('shop', 'web') === reason);
    t.like(rig.claim('shop', 'web').status, { phase: 'Pending', port: undefined });
    t.is(rig.hostPorts().length, 1);
  });
}

test('a host port outside of every pool, made by an administrator, goes to whoever names it and to nobody else', async (t) => {
  await using rig = started();
  rig.createHostPort('hp-443', { hostPortClassName: 'games' });
  await rig.until(() => rig.hostPort('hp-443').status?.phase === 'Available');
  rig.createClaim('shop', 'any', { hostPortClassName: 'games' });
  rig.createClaim('shop', 'web', naming('hp-443'));
  await rig.until(() => rig.phase('shop', 'web') === 'Bound' && rig.phase('shop', 'any') === 'Bound');
  t.is(rig.claim('shop', 'web').status.port, 443);
  t.is(rig.claim('shop', 'any').status.port, 7000);
});

test('a host port that an administrator keeps for a claim waits for it', async (t) => {
  await using rig = started();
  rig.createHostPort('hp-7000', { hostPortClassName: 'games', claimRef: { namespace: 'shop', name: 'web' } });
  rig.createHostPort('hp-443', { hostPortClassName: 'games', claimRef: { namespace: 'shop', name: 'tls' } });
  rig.createClaim('evil', 'web', naming('hp-7000'));
  rig.createClaim('evil', 'any', { hostPortClassName: 'games' });
  await rig.until(() => rig.reason('evil', 'web') === 'HostPortTaken' && rig.phase('evil', 'any') === 'Bound');
  t.is(rig.claim('evil', 'any').status.port, 7001);
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  rig.createClaim('shop', 'tls', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound' && rig.phase('shop', 'tls') === 'Bound');
  t.is(rig.claim('shop', 'web').status.port, 7000);
  t.is(rig.claim('shop', 'tls').status.port, 443);
  t.is(rig.hostPort('hp-443').spec.claimRef.uid, rig.claim('shop', 'tls').metadata.uid);
});

test('a host port whose name is no number is reported and never used', async (t) => {
  await using rig = started();
  rig.createHostPort('web', { hostPortClassName: 'games', claimRef: { namespace: 'shop', name: 'web' } });
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  await rig.until(() => condition(rig.hostPort('web'), 'Ready')?.reason === 'InvalidName');
  t.is(rig.claim('shop', 'web').status.hostPortName, 'hp-7000');
  rig.ask('DELETE', hostPortPath('web'));
  await rig.until(() => rig.hostPort('web') === undefined);
});

test('a host port that is deleted while its claim is bound stays until the claim is gone', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.ask('DELETE', hostPortPath('hp-7000'));
  await rig.until(() => rig.hostPort('hp-7000').status?.phase === 'Deleting');
  rig.createClaim('shop', 'other', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'other') === 'Bound');
  await rig.run(60_000);
  t.is(rig.claim('shop', 'other').status.port, 7001);
  t.like(rig.claim('shop', 'web').status, { phase: 'Bound', port: 7000 });
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.hostPort('hp-7000') === undefined);
});

test('a host port that nobody has goes when it is deleted', async (t) => {
  await using rig = started();
  rig.createHostPort('hp-7003', { hostPortClassName: 'games' });
  rig.createHostPort('hp-7004', { hostPortClassName: 'games', claimRef: { namespace: 'shop', name: 'later' } });
  await rig.until(() => rig.hostPorts().every((one) => one.metadata.finalizers?.length === 1));
  for (const name of ['hp-7003', 'hp-7004']) rig.ask('DELETE', hostPortPath(name));
  await rig.until(() => rig.hostPorts().length === 0);
  t.pass();
});

test('a bound claim whose host port was removed by force gets it back with the same number', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  const { uid } = rig.hostPort('hp-7000').metadata;
  rig.server.force('hostports', 'hp-7000');
  await rig.until(() => rig.hostPort('hp-7000') !== undefined);
  t.not(rig.hostPort('hp-7000').metadata.uid, uid);
  await rig.run(10_000);
  t.like(rig.claim('shop', 'web').status, { phase: 'Bound', port: 7000 });
  t.is(rig.hostPort('hp-7000').spec.claimRef.uid, rig.claim('shop', 'web').metadata.uid);
  t.is(rig.replicas[0]?.news('HostPortLost').length, 1);
});

test('a host port that is made again is of the class that it was of, whatever the claim\u2019s spec says by now', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.patch(claimPath('shop', 'web'), { spec: { hostPortClassName: 'other', hostPortName: 'hp-9000' } });
  rig.server.force('hostports', 'hp-7000');
  await rig.until(() => rig.hostPort('hp-7000')?.status?.phase === 'Allocated');
  t.is(rig.hostPort('hp-7000').spec.hostPortClassName, 'games');
  await rig.run(10_000);
  t.like(rig.claim('shop', 'web').status, { phase: 'Bound', port: 7000, hostPortClassName: 'games' });
});

test('a claim that is being deleted and in use gets its host port back too, of the class that it was of', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  rig.createPod('shop', 'one', { 'claim.berth.dev/web': 'web' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.patch(claimPath('shop', 'web'), { spec: { hostPortClassName: 'other' } });
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.claim('shop', 'web').status.heldBy?.length === 1);
  rig.server.force('hostports', 'hp-7000');
  await rig.until(() => rig.hostPort('hp-7000') !== undefined);
  t.is(rig.hostPort('hp-7000').spec.hostPortClassName, 'games');
  rig.ask('DELETE', '/api/v1/namespaces/shop/pods/one');
  await rig.until(() => rig.claims().length === 0 && rig.hostPorts().length === 0);
});

test('a claim whose number went to another one by force says so and waits for it, and gets no other', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  await rig.run(5_000);
  // All at once, by somebody who may do everything.
  rig.createClaim('evil', 'web', { hostPortClassName: 'games' });
  const { uid } = rig.claim('evil', 'web').metadata;
  rig.server.force('hostports', 'hp-7000');
  rig.createHostPort('hp-7000', {
    hostPortClassName: 'games',
    claimRef: { namespace: 'evil', name: 'web', uid },
  });
  rig.patch(`${claimPath('evil', 'web')}/status`, { status: { phase: 'Bound', hostPortName: 'hp-7000', port: 7000 } });
  await rig.until(() => rig.reason('shop', 'web') === 'HostPortLost');
  await rig.run(60_000);
  t.like(rig.claim('shop', 'web').status, { phase: 'Pending', hostPortName: 'hp-7000', port: undefined });
  rig.ask('DELETE', claimPath('evil', 'web'));
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  t.is(rig.claim('shop', 'web').status.port, 7000);
});

test('a claimRef that is taken from a bound claim is put right', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.patch(hostPortPath('hp-7000'), { spec: { claimRef: null } });
  rig.createClaim('evil', 'web', naming('hp-7000'));
  await rig.until(() => rig.hostPort('hp-7000').spec.claimRef?.uid === rig.claim('shop', 'web').metadata.uid);
  await rig.until(() => rig.reason('evil', 'web') === 'HostPortTaken');
  await rig.run(10_000);
  t.is(rig.phase('shop', 'web'), 'Bound');
  t.is(rig.phase('evil', 'web'), 'Pending');
});

for (const hostPortName of ['', 'hp-7000']) {
  test(`a claimRef that is turned to another claim gives the number to nobody else (${hostPortName || 'any'})`, async (t) => {
    await using rig = started({ pools: [{ start: 7000, end: 7000 }] });
    rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
    await rig.until(() => rig.phase('shop', 'web') === 'Bound');
    rig.createClaim('shop', 'other', { hostPortClassName: 'games', hostPortName });
    await rig.until(() => rig.phase('shop', 'other') === 'Pending');
    const bound: string[] = [];
    rig.server.onChange = () => {
      for (const { metadata, status } of rig.claims() as Thing[])
        if (status?.phase === 'Bound') bound.push(metadata.name);
    };
    const { uid } = rig.claim('shop', 'other').metadata;
    rig.patch(hostPortPath('hp-7000'), { spec: { claimRef: { namespace: 'shop', name: 'other', uid } } });
    await rig.until(() => rig.hostPort('hp-7000')?.spec.claimRef.name === 'web');
    await rig.run(30_000);
    t.deepEqual([...new Set(bound)], ['web']);
    t.is(rig.phase('shop', 'other'), 'Pending');
    t.deepEqual(rig.replicas[0]?.failures, []);
  });
}
