/**
 * Bounds the log lines of what goes wrong again and again (I10): the same thing is said at its 1st, 2nd, 4th, 8th … time,
 * and all things of one kind together at most 100 times a minute. It forgets what has not come back for ten minutes.
 */
import type { Clock } from '../reconcile/ports.ts';

const QUIET_MS = 600_000;
const LINES_PER_MINUTE = 100;
/** The oldest is forgotten beyond. */
const MAX_REMEMBERED = 1024;

interface Seen {
  readonly kind: string;
  readonly subject: string;
  count: number;
  last: number;
}

interface Budget {
  lines: number;
  since: number;
  withheld: number;
}

/** How often it happened, and how many lines of its kind were withheld by the budget since the last line. */
export interface Admitted {
  readonly count: number;
  readonly withheld: number;
}

export class Repetition {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** In the order of the last occurrence. */
  readonly #seen = new Map<string, Seen>();
  readonly #budgets = new Map<string, Budget>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Undefined when no line is to be written. Kinds are few and fixed; subjects and texts may be anything. */
  admit(kind: string, subject: string, text: string): Admitted | undefined {
    const now = this.#clock.monotonic();
    const count = this.#count(kind, subject, text, now);
    // A power of two has one bit set.
    if ((count & (count - 1)) !== 0) return undefined;
    const budget = this.#refilled(kind, now);
    if (budget.lines < 1) {
      budget.withheld++;
      return undefined;
    }
    const { withheld } = budget;
    budget.lines--;
    budget.withheld = 0;
    return { count, withheld };
  }

  /** The subject is well again: whatever comes next of it is new. True when something of it was remembered. */
  settle(kind: string, subject: string): boolean {
    let known = false;
    for (const [key, seen] of this.#seen) {
      if (seen.kind === kind && seen.subject === subject) known = this.#seen.delete(key);
    }
    return known;
  }

  #count(kind: string, subject: string, text: string, now: number): number {
    const key = `${kind}\n${subject}\n${text}`;
    const before = this.#seen.get(key);
    this.#seen.delete(key);
    const seen = before !== undefined && now - before.last < QUIET_MS ? before : { kind, subject, count: 0, last: now };
    seen.count++;
    seen.last = now;
    this.#seen.set(key, seen);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MAX_REMEMBERED && oldest !== undefined) this.#seen.delete(oldest);
    return seen.count;
  }

  #refilled(kind: string, now: number): Budget {
    const budget = this.#budgets.get(kind) ?? { lines: LINES_PER_MINUTE, since: now, withheld: 0 };
    budget.lines = Math.min(LINES_PER_MINUTE, budget.lines + ((now - budget.since) / 60_000) * LINES_PER_MINUTE);
    budget.since = now;
    this.#budgets.set(kind, budget);
    return budget;
  }
}
