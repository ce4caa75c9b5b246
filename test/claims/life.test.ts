/** The life of a claim, from its making to its end, with the controller as it runs, over an API server in memory. */
import test from 'ava';
import { claimPath, classPath, condition, hostPortPath, Rig } from './rig.ts';

const GAMES = { pools: [{ start: 7000, end: 7002 }] };
const OF_GAMES = { hostPortClassName: 'games' };

/** A namespace, a class, and a replica that leads. */
function started(spec: object = GAMES): Rig {
  const rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', spec);
  rig.start('a');
  return rig;
}

test('a claim of a class gets a host port, and says which one', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  await rig.until(() => rig.hostPort('hp-7000')?.status?.phase === 'Allocated');
  t.like(rig.claim('shop', 'web').status, {
    hostPortName: 'hp-7000',
    hostPortClassName: 'games',
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
  const [replica] = rig.replicas;
  t.deepEqual(replica?.news('Bound'), ['HostPortClaim web: bound to HostPort hp-7000 of HostPortClass games']);
  t.deepEqual(replica?.failures, []);
});

test('a claim that is deleted gives its host port back, and the number goes to the next one', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.claim('shop', 'web') === undefined && rig.hostPort('hp-7000') === undefined);
  rig.createClaim('shop', 'other', OF_GAMES);
  await rig.until(() => rig.claim('shop', 'other').status?.port === 7000);
  t.is(rig.hostPorts().length, 1);
});

test('nothing is written while nothing changes', async (t) => {
  await using rig = started();
  for (const name of ['a', 'b', 'c', 'd']) rig.createClaim('shop', name, OF_GAMES);
  await rig.until(() => rig.reason('shop', 'd') === 'PoolExhausted');
  await rig.run(5_000);
  const { revision } = rig.server;
  rig.replicas[0]?.kill();
  const next = rig.start('b');
  await rig.until(() => next.leading);
  const taken = rig.server.revision;
  const writes: string[] = [];
  rig.server.onChange = ({ plural, type }) => plural !== 'leases' && writes.push(`${type} ${plural}`);
  await rig.run(120_000);
  t.true(taken > revision, 'the lease changed hands');
  t.deepEqual(writes, [], 'and the next leader finds everything as it should be');
});

test('a claim that is deleted keeps its number until every pod that names it has ended', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', OF_GAMES);
  rig.createClaim('shop', 'db-base-0', OF_GAMES);
  rig.createPod('shop', 'one', { 'claim.berth.dev/http': 'web' });
  rig.createPod('shop', 'base-0', { 'claim-template.berth.dev/db': 'games' });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound' && rig.phase('shop', 'db-base-0') === 'Bound');
  const { port } = rig.claim('shop', 'web').status;
  rig.ask('DELETE', claimPath('shop', 'web'));
  rig.ask('DELETE', claimPath('shop', 'db-base-0'));
  await rig.until(() => condition(rig.claim('shop', 'web'), 'InUse') !== undefined);
  t.is(rig.phase('shop', 'web'), 'Deleting');
  t.is(rig.claim('shop', 'web').status.port, port);
  t.regex(condition(rig.claim('shop', 'web'), 'InUse').message, /kept until they have ended: one$/);
  await rig.until(() => condition(rig.claim('shop', 'db-base-0'), 'InUse') !== undefined);
  await rig.run(60_000);
  t.truthy(rig.claim('shop', 'web'));

  rig.patch('/api/v1/namespaces/shop/pods/one/status', { status: { phase: 'Succeeded' } });
  await rig.until(() => rig.claim('shop', 'web') === undefined, 61_000);
  t.truthy(rig.claim('shop', 'db-base-0'), 'the other one has its pod still');
  rig.ask('DELETE', '/api/v1/namespaces/shop/pods/base-0');
  await rig.until(() => rig.claims().length === 0 && rig.hostPorts().length === 0, 61_000);
});

test('I10: pods that hold up claims for long are looked at less and less often, once for all claims of a namespace', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', { pools: [{ start: 7000, end: 7009 }] });
  const looks: number[] = [];
  rig.start('a', {
    journey: ({ method, path }) => {
      if (method === 'GET' && path.endsWith('/namespaces/shop/pods')) looks.push(rig.time.now);
      return { there: 1, back: 1 };
    },
  });
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) {
    rig.createClaim('shop', name, OF_GAMES);
    rig.createPod('shop', name, { 'claim.berth.dev/http': name });
  }
  await rig.until(() => names.every((name) => rig.phase('shop', name) === 'Bound'));
  for (const name of names) {
    await rig.run(500);
    rig.ask('DELETE', claimPath('shop', name));
  }
  await rig.until(() => names.every((name) => condition(rig.claim('shop', name), 'InUse') !== undefined));
  await rig.run(20_000);
  const early = looks.length;
  t.true(early <= names.length + 2, `${early} looks in the first 20 s`);
  await rig.run(600_000);
  t.true(looks.length - early <= 12, `${looks.length - early} looks in the next ten minutes`);
  t.true((looks.at(-1) ?? 0) - (looks.at(-2) ?? 0) <= 61_000, 'and still');
  t.is(rig.claims().length, names.length);
});

