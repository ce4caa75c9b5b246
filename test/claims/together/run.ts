/** `npm run simulate:claims`: SEEDS=n runs n seeds from FIRST (1) on; SEED=n replays one and prints its trace. */
import { simulateTogether } from './simulation.ts';

const LINES = 200;
const { SEED, FIRST = '1', SEEDS = '200' } = process.env;
if (SEED !== undefined) {
  const run = await simulateTogether(Number(SEED), { lines: LINES });
  for (const line of run.lines) console.log(line);
  const { violation, events } = run;
  console.log(
    `seed ${SEED}: ${events} events: ${violation ? `VIOLATED ${violation.rule}: ${violation.detail}` : 'every rule held'}`,
  );
  if (violation !== undefined) process.exitCode = 1;
} else {
  let events = 0;
  let failed = 0;
  for (let seed = Number(FIRST); seed < Number(FIRST) + Number(SEEDS); seed++) {
    const { violation, ...run } = await simulateTogether(seed);
    events += run.events;
    if (violation === undefined) continue;
    failed++;
    console.log(`FAILED seed ${seed}: ${violation.rule}: ${violation.detail}`);
    process.exitCode = 1;
  }
  console.log(`${SEEDS} seeds, ${events} events, ${failed} failed`);
}
