import test from 'ava';
import { Ledger, portKey, type Wanted } from '../../daemon/core/ledger.ts';
import type { Grant } from '../../daemon/core/state.ts';
import { grantOf, poolOf, ref, restOf, wants } from './grants.ts';

const [a, b] = [ref('a'), ref('b')];
const never = () => false;
const WALL = 1_700_000_000_000;

function ledgerWith(...grants: readonly Grant[]): Ledger {
  const ledger = new Ledger(() => 0);
  ledger.setPools([poolOf()]);
  for (const grant of grants) ledger.grant(grant);
  return ledger;
}

/** The first numbers that may be given. */
function candidates(ledger: Ledger, wanted: Wanted, now = 0): readonly number[] {
  return [...ledger.candidates(wanted, now, never)];
}

test('I1: a number that has a holder is no candidate for that protocol, and is one for another', (t) => {
  const ledger = ledgerWith(grantOf(a, 100));
  t.is(ledger.holder('TCP', 100)?.uid, 'uid-a');
  t.false(candidates(ledger, wants(b)).includes(100));
  t.true(candidates(ledger, wants(b, { protocols: ['UDP'] })).includes(100));
  t.false(candidates(ledger, wants(b, { protocols: ['TCP', 'UDP'] })).includes(100));
});

test('a block is contiguous, inside one range, and free as a whole', (t) => {
  const ledger = new Ledger(() => 0);
  const ranges = [
    { first: 100, last: 104 },
    { first: 106, last: 109 },
  ];
  const pool = poolOf({ ranges });
  ledger.setPools([pool]);
  t.deepEqual(candidates(ledger, wants(b, { pool, size: 3 })), [100, 101, 102, 106, 107]);
  ledger.grant(grantOf(a, 102));
  t.deepEqual(candidates(ledger, wants(b, { pool, size: 3 })), [106, 107]);
});

test('I7: the order begins at the place that chance gives, and goes round', (t) => {
  const ledger = new Ledger(() => 0.5);
  ledger.setPools([poolOf()]);
  t.deepEqual(candidates(ledger, wants(a)), [105, 106, 107, 108, 109, 100, 101, 102, 103, 104]);
});

test('I7: a released number rests for every other pod and none of its name, and is last in the order', (t) => {
  const grant = grantOf(a, 100);
  const ledger = ledgerWith(grant);
  ledger.revoke(grant, 500, WALL);
  t.false(ledger.usable(wants(b), 100, 1_499, never));
  t.true(ledger.usable(wants(b), 100, 1_500, never));
  t.true(ledger.usable(wants(ref('a', 'uid-later')), 100, 501, never));
  t.is(candidates(ledger, wants(b), 1_500).at(-1), 100);
  t.is(ledger.nextRestEnd(poolOf(), 600), 1_500);
  t.is(ledger.nextRestEnd(poolOf(), 1_500), undefined);
});

test('I7: a number that a pod of the name still holds is usable as soon as that pod is closing', (t) => {
  const grant = grantOf(a, 100);
  const ledger = ledgerWith(grant);
  const successor = wants(ref('a', 'uid-later'));
  const closing = (one: Grant) => one === grant;
  t.false(ledger.usable(successor, 100, 0, never));
  t.true(ledger.usable(successor, 100, 0, closing));
  t.false(ledger.usable(wants(b), 100, 0, closing));
});

test('numbers outside of the pool may be available, and are never usable', (t) => {
  const ledger = ledgerWith();
  t.true(ledger.available(wants(a), 110, 0, never));
  t.false(ledger.usable(wants(a), 110, 0, never));
  t.false(ledger.usable(wants(a, { size: 2 }), 109, 0, never));
});

