/**
 * The numbers that were released: for how long they rest, and which pod name had them. Holds data only; it never gives a
 * number out and knows no time but what it is told.
 */
import { type PoolConfig, poolHolds } from './pool.ts';
import type { Resting } from './state.ts';
import type { PodRef, Protocol } from './vocabulary.ts';

interface Rest {
  readonly entry: Resting;
  /** Monotonic ms at which the number was released. */
  readonly since: number;
}

/** Bounded by the numbers that there are: each is remembered for its last pod only. */
export class Quarantine {
  readonly #resting = new Map<string, Rest>();
  /** The last released number of a pod's port, as long as nobody else was given it. */
  readonly #former = new Map<string, Resting>();

  /** The number was released by this port of this pod. */
  add(key: string, entry: Resting, since: number): void {
    this.forget(key);
    this.#resting.set(key, { entry, since });
    this.#former.set(formerKey(entry), entry);
  }

  /** The number was given out. */
  forget(key: string): void {
    const rest = this.#resting.get(key);
    if (rest === undefined) return;
    this.#resting.delete(key);
    if (this.#former.get(formerKey(rest.entry)) === rest.entry) this.#former.delete(formerKey(rest.entry));
  }

  /** Whether the number rests for this pod: never for one of the name that had it last (I7). */
  holds(key: string, pod: PodRef, now: number, quarantineMs: number): boolean {
    const rest = this.#resting.get(key);
    if (rest === undefined || (rest.entry.namespace === pod.namespace && rest.entry.pod === pod.name)) return false;
    return now - rest.since < quarantineMs;
  }

  /** The number that a pod of this name had for this port, as long as it is remembered. */
  former(pod: PodRef, name: string, protocol: Protocol): Resting | undefined {
    return this.#former.get(formerKey({ namespace: pod.namespace, pod: pod.name, name, protocol }));
  }

  /** The monotonic time at which the next number of the pool ends its rest; undefined when none rests. */
  nextEnd(pool: PoolConfig, now: number): number | undefined {
    let next: number | undefined;
    for (const [key, { since }] of this.#resting) {
      const end = since + pool.quarantineMs;
      // Of a block some numbers may lie in the pool and others not.
      if (end > now && poolHolds(pool, numberOf(key), 1)) next = Math.min(end, next ?? end);
    }
    return next;
  }

  /** What is remembered, least recently released first. A block is one entry until a number of it is given out. */
  entries(): readonly Resting[] {
    return [...new Set([...this.#resting.values()].map(({ entry }) => entry))];
  }

  /** What still rests. */
  restingAt(now: number, quarantineMs: number): readonly Resting[] {
    return [...this.#resting.values()].filter(({ since }) => now - since < quarantineMs).map(({ entry }) => entry);
  }
}

/** Keys are those of the ledger: `TCP/20000`. */
function numberOf(key: string): number {
  return Number(key.slice(key.indexOf('/') + 1));
}

function formerKey(of: Pick<Resting, 'namespace' | 'pod' | 'name' | 'protocol'>): string {
  return `${of.namespace}/${of.pod}/${of.name}/${of.protocol}`;
}
