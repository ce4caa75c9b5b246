/** What the controller makes of an API server that is away, does not know its kinds, or holds objects that make no sense. */
import test from 'ava';
import { claimPath, RESOURCES, Rig } from './rig.ts';

const GAMES = { pools: [{ start: 7000, end: 7009 }] };
const OF_GAMES = { hostPortClassName: 'games' };

test('without the definitions it waits for them, and says so', async (t) => {
  await using rig = new Rig();
  const held = rig.server.resources.splice(0, 3);
  rig.createNamespace('shop');
  const replica = rig.start('a');
  await rig.run(60_000);
  t.true(replica.leading);
  t.regex(replica.failures.join('\n'), /watch: GET .*hostportclaims: the answer is 404/);
  rig.server.resources.push(...held);
  t.is(rig.server.resources.length, RESOURCES.length);
  rig.createClass('games', GAMES);
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
});

test('an API server that is away for ten minutes is asked again, and everything goes on', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', GAMES);
  let away = false;
  const journey = () => ({ there: 1, back: 1, ...(away ? { fault: { kind: 'refuseConnection' } as const } : {}) });
  const replica = rig.start('a', { journey });
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  away = true;
  await rig.run(600_000);
  t.false(replica.leading);
  rig.createClaim('shop', 'later', OF_GAMES);
  away = false;
  await rig.until(() => rig.phase('shop', 'later') === 'Bound', 60_000);
  t.is(rig.claim('shop', 'web').status.port, 7000);
});

test('an object that makes no sense is reported, and keeps nothing from the others', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', GAMES);
  rig.createClass('nonsense', { pools: 'all of them' });
  rig.createClaim('shop', 'nonsense', { hostPortClassName: 7 });
  rig.createHostPort('hp-7000', { claimRef: 'mine' });
  rig.createHostPort('hp-7005', { hostPortClassName: 'games' });
  const replica = rig.start('a');
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  t.is(rig.claim('shop', 'web').status.port, 7001, 'the name of a number is taken, whatever stands in it');
  rig.ask('DELETE', '/apis/berth.dev/v1alpha1/hostports/hp-7005');
  await rig.until(() => rig.hostPort('hp-7005') === undefined);
  const failures = replica.failures.join('\n');
  for (const what of ['class undefined/nonsense', 'claim shop/nonsense', 'hostport undefined/hp-7000']) {
    t.true(failures.includes(`${what} cannot be understood`), what);
  }
});

test('I8: a namespace with a flood of claims that get no number holds up no claim of another', async (t) => {
  await using rig = new Rig();
  for (const name of ['evil', 'shop']) rig.createNamespace(name);
  rig.createClass('games', { ...GAMES, quota: { claimsPerNamespace: 1 } });
  for (let index = 0; index < 2_000; index++) rig.createClaim('evil', `flood-${index}`, OF_GAMES);
  rig.createClaim('shop', 'web', OF_GAMES);
  rig.start('a');
  await rig.until(() => rig.phase('shop', 'web') === 'Bound', 5_000);
  t.not(rig.reason('evil', 'flood-1999'), 'QuotaExceeded', 'it is not its turn yet');
});

test('a server that asks to be left alone is', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', GAMES);
  for (let index = 0; index < 10; index++) rig.createClaim('shop', `web-${index}`, OF_GAMES);
  let busy = true;
  let writes = 0;
  rig.start('a', {
    journey: ({ method, path }) => {
      const refused = busy && method !== 'GET' && !path.includes('leases');
      if (refused) writes++;
      const fault = { kind: 'status', code: 429, reason: 'TooManyRequests', retryAfter: 5 } as const;
      return { there: 1, back: 1, ...(refused ? { fault } : {}) };
    },
  });
  await rig.run(60_000);
  t.true(writes <= 8 * 13, `${writes} writes in a minute`);
  busy = false;
  await rig.until(() => rig.phase('shop', 'web-9') === 'Bound', 60_000);
});

test('a bound claim that this version does not understand keeps its number', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', { pools: [{ start: 7000, end: 7000 }] });
  const replica = rig.start('a');
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  rig.patch(`${claimPath('shop', 'web')}/status`, { status: { handover: 'OfALaterVersion' } });
  replica.kill();
  const next = rig.start('b');
  rig.createClaim('shop', 'other', OF_GAMES);
  await rig.until(() => next.failures.some((one) => one.includes('claim shop/web cannot be understood')));
  await rig.run(120_000);
  t.is(rig.hostPort('hp-7000')?.spec.claimRef.uid, rig.claim('shop', 'web').metadata.uid);
  t.is(rig.reason('shop', 'other'), 'PoolExhausted');
});

test('a server that does not know the kind (yet) is no proof that a claim is gone', async (t) => {
  await using rig = new Rig();
  rig.createNamespace('shop');
  rig.createClass('games', { pools: [{ start: 7000, end: 7000 }] });
  const replica = rig.start('a');
  rig.createClaim('shop', 'web', OF_GAMES);
  await rig.until(() => rig.phase('shop', 'web') === 'Bound');
  replica.kill();
  // One server's cache is from before the claim; another one has started just now, and answers for no definition.
  let starting = true;
  const next = rig.start('b', {
    journey: ({ method, path, query }) => {
      const there = { there: 1, back: 1 };
      if (!starting || method !== 'GET') return there;
      if (path.includes('/hostportclaims/')) return { ...there, fault: { kind: 'status', code: 404, reason: '' } };
      if (!path.endsWith('/hostportclaims')) return there;
      if (query.watch === 'true') return { ...there, fault: { kind: 'silence' } };
      return { ...there, fault: { kind: 'text', text: '{"items":[],"metadata":{"resourceVersion":"101"}}' } };
    },
  });
  await rig.until(() => next.leading);
  await rig.run(60_000);
  t.is(rig.hostPort('hp-7000')?.spec.claimRef.uid, rig.claim('shop', 'web').metadata.uid);
  starting = false;
  await rig.run(300_000);
  t.is(rig.phase('shop', 'web'), 'Bound');
});
