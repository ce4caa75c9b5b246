/** `npm run simulate:cluster`: SEEDS=n runs n seeds from FIRST (1) on; SEED=n replays one and prints its trace. */
import { runClusterSeeds } from './batch.ts';
import { simulateCluster } from './simulation.ts';

const LINES = 120;
const { SEED, FIRST = '1', SEEDS = '200' } = process.env;
if (SEED !== undefined) {
  const run = await simulateCluster(Number(SEED), LINES);
  for (const line of run.lines) console.log(line);
  console.log(run.violation === undefined ? `seed ${SEED}: every invariant held` : `VIOLATED ${run.violation.message}`);
  if (run.violation !== undefined) process.exitCode = 1;
} else {
  const { failures, faults, unreached } = await runClusterSeeds(Number(FIRST), Number(SEEDS));
  for (const [fault, times] of faults) console.log(`${String(times).padStart(9)}  ${fault}`);
  for (const failure of failures) console.log(`FAILED ${failure}`);
  if (unreached.length > 0) console.log(`never reached: ${unreached.join(', ')}`);
  if (failures.length > 0) process.exitCode = 1;
}
