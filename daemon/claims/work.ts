/**
 * The steps that are to be done, a few at a time, one for an object at a time. What failed waits, longer each time (I10); a new plan
 * replaces what has not begun.
 */
import { type Step, subjectOf } from '../core/claims/steps.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import type { Outcome } from './carrier.ts';

/** At the same time. */
const HANDS = 8;
/** After what was seen turned out to be old, and after no answer or a refusal; both in ms. */
const STALE = { first: 50, cap: 5_000 } as const;
const FAILED = { first: 500, cap: 30_000 } as const;

export interface WorkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly carry: (step: Step) => Promise<Outcome>;
  readonly done: (step: Step, outcome: Outcome) => void;
  readonly failed: (step: Step, error: unknown) => void;
  /** Something has ended: the plan may be another one now. */
  readonly changed: () => void;
}

interface Rest {
  readonly failures: number;
  readonly until: number;
}

export class Work {
  readonly #options: WorkOptions;
  /** The next one last: taking the first off a long array moves all others. */
  #queue: Step[] = [];
  /** By subject. */
  readonly #running = new Map<string, Promise<void>>();
  /** By kind and subject. */
  readonly #resting = new Map<string, Rest>();
  /** The subjects of steps that ended since the next plan was begun. */
  readonly #ended = new Set<string>();
  #stopped = false;

  constructor(options: WorkOptions) {
    this.#options = options;
  }

  get idle(): boolean {
    return this.#running.size === 0 && this.#queue.length === 0;
  }

  /** Monotonic ms at which something that waits may be tried again; Infinity: nothing waits. */
  get dueAt(): number {
    const now = this.#options.clock.monotonic();
    let due = Number.POSITIVE_INFINITY;
    for (const { until } of this.#resting.values()) if (until > now && until < due) due = until;
    return due;
  }

  /** What is seen now is what the next plan is made of. */
  begin(): void {
    this.#ended.clear();
  }

  plan(steps: readonly Step[]): void {
    const now = this.#options.clock.monotonic();
    const wanted = new Set(steps.map(keyOf));
    // What nobody wants any more has no failures.
    for (const key of this.#resting.keys()) if (!wanted.has(key)) this.#resting.delete(key);
    // What is under way is decided on again when it has ended, and so is what ended while this was decided.
    const isBehind = (subject: string) => this.#running.has(subject) || this.#ended.has(subject);
    const isDue = (step: Step) => (this.#resting.get(keyOf(step))?.until ?? 0) <= now;
    this.#queue = steps.filter((step) => isDue(step) && !isBehind(subjectOf(step))).reverse();
    this.#start();
  }

  /** Begins nothing more; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#queue = [];
    await Promise.all(this.#running.values());
  }

  #start(): void {
    while (!this.#stopped && this.#running.size < HANDS) {
      const step = this.#queue.pop();
      if (step === undefined) return;
      const subject = subjectOf(step);
      if (!this.#running.has(subject)) this.#running.set(subject, this.#run(subject, step));
    }
  }

  async #run(subject: string, step: Step): Promise<void> {
    const { carry, done, failed, changed } = this.#options;
    const key = keyOf(step);
    try {
      const outcome = await carry(step);
      if (outcome === 'done') this.#resting.delete(key);
      else this.#rest(key, STALE);
      done(step, outcome);
    } catch (error) {
      this.#rest(key, FAILED);
      if (!this.#stopped) failed(step, error);
    }
    this.#running.delete(subject);
    this.#ended.add(subject);
    if (this.#stopped) return;
    changed();
    this.#start();
  }

  #rest(key: string, { first, cap }: { readonly first: number; readonly cap: number }): void {
    const { clock, random } = this.#options;
    const failures = (this.#resting.get(key)?.failures ?? 0) + 1;
    const wait = Math.min(cap, first * 2 ** Math.min(failures - 1, 30)) * (0.5 + random() / 2);
    this.#resting.set(key, { failures, until: clock.monotonic() + wait });
  }
}

function keyOf(step: Step): string {
  return `${step.kind} ${subjectOf(step)}`;
}
