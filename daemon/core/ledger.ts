/**
 * Who has which number: the grants, the numbers that rest in quarantine, and the order in which free numbers are given
 * out. It decides from memory alone; whether another process holds a number is asked elsewhere (the reservation).
 *
 *   free --grant--> granted --revoke--> resting --(quarantine over)--> free
 *                      ^                   |
 *                      +---- same pod -----+
 */
import { NumberQueue } from './numberqueue.ts';
import { type PoolConfig, poolHolds, poolSize } from './pool.ts';
import type { Grant, Resting } from './state.ts';
import type { PodRef, Protocol } from './vocabulary.ts';

/** What is looked for: `size` contiguous numbers, free for every one of the protocols. */
export interface Wanted {
  readonly pod: PodRef;
  readonly pool: PoolConfig;
  readonly protocols: readonly Protocol[];
  readonly size: number;
}

interface Rest {
  readonly entry: Resting;
  /** Monotonic ms at which the number was released. */
  readonly since: number;
}

/** The key of a grant within its pod. */
export function portKey(port: { readonly name: string; readonly protocol: Protocol }): string {
  return `${port.name}/${port.protocol}`;
}

function numberKey(protocol: Protocol, number: number): string {
  return `${protocol}/${number}`;
}

function formerKey(of: { namespace: string; pod: string; name: string; protocol: Protocol }): string {
  return `${of.namespace}/${of.pod}/${of.name}/${of.protocol}`;
}

