import test from 'ava';
import fc from 'fast-check';
import { NumberQueue } from '../../daemon/core/numberqueue.ts';

const RANGES = [
  { first: 10, last: 12 },
  { first: 20, last: 21 },
];

for (const [start, order] of [
  [0, [10, 11, 12, 20, 21]],
  [0.19, [10, 11, 12, 20, 21]],
  [0.2, [11, 12, 20, 21, 10]],
  [0.6, [20, 21, 10, 11, 12]],
  [0.999_999, [21, 10, 11, 12, 20]],
] as const) {
  test(`the order begins at place ${start} of all ranges and goes round`, (t) => {
    t.deepEqual([...new NumberQueue(RANGES, start)], order);
  });
}

test('a number that is touched becomes the last, wherever it stood', (t) => {
  for (const [number, order] of [
    [10, [11, 12, 20, 21, 10]],
    [12, [10, 11, 20, 21, 12]],
    [21, [10, 11, 12, 20, 21]],
  ] as const) {
    const queue = new NumberQueue(RANGES, 0);
    queue.touch(number);
    t.deepEqual([...queue], order);
  }
});

test('what is not in the pool is ignored', (t) => {
  const queue = new NumberQueue(RANGES, 0);
  for (const number of [0, 13, -1, 22]) queue.touch(number);
  t.deepEqual([...queue], [10, 11, 12, 20, 21]);
  t.deepEqual([queue.size, queue.has(12), queue.has(13), queue.has(0)], [5, true, false, false]);
});

test('a queue of one number and of none', (t) => {
  const one = new NumberQueue([{ first: 5, last: 5 }], 0.9);
  one.touch(5);
  t.deepEqual([...one], [5]);
  t.deepEqual([...new NumberQueue([], 0.5)], []);
});

test('the number at hand may be touched during the walk: every number comes once', (t) => {
  const queue = new NumberQueue(RANGES, 0);
  const seen: number[] = [];
  for (const number of queue) {
    seen.push(number);
    queue.touch(number);
  }
  t.deepEqual(seen, [10, 11, 12, 20, 21]);
  t.deepEqual([...queue], seen);
});

test('whatever is touched, the order is that of the last use', (t) => {
  const touches = fc.array(fc.integer({ min: 8, max: 23 }), { maxLength: 60 });
  fc.assert(
    fc.property(touches, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (numbers, start) => {
      const queue = new NumberQueue(RANGES, start);
      const model = [...queue];
      for (const number of numbers) {
        queue.touch(number);
        const index = model.indexOf(number);
        if (index >= 0) model.push(...model.splice(index, 1));
      }
      t.deepEqual([...queue], model);
    }),
  );
});
