/**
 * Who has which number: the grants, the numbers that rest in quarantine, and the order in which free numbers are given
 * out. It decides from memory alone; whether another process holds a number is asked elsewhere (the reservation).
 *
 *   free --grant--> granted --revoke--> resting --(quarantine over)--> free
 *                    |   ^                 ^  |
 *    another number  |   +--- same name ---+--+
 *    for its port    v                     |
 *                 leaving ----revoke-------+
 *
 * A leaving grant keeps its numbers: its rule may stand and its flows run until a pass has taken them down.
 */
import { NumberQueue } from './numberqueue.ts';
import { type PoolConfig, poolHolds, poolSize } from './pool.ts';
import { Quarantine } from './quarantine.ts';
import type { Grant, Resting } from './state.ts';
import type { PodRef, Protocol } from './vocabulary.ts';

/** What is looked for: `size` contiguous numbers, free for every one of the protocols. */
export interface Wanted {
  readonly pod: PodRef;
  readonly pool: PoolConfig;
  readonly protocols: readonly Protocol[];
  readonly size: number;
  /**
   * A static or claimed host port: it need be free on its own address alone (absent: on any), and follows any pod that is gone, as
   * clients know it beforehand and not from the pod that had it.
   */
  readonly fixed?: { readonly hostIP?: string };
}

/** The key of a grant within its pod. */
export function portKey(port: { readonly name: string; readonly protocol: string }): string {
  return `${port.name}/${port.protocol}`;
}

function numberKey(protocol: Protocol, number: number): string {
  return `${protocol}/${number}`;
}

const NONE: ReadonlyMap<string, Grant> = new Map();

type Numbers = Pick<Grant, 'protocol' | 'hostPort' | 'size'>;

/** Any address overlaps every address, as in the scheduler (and in bind(2)). */
function overlap(one: string | undefined, other: string | undefined): boolean {
  return one === undefined || other === undefined || one === other;
}

function numberKeys({ protocol, hostPort, size }: Numbers): readonly string[] {
  return Array.from({ length: size }, (_, index) => numberKey(protocol, hostPort + index));
}

