/** Who leads, and what a leader may not do any more: over leases in memory, by clocks of their own. */
import test from 'ava';
import { classPath, Rig } from './rig.ts';

const GAMES = { pools: [{ start: 7000, end: 7099 }] };
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/berth-system/leases/berth-claims';

function started(): Rig {
  const rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', GAMES);
  return rig;
}

test('of several replicas one leads, and another one does within a lease after it died', async (t) => {
  await using rig = started();
  const replicas = ['a', 'b', 'c'].map((name) => rig.start(name));
  await rig.until(() => replicas.some(({ leading }) => leading));
  await rig.run(60_000);
  const [first] = replicas.filter(({ leading }) => leading);
  t.is(replicas.filter(({ leading }) => leading).length, 1);
  first?.kill();
  const died = rig.time.now;
  await rig.until(() => replicas.some(({ leading }) => leading), 20_000);
  t.true(rig.time.now - died >= 13_000, 'not before its lease has run out');
  rig.createClaim('shop', 'web', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  t.is(rig.ask('GET', LEASE).spec.leaseTransitions, 1);
});

test('a replica that is told to end gives the lease back, so that the next one need not wait', async (t) => {
  await using rig = started();
  const first = rig.start('a');
  await rig.until(() => first.leading);
  const second = rig.start('b');
  await rig.run(10_000);
  const ended = first.stop();
  const began = rig.time.now;
  await rig.until(() => second.leading);
  await ended;
  t.true(rig.time.now - began < 3_000);
});

test('a new leader counts what the one before gave, also where caches and watches are behind', async (t) => {
  await using rig = started();
  rig.patch(classPath('games'), { spec: { quota: { claimsPerNamespace: 1 } } });
  const first = rig.start('a', {
    // What it would tell the other one is not written any more.
    journey: ({ path }) => {
      const late = path.endsWith('/other/status') && rig.claim('shop', 'one') !== undefined;
      return { there: 1, back: 1, ...(late ? { fault: { kind: 'refuseConnection' } as const } : {}) };
    },
  });
  rig.createClaim('shop', 'other', { hostPortClassName: 'games', hostPortName: 'hp-9000' });
  await rig.until(() => rig.reason('shop', 'other') === 'HostPortMissing');
  const old = JSON.stringify(rig.ask('GET', '/apis/berth.dev/v1alpha1/hostportclaims'));
  rig.createClaim('shop', 'one', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'one') === 'Bound');
  const ended = first.stop();
  await rig.run(1_000);
  await ended;
  rig.patch(classPath('games'), { spec: { pools: [...GAMES.pools, { start: 9000, end: 9000 }] } });
  rig.start('b', {
    lag: () => 5_000,
    journey: ({ path, query }) => {
      const cached = query.resourceVersion === '0' && path.endsWith('/hostportclaims');
      return { there: 1, back: 1, ...(cached ? { fault: { kind: 'text', text: old } as const } : {}) };
    },
  });
  await rig.until(() => rig.reason('shop', 'other') !== 'HostPortMissing');
  t.is(rig.reason('shop', 'other'), 'QuotaExceeded');
});

test('an empty lease, as the manifests make it, is free', async (t) => {
  await using rig = started();
  rig.ask('POST', LEASE.replace(/\/[^/]+$/, ''), { metadata: { name: 'berth-claims', labels: { one: 'more' } } });
  const replica = rig.start('a');
  await rig.until(() => replica.leading);
  const { metadata, spec } = rig.ask('GET', LEASE);
  t.deepEqual(metadata.labels, { one: 'more' });
  t.like(spec, { holderIdentity: 'a', leaseDurationSeconds: 15 });
  t.regex(spec.renewTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('a leader that cannot renew writes nothing after its lease may have run out, and gives up', async (t) => {
  await using rig = started();
  let cut = false;
  const writes: number[] = [];
  const replica = rig.start('a', {
    journey: ({ method, path }) => {
      if (method !== 'GET' && !path.includes('/leases/')) writes.push(rig.time.now);
      return {
        there: 1,
        back: 1,
        ...(cut && path.includes('/leases/') ? { fault: { kind: 'silence' } as const } : {}),
      };
    },
  });
  await rig.until(() => replica.leading);
  await rig.run(30_000);
  cut = true;
  const since = rig.time.now;
  for (let index = 0; index < 60; index++) {
    rig.createClaim('shop', `web-${index}`, { hostPortClassName: 'games' });
    await rig.run(500);
  }
  t.true(writes.filter((at) => at > since).length > 10, 'it goes on while the lease is its own');
  t.deepEqual(
    writes.filter((at) => at - since >= 15_000),
    [],
  );
  t.false(replica.leading);
  cut = false;
  await rig.until(() => replica.leading);
  await rig.until(() => rig.phase('shop', 'web-59') === 'Bound');
});

test('a wall clock that jumps takes no lease from anybody, and gives none', async (t) => {
  await using rig = started();
  const first = rig.start('a');
  await rig.until(() => first.leading);
  const second = rig.start('b');
  for (const offset of [3_600_000, -3_600_000, 86_400_000]) {
    rig.time.wallOffset = offset;
    await rig.run(60_000);
    t.true(first.leading);
    t.false(second.leading);
  }
});

test('a lease that somebody wrote for ever into a name that nobody has runs out all the same', async (t) => {
  await using rig = started();
  const replicas = ['a', 'b'].map((name) => rig.start(name));
  await rig.until(() => replicas.some(({ leading }) => leading));
  rig.patch(LEASE, { spec: { holderIdentity: 'nobody', leaseDurationSeconds: 2_147_483_647 } });
  await rig.until(() => replicas.every(({ leading }) => !leading));
  await rig.until(() => replicas.some(({ leading }) => leading), 70_000);
  t.is(rig.ask('GET', LEASE).spec.leaseDurationSeconds, 15);
});
