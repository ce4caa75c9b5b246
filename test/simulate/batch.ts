/**
 * Many seeds, each run twice: the second run must leave the same trace to the last call, or a failure could not be
 * replayed. Spread over worker processes, as a run keeps a core busy.
 */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { WrapWorld } from './agentlife.ts';
import { FAULTS, type Fault } from './faults.ts';
import { simulate } from './simulation.ts';

export interface Failure {
  readonly seed: number;
  readonly message: string;
}

export interface BatchResult {
  readonly runs: number;
  readonly failures: readonly Failure[];
  readonly faults: Readonly<Record<string, number>>;
  readonly events: number;
}

/** A batch stops after so many failures: the first says it. */
const MAX_FAILURES = 5;
const unchanged: WrapWorld = (world) => world;

/** The seeds from `first` to `last`, in this process. */
export async function runSeeds(first: number, last: number): Promise<BatchResult> {
  const failures: Failure[] = [];
  const faults: Record<string, number> = {};
  let runs = 0;
  let events = 0;
  for (let seed = first; seed <= last && failures.length < MAX_FAILURES; seed++) {
    const run = await simulate(seed, { lines: 0, judged: true, wrap: unchanged });
    // Judging must change nothing, or it would hide what it judges.
    const again = await simulate(seed, { lines: 0, judged: false, wrap: unchanged });
    runs++;
    events += run.events;
    for (const [fault, count] of run.counts.entries()) faults[fault] = (faults[fault] ?? 0) + count;
    if (run.violation !== undefined) failures.push({ seed, message: run.violation.message });
    // A run that was judged to be wrong ends there.
    else if (run.hash !== again.hash)
      failures.push({ seed, message: `two runs differ: ${run.hash} and ${again.hash}` });
  }
  return { runs, failures, faults, events };
}

/** The seeds from `first` on, `count` of them, on every core. */
export async function runParallel(
  first: number,
  count: number,
  workers = availableParallelism(),
): Promise<BatchResult> {
  const share = Math.ceil(count / workers);
  const results = await Promise.all(
    Array.from({ length: Math.min(workers, count) }, (_, index) => {
      const from = first + index * share;
      return inWorker(from, Math.min(from + share, first + count) - 1);
    }),
  );
  const faults: Record<string, number> = {};
  for (const result of results) {
    for (const [fault, times] of Object.entries(result.faults)) faults[fault] = (faults[fault] ?? 0) + times;
  }
  return {
    runs: results.reduce((sum, { runs }) => sum + runs, 0),
    failures: results.flatMap(({ failures }) => failures),
    faults,
    events: results.reduce((sum, { events }) => sum + events, 0),
  };
}

/** The faults that no run reached. */
export function unreached(result: BatchResult): readonly Fault[] {
  return FAULTS.filter((fault) => (result.faults[fault] ?? 0) === 0);
}

function inWorker(first: number, last: number): Promise<BatchResult> {
  return new Promise((resolve, reject) => {
    const worker = fork(fileURLToPath(new URL('worker.ts', import.meta.url)), [String(first), String(last)], {
      // A run makes much garbage that is dead soon: with room for it, collecting takes half the time.
      execArgv: ['--max-semi-space-size=32'],
    });
    let result: BatchResult | undefined;
    worker.once('message', (message) => {
      result = message as BatchResult;
    });
    worker.once('error', reject);
    worker.once('exit', (code) => {
      if (result === undefined) reject(new Error(`the worker of seeds ${first} to ${last} ended with ${code}`));
      else resolve(result);
    });
  });
}