export class Ledger {
  readonly #grants = new Map<string, ReadonlyMap<string, Grant>>();
  /** Grants that others have replaced, as long as they hold a number. */
  readonly #leaving = new Set<Grant>();
  /** By number; more than one only of addresses that do not overlap, which only static and claimed host ports have. */
  readonly #holders = new Map<string, readonly Grant[]>();
  readonly #quarantine = new Quarantine();
  readonly #pools = new Map<string, { config: PoolConfig; readonly queue: NumberQueue }>();
  readonly #random: () => number;
  /** Counts every change of what the state file must hold. */
  version = 0;
  /** `grants` at a version: it is asked for several times a pass. */
  #listed: { readonly version: number; readonly grants: readonly Grant[] } | undefined;

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
      if (!same) for (const entry of this.#quarantine.entries()) touchAll(queue, entry);
      this.#pools.set(config.name, { config, queue });
    }
  }

  pools(): readonly PoolConfig[] {
    return [...this.#pools.values()].map(({ config }) => config);
  }

  pool(name: string): PoolConfig | undefined {
    return this.#pools.get(name)?.config;
  }

  /** The grants of one pod by port key, without leaving ones. The same object as long as nothing of it has changed. */
  grantsOf(uid: string): ReadonlyMap<string, Grant> {
    return this.#grants.get(uid) ?? NONE;
  }

  /** Whoever holds a number: the leaving ones, which are older, first. */
  grants(): readonly Grant[] {
    if (this.#listed?.version !== this.version) {
      const grants = [...this.#leaving];
      for (const own of this.#grants.values()) for (const grant of own.values()) grants.push(grant);
      this.#listed = { version: this.version, grants };
    }
    return this.#listed.grants;
  }

  /** Another grant has taken the place of this one. */
  isLeaving(grant: Grant): boolean {
    return this.#leaving.has(grant);
  }

  /** Who has the number on an address that overlaps this one (absent: on any); undefined when nobody. */
  holder(protocol: Protocol, number: number, hostIP?: string): Grant | undefined {
    return this.#holders.get(numberKey(protocol, number))?.find((one) => overlap(one.hostIP, hostIP));
  }

  /** How many host ports the pods of a namespace have in a pool; each number and protocol counts, leaving ones do not. */
  countIn(pool: string, namespace: string): number {
    let count = 0;
    for (const grants of this.#grants.values()) {
      for (const grant of grants.values())
        if (grant.pool === pool && grant.namespace === namespace) count += grant.size;
    }
    return count;
  }

  /** Numbers of the pool that nobody holds and that do not rest: for this protocol, or for any. */
  free(name: string, now: number, only?: Protocol): number {
    const pool = this.#pools.get(name);
    if (pool === undefined) return 0;
    const used = new Set<number>();
    for (const one of [...this.grants(), ...this.#quarantine.restingAt(now, pool.config.quarantineMs)]) {
      const { hostPort, size, protocol } = one;
      if (only !== undefined && protocol !== only) continue;
      for (let number = hostPort; number < hostPort + size; number++) used.add(number);
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
    return poolHolds(wanted.pool, first, wanted.size) && this.available(wanted, first, now, closing);
  }

  /** The same for numbers that need not lie in the pool (any more). */
  available(wanted: Wanted, first: number, now: number, closing: (grant: Grant) => boolean): boolean {
    for (let number = first; number < first + wanted.size; number++) {
      for (const protocol of wanted.protocols) {
        const holder = this.holder(protocol, number, wanted.fixed?.hostIP);
        if (holder !== undefined && !(mayFollow(holder, wanted) && closing(holder))) return false;
        if (this.#quarantine.holds(numberKey(protocol, number), wanted.pod, now, wanted.pool.quarantineMs))
          return false;
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
    return this.#quarantine.former(pod, name, protocol);
  }

  /** Gives the numbers out. Whoever held one of them, and the former grant of this port, is leaving from now on. */
  grant(grant: Grant): void {
    const replaced = new Set<Grant>();
    const before = this.grantsOf(grant.uid).get(portKey(grant));
    if (before !== undefined) replaced.add(before);
    for (const key of numberKeys(grant)) {
      for (const holder of this.#holders.get(key) ?? []) if (overlap(holder.hostIP, grant.hostIP)) replaced.add(holder);
    }
    for (const one of replaced) this.#retire(one);
    this.#grants.set(grant.uid, new Map(this.grantsOf(grant.uid)).set(portKey(grant), grant));
    this.#take(grant);
    for (const one of replaced) if (!this.#holdsAny(one)) this.#leaving.delete(one);
  }

  /** Holds the numbers that nobody has for a grant that is leaving already (of an earlier agent). */
  retain(grant: Grant): void {
    this.#leaving.add(grant);
    this.#take(grant);
  }

  /** Ends a grant; its numbers begin to rest. Revoking what is not granted is no error. */
  revoke(grant: Grant, now: number, wallClock: number): void {
    if (!this.#drop(grant)) return;
    const { namespace, pod, name, protocol, pool, hostPort, size } = grant;
    this.#rest({ namespace, pod, name, protocol, pool, hostPort, size, releasedAt: wallClock }, now);
  }

  /**
   * Takes over what the last agent wrote down, in its order: least recently released first. A wall clock that stood still or went
   * back since only lengthens a rest.
   */
  restoreResting(resting: readonly Resting[], now: number, wallClock: number): void {
    for (const entry of resting) this.#rest(entry, now - Math.max(0, wallClock - entry.releasedAt));
  }

  /** The monotonic time at which the next number of the pool ends its rest; undefined when none rests. */
  nextRestEnd(pool: PoolConfig, now: number): number | undefined {
    return this.#quarantine.nextEnd(pool, now);
  }

  /** What the state file must hold. Grants whose pod is not known by name yet are read from the kernel again. */
  snapshot(): { readonly grants: readonly Grant[]; readonly resting: readonly Resting[] } {
    return { grants: [...this.grants()].filter(({ pod }) => pod !== ''), resting: this.#quarantine.entries() };
  }

  #rest(entry: Resting, since: number): void {
    for (const key of numberKeys(entry)) if (!this.#holders.has(key)) this.#quarantine.add(key, entry, since);
    const queue = this.#pools.get(entry.pool)?.queue;
    if (queue !== undefined) touchAll(queue, entry);
    this.version++;
  }

  #take(grant: Grant): void {
    for (const key of numberKeys(grant)) {
      const others = this.#holders.get(key)?.filter(({ hostIP }) => !overlap(hostIP, grant.hostIP)) ?? [];
      this.#holders.set(key, [...others, grant]);
      this.#quarantine.forget(key);
    }
    const queue = this.#pools.get(grant.pool)?.queue;
    if (queue !== undefined) touchAll(queue, grant);
    this.version++;
  }

  #retire(grant: Grant): void {
    this.#unlist(grant);
    this.#leaving.add(grant);
  }

  #holdsAny(grant: Grant): boolean {
    return numberKeys(grant).some((key) => this.#holders.get(key)?.includes(grant) === true);
  }

  #drop(grant: Grant): boolean {
    if (!this.#leaving.delete(grant) && !this.#unlist(grant)) return false;
    for (const key of numberKeys(grant)) {
      const others = this.#holders.get(key)?.filter((one) => one !== grant) ?? [];
      if (others.length > 0) this.#holders.set(key, others);
      else this.#holders.delete(key);
    }
    this.version++;
    return true;
  }

  #unlist(grant: Grant): boolean {
    if (this.grantsOf(grant.uid).get(portKey(grant)) !== grant) return false;
    const grants = new Map(this.grantsOf(grant.uid));
    grants.delete(portKey(grant));
    if (grants.size === 0) this.#grants.delete(grant.uid);
    else this.#grants.set(grant.uid, grants);
    return true;
  }
}

/** The wanted pod may have what this one had as soon as it is gone. A socket that stays bound keeps the number from others. */
function mayFollow(holder: Grant, { pod, fixed }: Wanted): boolean {
  return sameName(holder, pod) || (fixed !== undefined && fixed.hostIP === holder.hostIP);
}

function sameName(of: { readonly namespace: string; readonly pod: string }, pod: PodRef): boolean {
  return of.namespace === pod.namespace && of.pod === pod.name;
}

function touchAll(queue: NumberQueue, { hostPort, size }: Numbers): void {
  for (let number = hostPort; number < hostPort + size; number++) queue.touch(number);
}
