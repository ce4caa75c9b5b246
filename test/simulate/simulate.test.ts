/** The whole agent under a virtual clock, from a seed, with every fault that it must survive. */
import test from 'ava';
import { runParallel, unreached } from './batch.ts';

/** How many seeds every run of the tests sees; `make simulate SEEDS=1000000` runs more. */
const SEEDS = 10_000;

test(`I1, I2, I6, I7, I8: hold after every step of ${SEEDS} seeds, each of which runs the same twice`, async (t) => {
  t.timeout(20 * 60_000);
  const result = await runParallel(1, SEEDS);
  t.deepEqual(result.failures, []);
  t.is(result.runs, SEEDS);
  const missed = unreached(result);
  t.deepEqual(missed, [], 'faults that no run reached: they are not tested');
});
