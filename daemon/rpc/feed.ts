/**
 * When watchers hear of changes, and what they are sent, made once for all of them: a lone change at once, further ones at most
 * once an interval. They are told by turns, and go by the same steps: also what those are sent that lag is made once, as when this process
 * itself is late everybody lags, and to make it for each would make it later.
 */
import type { Change, MappingRegistry } from '../core/registry.ts';
import type { Clock } from '../reconcile/ports.ts';
import { latestOf } from './steps.ts';
import { Turns } from './turns.ts';

/** Who lags by so many steps goes each of them, as everybody went: who lags by more goes larger ones. */
const LAG = 8;
/** The most changes of a step: about 1 MB. */
const MAX_CHANGES = 4_096;
/** What is kept of batches, made for each filter that is watched, and for how many steps when nobody asks for it. */
const KEPT_BYTES = 16 * 1024 * 1024;
const KEPT_STEPS = 8;
/** What one costs besides its bytes. */
const ENTRY = 256;

interface Batch {
  readonly answers: readonly Buffer[];
  readonly bytes: number;
  /** At which step it was asked for last. */
  used: number;
}

/** How many watchers are told in one turn: 100 µs each. */
const WATCHERS = 16;

export class ChangeFeed implements Disposable {
  readonly registry: MappingRegistry;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly #intervalMs: number;
  readonly #watchers: Turns;
  readonly #waiting = new Set<() => void>();
  /** Of the step that was asked for last: by other filters too. */
  #latest: { readonly from: number; readonly to: number; readonly changes: readonly Change[] } | undefined;
  /** The oldest first. */
  readonly #batches = new Map<string, Batch>();
  #bytes = 0;
  #steps = 0;
  readonly #unsubscribe: () => void;
  #revision: number;
  /** The newest revisions before that, the oldest first: where watchers are that do not lag much. */
  readonly #previous: number[] = [];
  #publishedAt = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(registry: MappingRegistry, clock: Pick<Clock, 'monotonic' | 'after'>, intervalMs: number) {
    this.registry = registry;
    this.clock = clock;
    this.#watchers = new Turns(clock, WATCHERS);
    this.#intervalMs = intervalMs;
    this.#revision = registry.revision;
    this.#unsubscribe = registry.subscribe(() => this.#changed());
  }

  /** The newest revision that watchers are to hear of. */
  get revision(): number {
    return this.#revision;
  }

  /** How much is kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Calls back once when there is a newer revision. Returns what takes that back. */
  wait(onRevision: () => void): () => void {
    this.#waiting.add(onRevision);
    return () => this.#waiting.delete(onRevision);
  }

  /**
   * Up to where to tell next who has come to this revision: all go by the same steps, however late each of them is. If each went from where it
   * is to the newest revision, they would be at as many places, with a batch for each, whenever this process is late.
   */
  next(from: number): number {
    const [oldest = this.#revision] = this.#previous;
    if (from >= oldest && this.#revision - from <= MAX_CHANGES) {
      return this.#previous.find((revision) => revision > from) ?? this.#revision;
    }
    return Math.min(this.#revision, (Math.floor(from / MAX_CHANGES) + 1) * MAX_CHANGES);
  }

  /** The last change of each mapping between the revisions. Undefined when that is not known (any more). */
  latest(from: number, to: number): readonly Change[] | undefined {
    if (this.#latest?.from === from && this.#latest.to === to) return this.#latest.changes;
    const all = this.registry.changesSince(from, to);
    if (all === undefined) return undefined;
    const changes = latestOf(all);
    this.#latest = { from, to, changes };
    return changes;
  }

  /** What `make` makes, once for all who ask for the changes of a step by the same filter. */
  batch(filter: string, from: number, to: number, make: () => Iterable<Buffer>): readonly Buffer[] {
    const key = `${from} ${to} ${filter}`;
    const known = this.#batches.get(key);
    if (known !== undefined) {
      known.used = this.#steps;
      return known.answers;
    }
    const answers = [...make()];
    const bytes = answers.reduce((sum, { length }) => sum + length, ENTRY);
    this.#batches.set(key, { answers, bytes, used: this.#steps });
    this.#bytes += bytes;
    for (const [oldest, batch] of this.#batches) {
      if (this.#bytes <= KEPT_BYTES) break;
      this.#drop(oldest, batch);
    }
    return answers;
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#cancel?.();
    this.#waiting.clear();
    this.#watchers[Symbol.dispose]();
  }

  #drop(key: string, { bytes }: Batch): void {
    this.#bytes -= bytes;
    this.#batches.delete(key);
  }

  /** In the midst of the call that changes the registry: more may follow in the same turn. */
  #changed(): void {
    if (this.#cancel !== undefined) return;
    const due = this.#publishedAt + this.#intervalMs - this.clock.monotonic();
    this.#cancel = this.clock.after(Math.max(0, due), () => this.#publish());
  }

  #publish(): void {
    this.#cancel = undefined;
    this.#publishedAt = this.clock.monotonic();
    this.#previous.push(this.#revision);
    if (this.#previous.length > LAG) this.#previous.shift();
    this.#revision = this.registry.revision;
    this.#latest = undefined;
    this.#steps += 1;
    for (const [key, batch] of this.#batches) if (this.#steps - batch.used > KEPT_STEPS) this.#drop(key, batch);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const onRevision of waiting) this.#watchers.add(onRevision);
  }
}
