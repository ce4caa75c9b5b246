/**
 * The live mappings of one node or of many, in the order of their keys, with a revision and a bounded history so that a
 * reader can ask what changed since. Pure: it never reads a clock; a change is in place when the call returns.
 */
import {
  keyOf,
  type LiveMapping,
  type MappingFilter,
  matches,
  prefixOf,
  sameMapping,
  withStale,
} from './livemapping.ts';
import type { Mapping, PodRef, Protocol } from './vocabulary.ts';

/** One change. Came: no `before`; went: no `after`. */
export interface Change {
  readonly key: string;
  readonly before: LiveMapping | undefined;
  readonly after: LiveMapping | undefined;
}

export interface Page {
  readonly items: readonly LiveMapping[];
  /** The key of the last item when more follow. */
  readonly next: string | undefined;
}

interface Slot {
  readonly key: string;
  readonly live: LiveMapping;
}

export class MappingRegistry {
  /** Sorted by key. A change shifts what follows: 3 µs at 10,000 mappings, 25 µs at 300,000. */
  readonly #slots: Slot[] = [];
  /** A ring: the change that led to revision r stands at (r − 1) mod limit. */
  readonly #history: Change[] = [];
  readonly #limit: number;
  readonly #listeners = new Set<() => void>();
  #revision = 0;

  /** `historyLimit` is how many changes are kept for readers that ask what changed since. */
  constructor(historyLimit = 10_000) {
    this.#limit = historyLimit;
  }

  /** How many changes there have been. */
  get revision(): number {
    return this.#revision;
  }

  /** How many mappings there are. */
  get size(): number {
    return this.#slots.length;
  }

  /** A mapping that is live with the same values already stays as it is, `since` included, and is no change. */
  set(node: string, mapping: Mapping, since: number): void {
    this.put(keyOf(node, mapping.pod, mapping.name, mapping.protocol), { node, mapping, since });
  }

  /** Deleting what is not there is no error and no change. */
  delete(node: string, pod: PodRef, name: string, protocol: Protocol): void {
    this.remove(keyOf(node, pod, name, protocol));
  }

  /** As `set`, for one whose key is known; going stale or fresh is a change that keeps `since`. Returns what is held now. */
  put(key: string, live: LiveMapping): LiveMapping {
    const index = this.#indexOf(key);
    const before = this.#at(index, key);
    const same = before !== undefined && sameMapping(before.mapping, live.mapping);
    if (same && before.stale === live.stale) return before;
    const after = same ? withStale(before, live.stale) : live;
    this.#slots.splice(index, before === undefined ? 0 : 1, { key, live: after });
    this.#changed({ key, before, after });
    return after;
  }

  /** As `delete`, for one whose key is known. */
  remove(key: string): void {
    const index = this.#indexOf(key);
    const before = this.#at(index, key);
    if (before === undefined) return;
    this.#slots.splice(index, 1);
    this.#changed({ key, before, after: undefined });
  }

  /** Everything that matches, in the order of the keys. */
  all(filter: MappingFilter): LiveMapping[] {
    return [...this.#walk(filter, '')].map((slot) => slot.live);
  }

  /**
   * At most `limit` matching mappings whose keys come after `after`, which need not exist (any more), and fewer when
   * `fits` says that one has no room left. At least one, if there is any.
   */
  page(filter: MappingFilter, after: string, limit: number, fits: (live: LiveMapping) => boolean = () => true): Page {
    const items: LiveMapping[] = [];
    let last = after;
    for (const { key, live } of this.#walk(filter, after)) {
      if (items.length === limit || (items.length > 0 && !fits(live))) return { items, next: last };
      items.push(live);
      last = key;
    }
    return { items, next: undefined };
  }

  /** What changed after the revision, oldest first; undefined when that is not known (any more). */
  changesSince(revision: number): readonly Change[] | undefined {
    const count = this.#revision - revision;
    if (count === 0) return [];
    if (!(count > 0 && count <= this.#history.length)) return undefined;
    const from = revision % this.#limit;
    const newest = this.#history.slice(from, from + count);
    return newest.length === count ? newest : [...newest, ...this.#history.slice(0, count - newest.length)];
  }

  /** Calls back after every change, before the call that made it returns. Returns what ends that. */
  subscribe(onChange: () => void): () => void {
    this.#listeners.add(onChange);
    return () => this.#listeners.delete(onChange);
  }

  #changed(change: Change): void {
    this.#history[this.#revision % this.#limit] = change;
    this.#revision += 1;
    for (const onChange of this.#listeners) onChange();
  }

  *#walk(filter: MappingFilter, after: string): Generator<Slot> {
    const prefix = prefixOf(filter);
    const start = after > prefix ? after : prefix;
    for (let index = this.#indexOf(start); index < this.#slots.length; index += 1) {
      const slot = this.#slots[index] as Slot;
      if (!slot.key.startsWith(prefix)) return;
      if (slot.key !== after && matches(filter, slot.live)) yield slot;
    }
  }

  /** Where the key stands, or would stand. */
  #indexOf(key: string): number {
    let low = 0;
    let high = this.#slots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#slots[middle] as Slot).key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #at(index: number, key: string): LiveMapping | undefined {
    const slot = this.#slots[index];
    return slot?.key === key ? slot.live : undefined;
  }
}

/**
 * The registry as the reconcile loop of one node sees it (its interface `Registry`). `now` gives ms since the epoch.
 */
export function registryOfNode(registry: MappingRegistry, node: string, now: () => number) {
  return {
    set(mapping: Mapping): void {
      registry.set(node, mapping, now());
    },
    delete(pod: PodRef, name: string, protocol: Protocol): void {
      registry.delete(node, pod, name, protocol);
    },
  };
}