test('another number for the same port: the former grant keeps its number until it is revoked', (t) => {
  const [former, present] = [grantOf(a, 100), grantOf(a, 101)];
  const ledger = ledgerWith(former, present);
  t.deepEqual([...ledger.grants()], [former, present]);
  t.true(ledger.isLeaving(former));
  t.is(ledger.grantsOf('uid-a').get('web/TCP'), present);
  t.is(ledger.holder('TCP', 100), former);
  ledger.revoke(former, 0, WALL);
  t.deepEqual([...ledger.grants()], [present]);
  t.is(ledger.holder('TCP', 100), undefined);
});

test('a grant that takes over all numbers of another ends it: there is nothing left to revoke', (t) => {
  const [former, present] = [grantOf(a, 100), grantOf(ref('a', 'uid-later'), 100)];
  const ledger = ledgerWith(former, present);
  t.deepEqual([...ledger.grants()], [present]);
  ledger.revoke(former, 0, WALL);
  t.is(ledger.holder('TCP', 100), present);
  t.deepEqual(ledger.snapshot().resting, []);
});

test('of a block that lost some numbers to another grant only the others rest', (t) => {
  const block = grantOf(a, 100, { size: 4 });
  const ledger = ledgerWith(block, grantOf(b, 101));
  t.true(ledger.isLeaving(block));
  ledger.revoke(block, 0, WALL);
  t.is(ledger.holder('TCP', 101)?.uid, 'uid-b');
  const free = [100, 101, 102, 103, 104].filter((number) => ledger.usable(wants(ref('c')), number, 0, never));
  t.deepEqual(free, [104]);
});

test('revoking what is not granted changes nothing', (t) => {
  const ledger = ledgerWith(grantOf(a, 100));
  const { version } = ledger;
  ledger.revoke(grantOf(a, 100), 0, WALL);
  ledger.revoke(grantOf(b, 105), 0, WALL);
  t.is(ledger.version, version);
  t.is(ledger.holder('TCP', 100)?.uid, 'uid-a');
});

test('every change that the state file must hold counts as a version', (t) => {
  const grant = grantOf(a, 100);
  const ledger = new Ledger(() => 0);
  const versions = [
    () => ledger.setPools([poolOf()]),
    () => ledger.grant(grant),
    () => ledger.revoke(grant, 0, WALL),
    () => ledger.restoreResting([restOf(b, 105, WALL)], 0, WALL),
    () => ledger.retain(grantOf(b, 106)),
  ].map((change) => {
    const before = ledger.version;
    change();
    return ledger.version > before;
  });
  t.deepEqual(versions, [false, true, true, true, true]);
});

test('the snapshot leaves out who is not known by name: the kernel knows it better', (t) => {
  const nameless = grantOf({ namespace: '', name: '', uid: 'uid-x' }, 100);
  const ledger = ledgerWith(nameless, grantOf(a, 101));
  t.deepEqual(ledger.snapshot().grants, [grantOf(a, 101)]);
});

test('host ports of a namespace are counted by number and protocol, without those that leave', (t) => {
  const ledger = ledgerWith(
    grantOf(a, 100),
    grantOf(a, 101),
    grantOf(a, 101, { protocol: 'UDP' }),
    grantOf(b, 103, { size: 3 }),
    grantOf({ ...b, namespace: 'shop', uid: 'uid-s' }, 106),
    grantOf(b, 7_000, { name: 'other', pool: 'games' }),
  );
  t.is(ledger.countIn('default', 'games'), 5);
  t.is(ledger.countIn('games', 'games'), 1);
});

test('free numbers: neither held for any protocol nor resting', (t) => {
  const gone = grantOf(b, 105);
  const ledger = ledgerWith(
    grantOf(a, 100),
    grantOf(a, 100, { protocol: 'UDP' }),
    grantOf(a, 108, { name: 'm', size: 5 }),
    gone,
  );
  ledger.revoke(gone, 0, WALL);
  t.is(ledger.free('default', 999), 6);
  t.is(ledger.free('default', 1_000), 7);
  t.is(ledger.free('unknown', 0), 0);
});