export class Ledger {
  readonly #grants = new Map<string, Map<string, Grant>>();
  readonly #holders = new Map<string, Grant>();
  readonly #resting = new Map<string, Rest>();
  readonly #former = new Map<string, Resting>();
  readonly #pools = new Map<string, { config: PoolConfig; readonly queue: NumberQueue }>();
  readonly #random: () => number;
  /** Counts every change of what the state file must hold. */
  version = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Replaces the configuration. Grants stay, also those that no longer fit; the order of unchanged pools stays. */
  setPools(pools: readonly PoolConfig[]): void {
    const before = new Map(this.#pools);
    this.#pools.clear();
    for (const config of pools) {
      const known = before.get(config.name);
      const same = known !== undefined && JSON.stringify(known.config.ranges) === JSON.stringify(config.ranges);
      const queue = same ? known.queue : new NumberQueue(config.ranges, this.#random());
      if (!same) for (const { entry } of this.#resting.values()) touchAll(queue, entry);
      this.#pools.set(config.name, { config, queue });
    }
  }

  pools(): readonly PoolConfig[] {
    return [...this.#pools.values()].map(({ config }) => config);
  }

  pool(name: string): PoolConfig | undefined {
    return this.#pools.get(name)?.config;
  }

  /** The grants of one pod by port key. */
  grantsOf(uid: string): ReadonlyMap<string, Grant> {
    return this.#grants.get(uid) ?? new Map();
  }

  *grants(): Generator<Grant> {
    for (const grants of this.#grants.values()) yield* grants.values();
  }

  /** Who has the number; undefined when nobody. */
  holder(protocol: Protocol, number: number): Grant | undefined {
    return this.#holders.get(numberKey(protocol, number));
  }

  /** How many host ports the pods of a namespace have in a pool; each number and protocol counts. */
  countIn(pool: string, namespace: string): number {
    let count = 0;
    for (const grant of this.grants()) if (grant.pool === pool && grant.namespace === namespace) count += grant.size;
    return count;
  }

  /** Numbers of the pool that have no holder for TCP or none for UDP and do not rest. */
  free(name: string, now: number): number {
    const pool = this.#pools.get(name);
    if (pool === undefined) return 0;
    const used = new Set<number>();
    for (const grant of this.grants()) {
      for (let number = grant.hostPort; number < grant.hostPort + grant.size; number++) used.add(number);
    }
    for (const [, rest] of this.#resting) {
      if (now - rest.since >= pool.config.quarantineMs) continue;
      for (let number = rest.entry.hostPort; number < rest.entry.hostPort + rest.entry.size; number++) used.add(number);
    }
    let taken = 0;
    for (const number of used) if (poolHolds(pool.config, number, 1)) taken++;
    return poolSize(pool.config) - taken;
  }

  /**
   * Whether the numbers may be given to this pod: they lie in its pool, nobody holds them, and they do not rest. A
   * number that a pod of the same name holds counts as free when `closing` says that this pod is gone (I7).
   */
  usable(wanted: Wanted, first: number, now: number, closing: (grant: Grant) => boolean): boolean {
    if (!poolHolds(wanted.pool, first, wanted.size)) return false;
    for (let number = first; number < first + wanted.size; number++) {
      for (const protocol of wanted.protocols) {
        const holder = this.holder(protocol, number);
        if (holder !== undefined && !(sameName(holder, wanted.pod) && closing(holder))) return false;
        const rest = this.#resting.get(numberKey(protocol, number));
        if (rest === undefined || sameName(rest.entry, wanted.pod)) continue;
        if (now - rest.since < wanted.pool.quarantineMs) return false;
      }
    }
    return true;
  }

  /** Every usable first number, least recently used first. */
  *candidates(wanted: Wanted, now: number, closing: (grant: Grant) => boolean): Generator<number> {
    const pool = this.#pools.get(wanted.pool.name);
    if (pool === undefined) return;
    for (const number of pool.queue) if (this.usable(wanted, number, now, closing)) yield number;
  }

  /** The number that a pod of this name had for this port, as long as it is remembered. */
  former(pod: PodRef, name: string, protocol: Protocol): Resting | undefined {
    return this.#former.get(formerKey({ namespace: pod.namespace, pod: pod.name, name, protocol }));
  }

  /** Gives the numbers out. A grant of a gone pod that stood in their way ends here (its pod was replaced). */
  grant(grant: Grant): void {
    for (let number = grant.hostPort; number < grant.hostPort + grant.size; number++) {
      const holder = this.holder(grant.protocol, number);
      if (holder !== undefined) this.#drop(holder);
    }
    for (let number = grant.hostPort; number < grant.hostPort + grant.size; number++) {
      const key = numberKey(grant.protocol, number);
      this.#holders.set(key, grant);
      this.#forget(key);
      this.#pools.get(grant.pool)?.queue.touch(number);
    }
    let grants = this.#grants.get(grant.uid);
    if (grants === undefined) {
      grants = new Map();
      this.#grants.set(grant.uid, grants);
    }
    const before = grants.get(portKey(grant));
    if (before !== undefined && before.hostPort !== grant.hostPort) this.#drop(before);
    grants.set(portKey(grant), grant);
    this.#grants.set(grant.uid, grants);
    this.version++;
  }

  /** Ends a grant; its numbers begin to rest. Revoking what is not granted is no error. */
  revoke(grant: Grant, now: number, wallClock: number): void {
    if (!this.#drop(grant)) return;
    const { namespace, pod, name, protocol, pool, hostPort, size } = grant;
    this.#rest({ namespace, pod, name, protocol, pool, hostPort, size, releasedAt: wallClock }, now);
  }

  /**
   * Takes over what the last agent wrote down. A wall clock that stood still or went back since only lengthens a rest.
   */
  restoreResting(resting: readonly Resting[], now: number, wallClock: number): void {
    for (const entry of [...resting].sort((a, b) => a.releasedAt - b.releasedAt)) {
      this.#rest(entry, now - Math.max(0, wallClock - entry.releasedAt));
    }
  }

  /** The monotonic time at which the next number of the pool ends its rest; undefined when none rests. */
  nextRestEnd(pool: PoolConfig, now: number): number | undefined {
    let next: number | undefined;
    for (const { entry, since } of this.#resting.values()) {
      const end = since + pool.quarantineMs;
      if (end > now && poolHolds(pool, entry.hostPort, 1)) next = Math.min(end, next ?? end);
    }
    return next;
  }

  /** What the state file must hold. */
  snapshot(): { readonly grants: readonly Grant[]; readonly resting: readonly Resting[] } {
    const resting = new Set<Resting>();
    for (const { entry } of this.#resting.values()) resting.add(entry);
    return { grants: [...this.grants()], resting: [...resting] };
  }

  #rest(entry: Resting, since: number): void {
    for (let number = entry.hostPort; number < entry.hostPort + entry.size; number++) {
      const key = numberKey(entry.protocol, number);
      if (this.#holders.has(key)) continue;
      this.#forget(key);
      this.#resting.set(key, { entry, since });
      this.#former.set(formerKey(entry), entry);
    }
    const pool = this.#pools.get(entry.pool);
    if (pool !== undefined) touchAll(pool.queue, entry);
    this.version++;
  }

  #forget(key: string): void {
    const rest = this.#resting.get(key);
    if (rest === undefined) return;
    this.#resting.delete(key);
    if (this.#former.get(formerKey(rest.entry)) === rest.entry) this.#former.delete(formerKey(rest.entry));
  }

  #drop(grant: Grant): boolean {
    const grants = this.#grants.get(grant.uid);
    if (grants?.get(portKey(grant)) !== grant) return false;
    grants.delete(portKey(grant));
    if (grants.size === 0) this.#grants.delete(grant.uid);
    for (let number = grant.hostPort; number < grant.hostPort + grant.size; number++) {
      const key = numberKey(grant.protocol, number);
      if (this.#holders.get(key) === grant) this.#holders.delete(key);
    }
    this.version++;
    return true;
  }
}

function sameName(of: { readonly namespace: string; readonly pod: string }, pod: PodRef): boolean {
  return of.namespace === pod.namespace && of.pod === pod.name;
}

function touchAll(queue: NumberQueue, entry: Resting): void {
  for (let number = entry.hostPort; number < entry.hostPort + entry.size; number++) queue.touch(number);
}
