/**
 * The live mappings of one node or of many, in the order of their keys, with a revision and a bounded history so that a
 * reader can ask what changed since. Pure: it never reads a clock; a change is in place when the call returns.
 */
import {
  BY_KEY,
  hasPrefixOf,
  keyOf,
  type LiveMapping,
  type MappingFilter,
  matches,
  prefixOf,
  sameMapping,
  withStale,
} from './livemapping.ts';
import { SortedMap } from './sortedmap.ts';
import type { Mapping, PodRef, Protocol } from './vocabulary.ts';

/** One change of the mapping of one key. Came: no `before`; went: no `after`. */
export interface Change {
  readonly before: LiveMapping | undefined;
  readonly after: LiveMapping | undefined;
}

export interface Page {
  readonly items: readonly LiveMapping[];
  /** The key after which more may follow. */
  readonly next: string | undefined;
}

/** About 5 ms of a busy processor, for which nobody else is answered. */
const MAX_LOOKED = 10_000;

const NONE: SortedMap<LiveMapping> = new SortedMap(BY_KEY);

export class MappingRegistry {
  readonly #mappings = new SortedMap(BY_KEY);
  /** The same by node, as one node of thousands is often asked for. */
  readonly #nodes = new Map<string, SortedMap<LiveMapping>>();
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
    return this.#mappings.size;
  }

  /** A mapping that is live with the same values already stays as it is, `since` included, and is no change. */
  set(node: string, mapping: Mapping, since: number): void {
    this.put(keyOf(node, mapping.pod, mapping.name, mapping.protocol), { node, mapping, since });
  }

  /** Deleting what is not there is no error and no change. */
  delete(node: string, pod: PodRef, name: string, protocol: Protocol): void {
    this.remove(keyOf(node, pod, name, protocol));
  }

  /** As `set`, for one whose key is known; going stale or fresh is a change that keeps `since`. */
  put(key: string, live: LiveMapping): void {
    const before = this.#mappings.get(key);
    const same = before !== undefined && sameMapping(before.mapping, live.mapping);
    if (same && before.stale === live.stale) return;
    const after = same ? withStale(before, live.stale) : live;
    this.#mappings.set(key, after);
    this.#setOfNode(key, after);
    this.#changed({ before, after });
  }

  /** As `delete`, for one whose key is known. */
  remove(key: string): void {
    const before = this.#mappings.get(key);
    if (before === undefined) return;
    this.#mappings.delete(key);
    const ofNode = this.#nodes.get(before.node);
    ofNode?.delete(key);
    if (ofNode?.size === 0) this.#nodes.delete(before.node);
    this.#changed({ before, after: undefined });
  }

  /** Those of one node, until the next change. */
  ofNode(node: string): Pick<SortedMap<LiveMapping>, 'size' | 'has' | 'keys' | 'from'> {
    return this.#nodes.get(node) ?? NONE;
  }

  /** Everything that matches, in the order of the keys. */
  all(filter: MappingFilter): LiveMapping[] {
    return [...this.#walk(filter, '')].filter((live) => matches(filter, live));
  }

  /**
   * At most `limit` matching mappings whose keys come after `after`, which need not exist (any more). Fewer, but one, when `fits` says
   * that another has no room left. Fewer, or none, when those that match are far between: a page is looked for in MAX_LOOKED mappings.
   */
  page(filter: MappingFilter, after: string, limit: number, fits: (live: LiveMapping) => boolean = () => true): Page {
    const items: LiveMapping[] = [];
    let last: LiveMapping | undefined;
    let looked = 0;
    for (const live of this.#walk(filter, after)) {
      const wanted = matches(filter, live);
      const full = wanted && (items.length === limit || (items.length > 0 && !fits(live)));
      if (last !== undefined && (full || looked === MAX_LOOKED)) return { items, next: BY_KEY.keyOf(last) };
      if (wanted) items.push(live);
      last = live;
      looked += 1;
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

  /** It is known what changed since the revision, and will be for as many changes as are known of it now. */
  isRecent(revision: number): boolean {
    return this.#revision - revision <= this.#history.length / 2;
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

  #setOfNode(key: string, live: LiveMapping): void {
    let ofNode = this.#nodes.get(live.node);
    if (ofNode === undefined) {
      ofNode = new SortedMap(BY_KEY);
      this.#nodes.set(live.node, ofNode);
    }
    ofNode.set(key, live);
  }

  /** Those whose keys come after `after` and that are where alone some may match. */
  *#walk(filter: MappingFilter, after: string): Generator<LiveMapping> {
    const prefix = prefixOf(filter);
    const compare = BY_KEY.comparing(after);
    const among = filter.node === undefined ? this.#mappings : this.ofNode(filter.node);
    let first = true;
    for (const live of among.from(after > prefix ? after : prefix)) {
      if (!hasPrefixOf(filter, live)) return;
      if (!first || compare(live) !== 0) yield live;
      first = false;
    }
  }
}

/** Of the mapping that changed. */
export function keyOfChange({ before, after }: Change): string {
  return BY_KEY.keyOf((after ?? before) as LiveMapping);
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
