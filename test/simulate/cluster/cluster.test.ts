/** Aggregators and what reports to them, under a virtual clock, from a seed, with every fault that they must survive. */
import test from 'ava';
import { runClusterSeeds } from './batch.ts';

/** How many seeds every run of the tests sees; `npm run simulate:cluster` runs more. */
const SEEDS = 300;

test(`I9: what aggregators answer is what the nodes have, or says that it is old, in ${SEEDS} seeds`, async (t) => {
  t.timeout(10 * 60_000);
  const { failures, unreached } = await runClusterSeeds(1, SEEDS);
  t.deepEqual(failures, []);
  t.deepEqual(unreached, [], 'faults that no run reached: they are not tested');
});
