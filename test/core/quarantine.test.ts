import test from 'ava';
import { Quarantine } from '../../daemon/core/quarantine.ts';
import { poolOf, ref, restOf } from './grants.ts';

const [a, b] = [ref('a'), ref('b')];

test('a released number rests for so long, for others than pods of the name', (t) => {
  const quarantine = new Quarantine();
  quarantine.add('TCP/100', restOf(a, 100, 0), 500);
  t.true(quarantine.holds('TCP/100', b, 1_499, 1_000));
  t.false(quarantine.holds('TCP/100', b, 1_500, 1_000));
  t.false(quarantine.holds('TCP/100', ref('a', 'uid-later'), 501, 1_000));
  t.true(quarantine.holds('TCP/100', { ...a, namespace: 'shop' }, 501, 1_000));
  t.false(quarantine.holds('UDP/100', b, 501, 1_000));
});

test('a quarantine of nothing holds nothing', (t) => {
  const quarantine = new Quarantine();
  quarantine.add('TCP/100', restOf(a, 100, 0), 500);
  t.false(quarantine.holds('TCP/100', b, 500, 0));
});

test('a number is remembered for its pod’s port long after its rest, until somebody gets it', (t) => {
  const quarantine = new Quarantine();
  const entry = restOf(a, 100, 0);
  quarantine.add('TCP/100', entry, 0);
  t.is(quarantine.former(a, 'web', 'TCP'), entry);
  t.is(quarantine.former(a, 'web', 'UDP'), undefined);
  t.is(quarantine.former(a, 'admin', 'TCP'), undefined);
  quarantine.forget('TCP/100');
  t.is(quarantine.former(a, 'web', 'TCP'), undefined);
});

test('of two numbers that a port had, the one released last is its former one', (t) => {
  const quarantine = new Quarantine();
  quarantine.add('TCP/100', restOf(a, 100, 0), 0);
  quarantine.add('TCP/101', restOf(a, 101, 1), 1);
  t.is(quarantine.former(a, 'web', 'TCP')?.hostPort, 101);
  // Somebody gets the earlier one: the later is still remembered.
  quarantine.forget('TCP/100');
  t.is(quarantine.former(a, 'web', 'TCP')?.hostPort, 101);
});

test('I10: a number is remembered for its last pod only', (t) => {
  const quarantine = new Quarantine();
  quarantine.add('TCP/100', restOf(a, 100, 0), 0);
  quarantine.add('TCP/100', restOf(b, 100, 1), 1);
  t.is(quarantine.former(a, 'web', 'TCP'), undefined);
  t.deepEqual(quarantine.entries(), [restOf(b, 100, 1)]);
});

test('a block is one entry until a number of it is given out, and is no former one from then on', (t) => {
  const quarantine = new Quarantine();
  const block = restOf(a, 100, 0, { size: 3 });
  for (const number of [100, 101, 102]) quarantine.add(`TCP/${number}`, block, 0);
  t.deepEqual(quarantine.entries(), [block]);
  quarantine.forget('TCP/101');
  t.is(quarantine.former(a, 'web', 'TCP'), undefined);
  t.true(quarantine.holds('TCP/102', b, 1, 1_000), 'the others rest on');
});

test('entries come least recently released first, also when a number was released twice', (t) => {
  const quarantine = new Quarantine();
  for (const [index, number] of [100, 101, 102, 100].entries()) {
    quarantine.add(`TCP/${number}`, restOf(ref(`p${index}`), number, index), index);
  }
  t.deepEqual(
    quarantine.entries().map(({ hostPort }) => hostPort),
    [101, 102, 100],
  );
});

test('the next end of a rest is the earliest to come among the numbers of the pool', (t) => {
  const quarantine = new Quarantine();
  quarantine.add('TCP/100', restOf(a, 100, 0), 0);
  quarantine.add('TCP/101', restOf(a, 101, 0), 300);
  quarantine.add('TCP/900', restOf(a, 900, 0), 100);
  t.is(quarantine.nextEnd(poolOf(), 0), 1_000);
  t.is(quarantine.nextEnd(poolOf(), 1_000), 1_300);
  t.is(quarantine.nextEnd(poolOf(), 1_300), undefined);
  t.is(quarantine.nextEnd(poolOf({ quarantineMs: 50 }), 320), 350);
});

test('what still rests at a moment', (t) => {
  const quarantine = new Quarantine();
  quarantine.add('TCP/100', restOf(a, 100, 0), 0);
  quarantine.add('TCP/101', restOf(b, 101, 0), 300);
  t.deepEqual(quarantine.restingAt(1_000, 1_000), [restOf(b, 101, 0)]);
});

test('forgetting what does not rest is no error', (t) => {
  const quarantine = new Quarantine();
  quarantine.forget('TCP/100');
  t.deepEqual(quarantine.entries(), []);
});
