/** Names of numbers, and the numbers of a class. */
import test from 'ava';
import { nodePoolsOf } from '../../../daemon/core/claims/nodepools.ts';
import {
  commonRanges,
  countOf,
  holdsNumber,
  mergedRanges,
  nameOfNumber,
  numberOfName,
  numbersOf,
} from '../../../daemon/core/claims/numbers.ts';

const range = (first: number, last = first) => ({ first, last });

test('a number has one name, and that name one number', (t) => {
  for (const number of [1, 80, 9999, 10_000, 65_535]) t.is(numberOfName(nameOfNumber(number)), number);
  for (const name of [
    'hp-0',
    'hp-65536',
    'hp-99999',
    'hp-080',
    'hp-',
    'hp--1',
    'HP-80',
    'hp-8e1',
    'hp-80 ',
    '80',
    '',
  ]) {
    t.is(numberOfName(name), undefined, name);
  }
});

test('numbers come pool by pool, each once, and a pool that has none is passed over', (t) => {
  const pools = [range(9, 11), range(5, 3), range(1, 2), range(10, 12), range(0, 1), range(65_535, 65_536)];
  t.deepEqual([...numbersOf({ pools })], [9, 10, 11, 1, 2, 12]);
  t.is(countOf(pools), 6);
  for (const number of [9, 12, 1]) t.true(holdsNumber({ pools }, number));
  for (const number of [0, 3, 4, 5, 13, 65_535]) t.false(holdsNumber({ pools }, number));
});

test('ranges that touch or overlap are one', (t) => {
  t.deepEqual(mergedRanges([range(5, 6), range(1, 2), range(3, 4), range(2, 3), range(9)]), [range(1, 6), range(9)]);
});

test('what two lists of ranges have in common', (t) => {
  t.deepEqual(commonRanges([range(1, 10), range(20, 30)], [range(5, 25), range(30)]), [
    range(5, 10),
    range(20, 25),
    range(30),
  ]);
  t.deepEqual(commonRanges([range(1, 10)], [range(11, 20)]), []);
});

test('nodes with the same numbers are told together, whatever their pools are called', (t) => {
  const pool = (name: string, ...ranges: readonly ReturnType<typeof range>[]) => ({
    ...{ name, ports: 1, freeTCP: 0, freeUDP: 0, freeSCTP: 0 },
    ...(ranges.length === 0 ? {} : { ranges }),
  });
  const node = (...pools: readonly ReturnType<typeof pool>[]) => ({ status: { addresses: [], pools } });
  const records = new Map([
    ['node-7', node(pool('default', range(20, 29)))],
    ['node-1', node(pool('one', range(20, 24)), pool('two', range(25, 29)))],
    ['node-2', node(pool('default', range(5, 6)))],
    ['of-old', node(pool('default'))],
    ...Array.from({ length: 6 }, (_, index) => [`x-${index}`, node(pool('default', range(20, 29)))] as const),
  ]);
  t.deepEqual(nodePoolsOf(records), [
    { ranges: [range(20, 29)], nodes: ['node-1', 'node-7', 'x-0', 'x-1', 'x-2'], count: 8 },
    { ranges: [range(5, 6)], nodes: ['node-2'], count: 1 },
  ]);
});
