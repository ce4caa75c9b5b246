/**
 * When watchers hear of changes, and what they are sent, made once for all of them: a lone change at once, further ones at most
 * once an interval. They are told by turns. Also of those that lag most are as far as others: what they are sent is shared too, as when
 * this process itself is late everybody lags, and to make it for each would make it later.
 */
import type { Change, MappingRegistry } from '../core/registry.ts';
import type { Clock } from '../reconcile/ports.ts';
import { latestOf } from './steps.ts';
import { Turns } from './turns.ts';

/** Batches that are kept: one for each filter that is watched, and each revision that watchers have come to. */
const MAX_BATCHES = 256;
/** A batch of more changes is kept for those only who do not lag: about 1 MB. */
const MAX_CHANGES = 4_096;
/** How many watchers are told in one turn: 100 µs each. */
const WATCHERS = 16;

export class ChangeFeed implements Disposable {
  readonly registry: MappingRegistry;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly #intervalMs: number;
  readonly #watchers: Turns;
  readonly #waiting = new Set<() => void>();
  readonly #latest = new Map<number, readonly Change[]>();
  readonly #batches = new Map<string, readonly Buffer[]>();
  readonly #unsubscribe: () => void;
  #revision: number;
  /** The newest revision before this one: where all watchers are that do not lag. */
  #previous: number;
  #publishedAt = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(registry: MappingRegistry, clock: Pick<Clock, 'monotonic' | 'after'>, intervalMs: number) {
    this.registry = registry;
    this.clock = clock;
    this.#watchers = new Turns(clock, WATCHERS);
    this.#intervalMs = intervalMs;
    this.#revision = registry.revision;
    this.#previous = this.#revision;
    this.#unsubscribe = registry.subscribe(() => this.#changed());
  }

  /** The newest revision that watchers are to hear of. */
  get revision(): number {
    return this.#revision;
  }

  /** Calls back once when there is a newer revision. Returns what takes that back. */
  wait(onRevision: () => void): () => void {
    this.#waiting.add(onRevision);
    return () => this.#waiting.delete(onRevision);
  }

  /**
   * What changed since the revision, up to the newest one that is to be heard of: the last change of each mapping. Undefined when
   * that is not known (any more).
   */
  latest(from: number): readonly Change[] | undefined {
    const known = this.#latest.get(from);
    if (known !== undefined) return known;
    const changes = this.registry.changesSince(from);
    if (changes === undefined) return undefined;
    const latest = latestOf(changes.slice(0, this.#revision - from));
    if (this.#isShared(from) && this.#latest.size < MAX_BATCHES) this.#latest.set(from, latest);
    return latest;
  }

  /**
   * What `make` makes, once for all who ask for the changes since the same revision by the same filter. Who lags far behind is given
   * what makes the answers one by one: there may be many, and each who lags would hold its own.
   */
  batch(filter: string, from: number, make: () => Iterable<Buffer>): Iterable<Buffer> {
    if (!this.#isShared(from)) return make();
    const key = `${from} ${filter}`;
    let batch = this.#batches.get(key);
    if (batch === undefined) {
      batch = [...make()];
      if (this.#batches.size < MAX_BATCHES) this.#batches.set(key, batch);
    }
    return batch;
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#cancel?.();
    this.#waiting.clear();
    this.#watchers[Symbol.dispose]();
  }

  #isShared(from: number): boolean {
    return from === this.#previous || this.#revision - from <= MAX_CHANGES;
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
    this.#previous = this.#revision;
    this.#revision = this.registry.revision;
    this.#latest.clear();
    this.#batches.clear();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const onRevision of waiting) this.#watchers.add(onRevision);
  }
}
