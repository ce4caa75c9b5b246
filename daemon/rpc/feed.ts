/**
 * When watchers hear of changes, and what they are sent, made once for all of them: a lone change at once, further ones at most
 * once an interval. They are told by turns, and go by the same steps: also what those are sent that lag is made once, as when this process
 * itself is late everybody lags, and to make it for each would make it later.
 */
import type { Change, MappingRegistry } from '../core/registry.ts';
import type { Clock } from '../reconcile/ports.ts';
import { latestOf } from './steps.ts';
import { Turns } from './turns.ts';

/** Who lags by so many batches is sent each of them, as everybody was: by more, what they come to together. */
const LAG = 8;
/** As many changes at most: 1 MB. */
const MAX_CHANGES = 4_096;
/** What is kept of batches, made for each filter that is watched. */
const KEPT_BYTES = 16 * 1024 * 1024;
/** What one costs besides its bytes. */
const ENTRY = 256;
/** How many watchers are told in one turn: 100 µs each. */
const WATCHERS = 16;

export class ChangeFeed implements Disposable {
  readonly registry: MappingRegistry;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly #intervalMs: number;
  readonly #watchers: Turns;
  readonly #waiting = new Set<() => void>();
  readonly #latest = new Map<string, readonly Change[]>();
  /** The oldest first. */
  readonly #batches = new Map<string, readonly Buffer[]>();
  #bytes = 0;
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

  /** Calls back once when there is a newer revision. Returns what takes that back. */
  wait(onRevision: () => void): () => void {
    this.#waiting.add(onRevision);
    return () => this.#waiting.delete(onRevision);
  }

  /**
   * Up to where to tell next who has come to this revision: all who do not lag much go by the same steps, however late each of them is. If each
   * went from where it is to the newest revision, they would be at as many places, with a batch for each, whenever this process is late.
   */
  next(from: number): number {
    const [oldest = this.#revision] = this.#previous;
    if (from < oldest || this.#revision - from > MAX_CHANGES) return this.#revision;
    return this.#previous.find((revision) => revision > from) ?? this.#revision;
  }

  /** The last change of each mapping between the revisions. Undefined when that is not known (any more). */
  latest(from: number, to: number): readonly Change[] | undefined {
    const key = `${from} ${to}`;
    const known = this.#latest.get(key);
    if (known !== undefined) return known;
    const changes = this.registry.changesSince(from, to);
    if (changes === undefined) return undefined;
    const latest = latestOf(changes);
    if (to - from <= MAX_CHANGES) this.#latest.set(key, latest);
    return latest;
  }

  /**
   * What `make` makes, once for all who ask for the changes between the same revisions by the same filter. Who lags far behind is given
   * what makes the answers one by one: there may be many, and each who lags would hold its own.
   */
  batch(filter: string, from: number, to: number, make: () => Iterable<Buffer>): Iterable<Buffer> {
    if (to - from > MAX_CHANGES && from !== this.#previous.at(-1)) return make();
    const key = `${from} ${to} ${filter}`;
    const known = this.#batches.get(key);
    if (known !== undefined) return known;
    const batch = [...make()];
    this.#batches.set(key, batch);
    this.#bytes += bytesOf(batch);
    for (const oldest of this.#batches.keys()) {
      if (this.#bytes <= KEPT_BYTES) break;
      this.#drop(oldest);
    }
    return batch;
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#cancel?.();
    this.#waiting.clear();
    this.#watchers[Symbol.dispose]();
  }

  #drop(key: string): void {
    this.#bytes -= bytesOf(this.#batches.get(key) ?? []);
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
    this.#latest.clear();
    const [oldest = this.#revision] = this.#previous;
    for (const key of this.#batches.keys()) if (Number.parseInt(key, 10) < oldest) this.#drop(key);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const onRevision of waiting) this.#watchers.add(onRevision);
  }
}

function bytesOf(batch: readonly Buffer[]): number {
  return batch.reduce((sum, { length }) => sum + length, ENTRY);
}
