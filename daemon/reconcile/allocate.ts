/**
 * Gives every demand its numbers: those it has, else the one it had, else the least recently used free one that can be
 * reserved. All of a bundle of demands or none of it, so that two pods never starve each other by halves.
 */
import { type Ledger, portKey } from '../core/ledger.ts';
import type { PoolConfig } from '../core/pool.ts';
import { containerPortOf, type Unit } from '../core/unit.ts';
import { type PortRequest, type Problem, type Protocol, podLabel } from '../core/vocabulary.ts';
import type { Demand } from './demand.ts';
import { fits } from './fit.ts';
import type { Clock, Reserver } from './ports.ts';
import { BUSY_MS, type Closing, isGiven, NumberSearch } from './search.ts';
import { isFixed } from './staticdemand.ts';

/** How many numbers one pass tries to bind before it lets other work go first. */
const TRIES_PER_PASS = 2048;

/** Numbers that are not the pools' to give, wherever they lie. */
export interface TakenNumbers {
  /** The number is a static hostPort of some pod. */
  readonly isStatic: (protocol: Protocol, port: number) => boolean;
  /** The number is that of a claim of some pod. */
  readonly isClaimed: (protocol: Protocol, port: number) => boolean;
}

export interface Allocation {
  /** By pod uid. */
  readonly problems: ReadonlyMap<string, Problem>;
  /** The uids of the pods that were given numbers. */
  readonly given: ReadonlySet<string>;
  /** By uid of the pods that were given nothing: the claim whose number could not be had, or '' where it was a number of a pool. */
  readonly refused: ReadonlyMap<string, string>;
  /** Numbers were not tried yet, are held by other processes, or rest: ask again at this monotonic time. */
  readonly retryAt?: number;
}

export class Allocator {
  readonly #ledger: Ledger;
  readonly #search: NumberSearch;
  readonly #clock: Clock;

  constructor(ledger: Ledger, reserver: Reserver, clock: Clock) {
    this.#ledger = ledger;
    this.#search = new NumberSearch(ledger, reserver, clock);
    this.#clock = clock;
  }

  /**
   * `bundles`: demands of one pod each. `taken`: which numbers are somebody's beforehand. `hinted`: the numbers that the
   * pod's own annotation names, by port key. `waits`: until when the pod is to wait, in monotonic ms.
   */
  allocate(
    bundles: readonly (readonly Demand[])[],
    taken: TakenNumbers,
    closing: Closing,
    hinted: (demand: Demand) => ReadonlyMap<string, number>,
    waits: (demand: Demand) => number | undefined = () => undefined,
  ): Allocation {
    const now = this.#clock.monotonic();
    this.#search.expire();
    const problems = new Map<string, Problem>();
    const given = new Set<string>();
    const refused = new Map<string, string>();
    let tries = TRIES_PER_PASS;
    let retryAt: number | undefined;
    for (const bundle of bundles) {
      const missing = bundle.flatMap((demand) =>
        demand.units.filter((unit) => !this.isGranted(demand, unit)).map((unit) => ({ demand, unit })),
      );
      const [first] = missing;
      if (first === undefined) continue;
      const { uid } = first.demand.pod;
      const refusal = this.#refusalOf(missing);
      if (refusal !== undefined) {
        problems.set(uid, refusal.problem);
        refused.set(uid, refusal.demand.claim ?? '');
        continue;
      }
      if (missing.some(({ demand }) => demand.awaited || demand.blocked?.reason === 'HostIPNotFound')) continue;
      const chosen = missing.find(({ demand }) => demand.claim === undefined);
      const wait = chosen && waits(chosen.demand);
      if (wait !== undefined) {
        retryAt = earliest(retryAt, wait);
        continue;
      }
      const picked = new Map<Unit, number>();
      for (const { demand, unit } of missing) {
        const limits = { isTaken: takenFor(demand, taken), closing, hints: hinted(demand), picked, tries };
        const search = this.#search.find(demand, unit, limits);
        tries -= search.tried;
        if (search.kind === 'found') {
          picked.set(unit, search.first);
          continue;
        }
        picked.clear();
        if (search.kind === 'unfinished') retryAt = now;
        else {
          if (!problems.has(uid)) problems.set(uid, search.problem);
          if (!isFixed(demand)) refused.set(uid, demand.claim ?? '');
          const pool = demand.pool as PoolConfig;
          retryAt = earliest(retryAt, search.sawBusy ? now + BUSY_MS : undefined, this.#ledger.nextRestEnd(pool, now));
        }
        break;
      }
      for (const { demand, unit } of missing) {
        const number = picked.get(unit);
        if (number === undefined) continue;
        this.#give(demand, unit, number);
        given.add(uid);
      }
    }
    return { problems, given, refused, ...(retryAt === undefined ? {} : { retryAt }) };
  }

  /** The unit has its grants already, all with one number. A grant made for another request is not one of them. */
  isGranted(demand: Demand, unit: Unit): boolean {
    const grants = this.#ledger.grantsOf(demand.pod.uid);
    const first = grants.get(portKey(unit.requests[0] as PortRequest))?.hostPort;
    return unit.requests.every((request) => {
      const grant = grants.get(portKey(request));
      return grant !== undefined && fits(grant, demand, unit, request) && grant.hostPort === first;
    });
  }

  #refusalOf(
    missing: readonly { readonly demand: Demand }[],
  ): { readonly demand: Demand; readonly problem: Problem } | undefined {
    for (const demand of new Set(missing.map((one) => one.demand))) {
      const problem = this.#refusal(demand);
      if (problem !== undefined) return { demand, problem };
    }
    return undefined;
  }

  #refusal(demand: Demand): Problem | undefined {
    if (demand.denied !== undefined) return demand.denied;
    const { pool, pod } = demand;
    if (pool?.maxPerNamespace === undefined) return undefined;
    let own = 0;
    for (const grant of this.#ledger.grantsOf(pod.uid).values()) if (grant.pool === pool.name) own += grant.size;
    const others = this.#ledger.countIn(pool.name, pod.namespace) - own;
    const wanted = demand.units.reduce((sum, unit) => sum + unit.size * unit.protocols.length, 0);
    if (others + wanted <= pool.maxPerNamespace) return undefined;
    return {
      reason: 'PoolExhausted',
      message: `pod ${podLabel(pod)}: namespace "${pod.namespace}" has ${others} host ports of pool "${pool.name}" on this node and may have ${pool.maxPerNamespace}; ${wanted} more were asked for. The pod gets them when others end, or raise the pool's maxPerNamespace`,
    };
  }

  #give(demand: Demand, unit: Unit, first: number): void {
    for (const request of unit.requests) {
      this.#ledger.grant({
        uid: demand.pod.uid,
        namespace: demand.pod.namespace,
        pod: demand.pod.name,
        name: request.name,
        protocol: request.protocol,
        pool: demand.request.pool,
        ...(demand.claim === undefined ? {} : { claim: demand.claim }),
        hostPort: first,
        size: unit.size,
        containerPort: containerPortOf(request, first),
        ...(demand.hostIP === undefined ? {} : { hostIP: demand.hostIP }),
        givenAt: this.#clock.now(),
      });
    }
  }
}

/** A static host port is nobody's but the pod's that names it, and a claimed one gives way to it. */
function takenFor(
  demand: Demand,
  { isStatic, isClaimed }: TakenNumbers,
): (protocol: Protocol, port: number) => boolean {
  if (demand.claim !== undefined) return isStatic;
  if (isGiven(demand)) return () => false;
  return (protocol, port) => isStatic(protocol, port) || isClaimed(protocol, port);
}

function earliest(...times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