test('a pool that has no number left says so, and gives the first that is released to the oldest that waits', async (t) => {
  await using rig = started();
  for (const name of ['a', 'b', 'c']) rig.createClaim('shop', name, OF_GAMES);
  await rig.until(() => rig.claims().every((one) => rig.phase('shop', one.metadata.name) === 'Bound'));
  rig.createClaim('shop', 'later', OF_GAMES);
  await rig.run(1_500);
  rig.createClaim('shop', 'earliest-by-name', OF_GAMES);
  await rig.until(() => rig.reason('shop', 'earliest-by-name') === 'PoolExhausted');
  t.is(rig.phase('shop', 'later'), 'Pending');
  await rig.until(() => rig.replicas[0]?.news('PoolExhausted').length === 2);
  rig.ask('DELETE', claimPath('shop', 'b'));
  await rig.until(() => rig.phase('shop', 'later') === 'Bound', 2_000);
  t.is(rig.claim('shop', 'later').status.port, 7001);
  t.is(rig.reason('shop', 'earliest-by-name'), 'PoolExhausted');
});

test('numbers are given pool by pool as they are listed, the lowest first, and never one that another class gave', async (t) => {
  await using rig = started({
    pools: [
      { start: 9000, end: 9001 },
      { start: 7000, end: 7001 },
    ],
  });
  rig.createClass('other', { pools: [{ start: 7000, end: 7003 }] });
  rig.createClaim('shop', 'x', { hostPortClassName: 'other' });
  await rig.until(() => rig.phase('shop', 'x') === 'Bound');
  for (const name of ['a', 'b', 'c']) rig.createClaim('shop', name, OF_GAMES);
  await rig.until(() => rig.claims().every((one) => rig.phase('shop', one.metadata.name) === 'Bound'));
  const ports = ['x', 'a', 'b', 'c'].map((name) => rig.claim('shop', name).status.port);
  t.deepEqual(ports, [7000, 9000, 9001, 7001]);
});

test('a bound claim keeps its number when the pool shrinks, and the class says who is outside', async (t) => {
  await using rig = started();
  for (const name of ['a', 'b']) rig.createClaim('shop', name, OF_GAMES);
  await rig.until(() => rig.phase('shop', 'b') === 'Bound');
  rig.patch(classPath('games'), { spec: { pools: [{ start: 7000, end: 7000 }] } });
  await rig.until(() => condition(rig.class('games'), 'PoolsCoverAllocated')?.status === 'False');
  t.regex(condition(rig.class('games'), 'PoolsCoverAllocated').message, /hp-7001 \(shop\/b\)$/);
  t.is(rig.class('games').status.ports, 1);
  await rig.run(60_000);
  t.is(rig.claim('shop', 'b').status.port, 7001);
  t.is(rig.phase('shop', 'b'), 'Bound');
});

test('a class that is deleted stays until its last host port is gone, gives no number any more, and says who holds it', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.ask('DELETE', classPath('games'));
  rig.createClaim('shop', 'late', OF_GAMES);
  await rig.until(() => rig.reason('shop', 'late') === 'ClassMissing');
  await rig.until(() => condition(rig.class('games'), 'Ready')?.reason === 'Deleting');
  t.regex(condition(rig.class('games'), 'Ready').message, /hp-7000 \(shop\/web\)/);
  await rig.run(60_000);
  t.is(rig.phase('shop', 'web'), 'Bound');
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.class('games') === undefined);
  t.deepEqual(rig.hostPorts(), []);
});

test('what is changed in the class reaches the claims: protocols and hand-over, not the number', async (t) => {
  await using rig = started();
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.patch(classPath('games'), { spec: { protocols: ['SCTP'], handover: 'OnTerminated' } });
  await rig.until(() => rig.claim('shop', 'web').status.handover === 'OnTerminated');
  t.like(rig.claim('shop', 'web').status, { protocols: ['SCTP'], port: 7000, phase: 'Bound' });
});

