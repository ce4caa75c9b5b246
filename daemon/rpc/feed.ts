/**
 * When watchers hear of changes, and what they are sent, made once for all of them: a lone change at once, further ones at most
 * once an interval. What a watcher that lags behind is sent differs from what others are, and is made for it alone.
 */
import type { MappingRegistry } from '../core/registry.ts';
import type { Clock } from '../reconcile/ports.ts';

/** Batches that are kept: one for each filter that is watched. */
const MAX_BATCHES = 256;

export class ChangeFeed implements Disposable {
  readonly registry: MappingRegistry;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly #intervalMs: number;
  readonly #waiting = new Set<() => void>();
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
   * What `make` makes, once for all who ask for the changes since the last revision by the same filter. Who lags behind is given what
   * makes the answers one by one: there may be many, and each who lags would hold its own.
   */
  batch(filter: string, from: number, make: () => Iterable<Buffer>): Iterable<Buffer> {
    if (from !== this.#previous) return make();
    let batch = this.#batches.get(filter);
    if (batch === undefined) {
      batch = [...make()];
      if (this.#batches.size < MAX_BATCHES) this.#batches.set(filter, batch);
    }
    return batch;
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#cancel?.();
    this.#waiting.clear();
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
    this.#batches.clear();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const onRevision of waiting) onRevision();
  }
}
