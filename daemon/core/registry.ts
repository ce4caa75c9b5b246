/**
 * The live mappings of one node or of many, in the order of their keys, with a revision and a bounded history so that a
 * reader can ask what changed since. Pure: it never reads a clock; a change is in place when the call returns.
 */
import { keyOf, type LiveMapping, type MappingFilter, matches, prefixOf } from './livemapping.ts';
import { BY_KEY, mayMatch, type PackedMapping, pack, sameValues, unpack, withStale } from './packedmapping.ts';
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

/** A change as it is kept. */
interface PackedChange {
  readonly before: PackedMapping | undefined;
  readonly after: PackedMapping | undefined;
}

const NONE: SortedMap<PackedMapping> = new SortedMap(BY_KEY);

export class MappingRegistry {
  readonly #mappings = new SortedMap(BY_KEY);
  /** The same by node, as one node of thousands is often asked for. */
  readonly #nodes = new Map<string, SortedMap<PackedMapping>>();
  /** A ring: the change that led to revision r stands at (r − 1) mod limit. */
  readonly #history: PackedChange[] = [];
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
    const packed = pack(live);
    this.#update(key, (before) => {
      if (before === undefined || !sameValues(before, packed)) return packed;
      return before.stale === packed.stale ? before : withStale(before, packed.stale);
    });
  }

  /** What is there is known to be up to date no more. */
  markStale(key: string): void {
    if (!this.#mappings.has(key)) return;
    this.#update(key, (before) => (before?.stale ? before : withStale(before as PackedMapping, true)));
  }

  /** As `delete`, for one whose key is known. */
  remove(key: string): void {
    const before = this.#mappings.delete(key);
    if (before === undefined) return;
    const ofNode = this.#nodes.get(before.node);
    ofNode?.delete(key);
    if (ofNode?.size === 0) this.#nodes.delete(before.node);
    this.#changed({ before, after: undefined });
  }

  /** Those of one node, until the next change. */
  ofNode(node: string): Pick<SortedMap<unknown>, 'size' | 'has' | 'keys'> {
    return this.#nodes.get(node) ?? NONE;
  }

  /** Everything that matches, in the order of the keys. */
  all(filter: MappingFilter): LiveMapping[] {
    const matching = matcherOf(filter);
    return [...this.#walk(filter, '')].flatMap((packed) => matching(packed) ?? []);
  }

  /**
   * At most `limit` matching mappings whose keys come after `after`, which need not exist (any more). Fewer, but one, when `fits` says
   * that another has no room left. Fewer, or none, when those that match are far between: a page is looked for in MAX_LOOKED mappings.
   */
  page(filter: MappingFilter, after: string, limit: number, fits: (live: LiveMapping) => boolean = () => true): Page {
    const matching = matcherOf(filter);
    const items: LiveMapping[] = [];
    let last: PackedMapping | undefined;
    let looked = 0;
    for (const packed of this.#walk(filter, after)) {
      const live = matching(packed);
      const full = live !== undefined && (items.length === limit || (items.length > 0 && !fits(live)));
      if (last !== undefined && (full || looked === MAX_LOOKED)) return { items, next: BY_KEY.keyOf(last) };
      if (live !== undefined) items.push(live);
      last = packed;
      looked += 1;
    }
    return { items, next: undefined };
  }

  /** What changed after the revision, up to another one, oldest first; undefined when that is not known (any more). */
  changesSince(revision: number, to = this.#revision): readonly Change[] | undefined {
    const known = this.#revision - revision;
    if (known === 0) return [];
    if (!(known > 0 && known <= this.#history.length)) return undefined;
    const [from, count] = [revision % this.#limit, to - revision];
    const first = this.#history.slice(from, from + count);
    const rest = first.length === count ? [] : this.#history.slice(0, count - first.length);
    return [...first, ...rest].map(unpackedChange);
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

  /** No change when `change` gives what was there. */
  #update(key: string, change: (before: PackedMapping | undefined) => PackedMapping): void {
    let before: PackedMapping | undefined;
    let after: PackedMapping | undefined;
    this.#mappings.update(key, (found) => {
      before = found;
      after = change(found);
      return after;
    });
    if (after === undefined || after === before) return;
    this.#setOfNode(key, after);
    this.#changed({ before, after });
  }

  #changed(change: PackedChange): void {
    this.#history[this.#revision % this.#limit] = change;
    this.#revision += 1;
    for (const onChange of this.#listeners) onChange();
  }

  #setOfNode(key: string, packed: PackedMapping): void {
    let ofNode = this.#nodes.get(packed.node);
    if (ofNode === undefined) {
      ofNode = new SortedMap(BY_KEY);
      this.#nodes.set(packed.node, ofNode);
    }
    ofNode.set(key, packed);
  }

  /** Those whose keys come after `after` and that are where alone some may match. */
  *#walk(filter: MappingFilter, after: string): Generator<PackedMapping> {
    const prefix = prefixOf(filter);
    const compare = BY_KEY.comparing(after);
    const among = filter.node === undefined ? this.#mappings : (this.#nodes.get(filter.node) ?? NONE);
    let first = true;
    for (const packed of among.from(after > prefix ? after : prefix)) {
      if (!packed.text.startsWith(prefix)) return;
      if (!first || compare(packed) !== 0) yield packed;
      first = false;
    }
  }
}

/** The mapping that was packed, if the filter means it. */
function matcherOf(filter: MappingFilter): (packed: PackedMapping) => LiveMapping | undefined {
  const may = mayMatch(filter);
  return (packed) => {
    if (!may(packed)) return undefined;
    const live = unpack(packed);
    return matches(filter, live) ? live : undefined;
  };
}

function unpackedChange({ before, after }: PackedChange): Change {
  return { before: before && unpack(before), after: after && unpack(after) };
}

/** Of the mapping that changed. */
export function keyOfChange({ before, after }: Change): string {
  return keyOfLive((after ?? before) as LiveMapping);
}

function keyOfLive({ node, mapping }: LiveMapping): string {
  return keyOf(node, mapping.pod, mapping.name, mapping.protocol);
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