test('what is changed in the spec of a bound claim is reported and ignored', async (t) => {
  await using rig = started();
  rig.createClass('other', { pools: [{ start: 9000, end: 9001 }] });
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.patch(claimPath('shop', 'web'), { spec: { hostPortClassName: 'other' } });
  await rig.until(() => condition(rig.claim('shop', 'web'), 'SpecFollowed')?.reason === 'ClassChanged');
  rig.patch(claimPath('shop', 'web'), { spec: { hostPortName: 'hp-9001' } });
  await rig.until(() => condition(rig.claim('shop', 'web'), 'SpecFollowed')?.reason === 'HostPortChanged');
  t.like(rig.claim('shop', 'web').status, { port: 7000, phase: 'Bound' });
  rig.patch(claimPath('shop', 'web'), { spec: { ...OF_GAMES, hostPortName: null } });
  await rig.until(() => condition(rig.claim('shop', 'web'), 'SpecFollowed') === undefined);
  t.is(rig.hostPorts().length, 1);
});

test('only namespaces that the selector selects get numbers, and one that is labelled later does then', async (t) => {
  await using rig = started({ ...GAMES, namespaceSelector: { matchLabels: { games: 'yes' } } });
  rig.createNamespace('arena', { games: 'yes' });
  rig.createClaim('shop', 'web', OF_GAMES);
  rig.createClaim('arena', 'web', OF_GAMES);
  await rig.until(() => rig.phase('arena', 'web') === 'Bound');
  await rig.until(() => rig.reason('shop', 'web') === 'NamespaceNotAllowed');
  rig.patch('/api/v1/namespaces/shop', { metadata: { labels: { games: 'yes' } } });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.patch('/api/v1/namespaces/arena', { metadata: { labels: { games: 'no' } } });
  await rig.run(30_000);
  t.is(rig.phase('arena', 'web'), 'Bound', 'who has a number keeps it');
});

test('the quota counts the bound claims of a class in a namespace', async (t) => {
  await using rig = started({ ...GAMES, quota: { claimsPerNamespace: 1 } });
  rig.createNamespace('arena');
  rig.createClaim('shop', 'a', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'a') === 'Bound');
  rig.createClaim('shop', 'b', OF_GAMES);
  rig.createClaim('arena', 'a', OF_GAMES);
  await rig.until(() => rig.phase('arena', 'a') === 'Bound');
  await rig.until(() => rig.reason('shop', 'b') === 'QuotaExceeded');
  t.regex(condition(rig.claim('shop', 'b'), 'Bound').message, /namespace shop may have 1 /);
  rig.ask('DELETE', claimPath('shop', 'a'));
  await rig.until(() => rig.phase('shop', 'b') === 'Bound');
});

test('a host port of a class that retains is kept, and given again when an administrator takes its claimRef away', async (t) => {
  await using rig = started({ pools: [{ start: 7000, end: 7000 }], reclaimPolicy: 'Retain' });
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.hostPort('hp-7000').status?.phase === 'Released');
  t.is(rig.claim('shop', 'web'), undefined);
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.reason('shop', 'web') === 'PoolExhausted');
  await rig.run(30_000);
  t.is(rig.hostPort('hp-7000').status.phase, 'Released', 'a claim of the same name is another claim');
  rig.patch(hostPortPath('hp-7000'), { spec: { claimRef: null } });
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.ask('DELETE', claimPath('shop', 'web'));
  await rig.until(() => rig.hostPort('hp-7000').status?.phase === 'Released');
  rig.ask('DELETE', hostPortPath('hp-7000'));
  await rig.until(() => rig.hostPort('hp-7000') === undefined);
});

test('a class with a pool that has no number says so, and gives the others', async (t) => {
  await using rig = started({
    pools: [
      { start: 9000, end: 8000 },
      { start: 7000, end: 7000 },
    ],
  });
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  t.like(condition(rig.class('games'), 'Ready'), { status: 'False', reason: 'InvalidPools' });
  t.is(rig.claim('shop', 'web').status.port, 7000);
});

test('a class tells on which nodes agents give its numbers to other pods', async (t) => {
  await using rig = started();
  rig.nodePools = undefined;
  await rig.until(() => condition(rig.class('games'), 'PoolsDisjoint')?.status === 'Unknown');
  rig.nodePools = [
    { ranges: [{ first: 6000, last: 7000 }], nodes: ['node-a', 'node-b'], count: 7 },
    { ranges: [{ first: 20_000, last: 29_999 }], nodes: ['node-c'], count: 1 },
  ];
  await rig.until(() => condition(rig.class('games'), 'PoolsDisjoint')?.status === 'False');
  t.regex(condition(rig.class('games'), 'PoolsDisjoint').message, /: 7000 on node-a, node-b and 5 more;/);
  await rig.until(() => rig.replicas[0]?.news('PoolsOverlap').length === 1);
  rig.nodePools = [];
  await rig.until(() => condition(rig.class('games'), 'PoolsDisjoint')?.status === 'True');
});
