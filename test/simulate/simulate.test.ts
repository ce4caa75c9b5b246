/** The whole agent under a virtual clock, from a seed, with every fault that it must survive. */
import test from 'ava';
import { runParallel, unreached } from './batch.ts';

test('I1, I2, I6, I7, I8: hold after every step of 10,000 seeds, each of which runs the same twice', async (t) => {
  t.timeout(20 * 60_000);
  const result = await runParallel(1, 10_000);
  t.deepEqual(result.failures, []);
  t.is(result.runs, 10_000);
  t.deepEqual(unreached(result), [], 'faults that no run reached: they are not tested');
});
