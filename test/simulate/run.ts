/**
 * `make simulate`: SEEDS=n runs n seeds from FIRST (1) on; SEED=n replays one and prints its trace. Ends with 1 when
 * a seed failed.
 */
import { runParallel, unreached } from './batch.ts';
import { simulate } from './simulation.ts';

const LINES = 40;

async function replay(seed: number): Promise<void> {
  const run = await simulate(seed, { lines: LINES, judged: true, wrap: (world) => world });
  for (const line of run.lines) console.log(line);
  console.log(`seed ${seed}: ${run.events} events in ${Math.round(run.duration / 1_000)} virtual s, trace ${run.hash}`);
  console.log(run.violation === undefined ? 'every invariant held' : `VIOLATED ${run.violation.message}`);
  if (run.violation !== undefined) process.exitCode = 1;
}

async function many(first: number, count: number): Promise<void> {
  const began = performance.now();
  const result = await runParallel(first, count);
  for (const [fault, times] of Object.entries(result.faults)) console.log(`${String(times).padStart(9)}  ${fault}`);
  const missing = unreached(result);
  if (missing.length > 0) console.log(`never reached: ${missing.join(', ')}`);
  for (const { seed, message } of result.failures)
    console.log(`FAILED seed ${seed}: ${message}\n  replay: make simulate SEED=${seed}`);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  console.log(
    `${result.runs} seeds, each twice, ${result.events} events, ${seconds} s, ${result.failures.length} failed`,
  );
  if (result.failures.length > 0) process.exitCode = 1;
}

function number(name: string, fallback: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return fallback;
  if (!/^[0-9]+$/.test(text)) throw new Error(`${name}=${text} is not a number`);
  return Number(text);
}

const seed = number('SEED', 0);
if (seed > 0) await replay(seed);
else await many(number('FIRST', 1), number('SEEDS', 1_000));