test('a pool in another form keeps its grants, and remembers what was released lately', (t) => {
  const [held, released] = [grantOf(a, 109), grantOf(b, 103)];
  const ledger = ledgerWith(held, released);
  ledger.revoke(released, 0, WALL);
  const pool = poolOf({ ranges: [{ first: 102, last: 104 }] });
  ledger.setPools([pool]);
  t.is(ledger.holder('TCP', 109), held);
  t.deepEqual(candidates(ledger, wants(ref('c'), { pool }), 5_000), [102, 104, 103]);
});

test('a pool whose policy alone changes keeps the order of its numbers', (t) => {
  const grant = grantOf(a, 100);
  const ledger = ledgerWith(grant);
  ledger.revoke(grant, 0, WALL);
  const pool = poolOf({ maxPortsPerPod: 1, quarantineMs: 0 });
  ledger.setPools([pool]);
  t.deepEqual(candidates(ledger, wants(b, { pool })), [101, 102, 103, 104, 105, 106, 107, 108, 109, 100]);
});

test('a pool that is gone has no candidates', (t) => {
  const ledger = ledgerWith();
  ledger.setPools([]);
  t.deepEqual(candidates(ledger, wants(a)), []);
  t.deepEqual([ledger.pools(), ledger.pool('default')], [[], undefined]);
});

const clocks: readonly (readonly [title: string, wall: number, restsUntil: number])[] = [
  ['went on', WALL + 400, 600],
  ['stood still', WALL, 1_000],
  ['was put back by an hour', WALL - 3_600_000, 1_000],
  ['was put forward by an hour', WALL + 3_600_000, 0],
];

for (const [title, wall, restsUntil] of clocks) {
  test(`I7: a number that rests over a restart rests until ${restsUntil} ms when the wall clock ${title}`, (t) => {
    const ledger = ledgerWith();
    ledger.restoreResting([restOf(a, 100, WALL)], 0, wall);
    t.is(ledger.usable(wants(b), 100, restsUntil, never), true);
    if (restsUntil > 0) t.false(ledger.usable(wants(b), 100, restsUntil - 1, never));
    t.is(ledger.former(a, 'web', 'TCP')?.hostPort, 100);
  });
}

test('I7: what rested before a restart is given out in the order in which it was released', (t) => {
  const ledger = ledgerWith();
  const resting = [restOf(a, 104, WALL - 5_000), restOf(b, 101, WALL - 4_000), restOf(ref('c'), 108, WALL - 3_000)];
  ledger.restoreResting(resting, 10, WALL);
  t.deepEqual(candidates(ledger, wants(ref('d')), 10).slice(-3), [104, 101, 108]);
});

test('I7: the order of the file counts, also when the clock went back between two releases', (t) => {
  const ledger = ledgerWith();
  ledger.restoreResting([restOf(a, 104, WALL), restOf(b, 101, WALL - 3_600_000)], 10, WALL);
  t.deepEqual(candidates(ledger, wants(ref('d')), 10_000_000).slice(-2), [104, 101]);
});

test('the end of a rest counts for each number of a block that lies in the pool, also when its first does not', (t) => {
  const ledger = ledgerWith();
  ledger.restoreResting([{ ...restOf(a, 98, WALL), size: 4 }], 500, WALL);
  t.is(ledger.nextRestEnd(poolOf(), 600), 1_500);
});

test('a number that is held does not rest, whatever an old file says', (t) => {
  const ledger = ledgerWith(grantOf(a, 100));
  ledger.restoreResting([restOf(b, 100, WALL)], 0, WALL);
  t.is(ledger.former(b, 'web', 'TCP'), undefined);
  t.deepEqual(ledger.snapshot().resting, []);
});

test('a port is one name and one protocol', (t) => {
  t.is(portKey({ name: 'web', protocol: 'UDP' }), 'web/UDP');
  const ledger = ledgerWith(grantOf(a, 100), grantOf(a, 100, { protocol: 'UDP' }));
  t.deepEqual([...ledger.grantsOf('uid-a').keys()], ['web/TCP', 'web/UDP']);
  t.is(ledger.grantsOf('nobody').size, 0);
});
