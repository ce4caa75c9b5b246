/** What the observed agent tells of itself. */

export interface ObservedOptions {
  /** Pods come from the parent's messages. */
  readonly memory?: boolean;
  /** Watch how long the event loop stands still; that costs a timer of 1 ms. */
  readonly stalls?: boolean;
}

/** Counts since its start. Times as `now` gives them. */
export interface Observation {
  readonly mapped: number;
  readonly adopted: number;
  readonly released: number;
  readonly applied: number;
  readonly passes: number;
  /** Tracked connections deleted. */
  readonly flows: number;
  /** The loop was made: next the table is read and what stands is adopted. */
  readonly startedAt: number;
  /** The last mapping was announced. */
  readonly mappedAt: number;
  /** The last transaction was committed. */
  readonly appliedAt: number;
  /** Tracked connections were last looked through, and those that disagreed deleted. */
  readonly flowsAt: number;
  /** The last pass ended, and how long it took. */
  readonly passAt: number;
  readonly passMs: number;
  /** CPU time of the process since `startedAt`. */
  readonly cpuMs: number;
  /** In bytes. */
  readonly rss: number;
  /** Longest delay of a timer of 1 ms, 0 when not watched. */
  readonly stallMs: number;
}

/** CLOCK_MONOTONIC in ms: the same for every process of the machine. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
