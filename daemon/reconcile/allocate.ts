/**
 * Gives every demand its numbers: those it has, else the one it had, else the least recently used free one that can be
 * reserved. All of a pod's ports or none of them, so that two pods never starve each other by halves.
 */
import { type Ledger, portKey, type Wanted } from '../core/ledger.ts';
import { formatRanges, type PoolConfig } from '../core/pool.ts';
import type { Grant } from '../core/state.ts';
import { containerPortOf, type Unit } from '../core/unit.ts';
import { type PortRequest, type Problem, type Protocol, podLabel, type Reservation } from '../core/vocabulary.ts';
import type { Demand } from './demand.ts';
import type { Clock, Reserver } from './ports.ts';

/** How many numbers one pass tries to bind before it lets other work go first. */
const TRIES_PER_PASS = 2048;
/** How long a number that another process held is left alone, in ms. */
const BUSY_MS = 5_000;

/** The grants whose pod is gone or no longer asks for them, and that have not been taken down yet. */
export interface Closing {
  has(grant: Grant): boolean;
  /** Those of pods that had this name. */
  named(namespace: string, pod: string): readonly Grant[];
}

export interface Allocation {
  /** By pod uid. */
  readonly problems: ReadonlyMap<string, Problem>;
  /** The uids of the pods that were given numbers. */
  readonly given: ReadonlySet<string>;
  /** Numbers were not tried yet, are held by other processes, or rest: ask again at this monotonic time. */
  readonly retryAt?: number;
}

interface Limits {
  readonly isStatic: (protocol: Protocol, port: number) => boolean;
  readonly closing: Closing;
  readonly hints: ReadonlyMap<string, number>;
  /** What the units before this one are about to get. */
  readonly picked: ReadonlyMap<Unit, number>;
  readonly tries: number;
}

export class Allocator {
  readonly #ledger: Ledger;
  readonly #reserver: Reserver;
  readonly #clock: Clock;
  readonly #busyUntil = new Map<string, number>();

  constructor(ledger: Ledger, reserver: Reserver, clock: Clock) {
    this.#ledger = ledger;
    this.#reserver = reserver;
    this.#clock = clock;
  }

  /**
   * `isStatic`: the number is a static hostPort of some pod. `hinted`: the numbers that the
   * pod's own annotation names, by port key.
   */
  allocate(
    demands: readonly Demand[],
    isStatic: (protocol: Protocol, port: number) => boolean,
    closing: Closing,
    hinted: (demand: Demand) => ReadonlyMap<string, number>,
  ): Allocation {
    const now = this.#clock.monotonic();
    for (const [key, until] of this.#busyUntil) if (until <= now) this.#busyUntil.delete(key);
    const problems = new Map<string, Problem>();
    const given = new Set<string>();
    let tries = TRIES_PER_PASS;
    let retryAt: number | undefined;
    for (const demand of demands) {
      const missing = demand.units.filter((unit) => !this.#granted(demand, unit));
      if (missing.length === 0) continue;
      const refusal = this.#refusal(demand);
      if (refusal !== undefined) {
        problems.set(demand.pod.uid, refusal);
        continue;
      }
      if (demand.blocked?.reason === 'HostIPNotFound') continue;
      const picked = new Map<Unit, number>();
      for (const unit of missing) {
        const search = this.#search(demand, unit, { isStatic, closing, hints: hinted(demand), picked, tries });
        tries -= search.tried;
        if (search.kind === 'found') {
          picked.set(unit, search.first);
          continue;
        }
        picked.clear();
        if (search.kind === 'unfinished') retryAt = now;
        else {
          problems.set(demand.pod.uid, search.problem);
          const pool = demand.pool as PoolConfig;
          retryAt = earliest(retryAt, search.sawBusy ? now + BUSY_MS : undefined, this.#ledger.nextRestEnd(pool, now));
        }
        break;
      }
      for (const [unit, first] of picked) {
        this.#give(demand, unit, first);
        given.add(demand.pod.uid);
      }
    }
    return { problems, given, ...(retryAt === undefined ? {} : { retryAt }) };
  }

  /** The unit has its grants already, all with one number. A grant made for another request is not one of them. */
  #granted(demand: Demand, unit: Unit): boolean {
    return unit.requests.every((request) => {
      const grant = this.#ledger.grantsOf(demand.pod.uid).get(portKey(request));
      return (
        grant !== undefined &&
        fits(grant, demand, unit, request) &&
        grant.hostPort === this.#firstGrant(demand, unit)?.hostPort
      );
    });
  }

  #firstGrant(demand: Demand, unit: Unit): Grant | undefined {
    const grants = this.#ledger.grantsOf(demand.pod.uid);
    for (const request of unit.requests) {
      const grant = grants.get(portKey(request));
      if (grant !== undefined) return grant;
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

  #search(
    demand: Demand,
    unit: Unit,
    { isStatic, closing, hints, picked, tries }: Limits,
  ):
    | { readonly kind: 'found'; readonly first: number; readonly tried: number }
    | { readonly kind: 'unfinished'; readonly tried: number }
    | { readonly kind: 'none'; readonly problem: Problem; readonly sawBusy: boolean; readonly tried: number } {
    const pool = demand.pool as PoolConfig;
    const now = this.#clock.monotonic();
    const grants = this.#ledger.grantsOf(demand.pod.uid);
    const own = new Set(unit.requests.map((request) => grants.get(portKey(request))));
    const wanted: Wanted = { pod: demand.pod, pool, protocols: unit.protocols, size: unit.size };
    // A pod's own grant for the other half of a TCP and UDP pair is no obstacle: the pair is given anew as a whole.
    const ends = (grant: Grant) => own.has(grant) || closing.has(grant);
    let tried = 0;
    let sawBusy = false;
    let unavailable: string | undefined;
    for (const first of this.#order(demand, unit, wanted, ends, closing, hints, now)) {
      if (someNumber(unit, first, isStatic) || overlaps(unit, first, picked)) continue;
      if (someNumber(unit, first, (protocol, port) => this.#busyUntil.has(`${protocol}/${port}`))) {
        sawBusy = true;
        continue;
      }
      if (tried >= tries) return { kind: 'unfinished', tried };
      tried += unit.size * unit.protocols.length;
      const outcome = this.#reserve(demand, unit, first);
      if (outcome === 'held') return { kind: 'found', first, tried };
      if (outcome === 'taken') {
        sawBusy = true;
        continue;
      }
      unavailable = outcome;
      break;
    }
    return {
      kind: 'none',
      problem: nothingFound(demand, unit, unavailable),
      sawBusy: sawBusy || unavailable !== undefined,
      tried,
    };
  }

  /** Numbers in the order in which they are tried: the pair's, the pod's former, the annotation's, the rest. */
  *#order(
    demand: Demand,
    unit: Unit,
    wanted: Wanted,
    ends: (grant: Grant) => boolean,
    closing: Closing,
    hints: ReadonlyMap<string, number>,
    now: number,
  ): Generator<number> {
    const usable = (first: number | undefined): first is number =>
      first !== undefined && this.#ledger.usable(wanted, first, now, ends);
    if (unit.exact !== undefined) {
      if (usable(unit.exact)) yield unit.exact;
      return;
    }
    const preferred = new Set<number>();
    const partner = this.#firstGrant(demand, unit);
    if (partner !== undefined && partner.size === unit.size) preferred.add(partner.hostPort);
    for (const request of unit.requests) {
      const hint = hints.get(portKey(request));
      if (hint !== undefined) preferred.add(hint);
      for (const former of this.#former(demand, request, closing)) preferred.add(former);
    }
    for (const first of preferred) if (usable(first)) yield first;
    for (const first of this.#ledger.candidates(wanted, now, ends)) if (!preferred.has(first)) yield first;
  }

  /** The numbers that pods of this name had for this port: what rests already, and what is about to. */
  #former(demand: Demand, request: PortRequest, closing: Closing): readonly number[] {
    const resting = this.#ledger.former(demand.pod, request.name, request.protocol);
    const { namespace, name } = demand.pod;
    const ending = closing.named(namespace, name).filter((grant) => portKey(grant) === portKey(request));
    return [...(resting === undefined ? [] : [resting]), ...ending].map(({ hostPort }) => hostPort);
  }

  /** Reserves every number for every protocol. What was reserved before one failed is released when the pass has settled. */
  #reserve(demand: Demand, unit: Unit, first: number): 'held' | 'taken' | string {
    for (let port = first; port < first + unit.size; port++) {
      for (const protocol of unit.protocols) {
        const outcome = this.#reserver.reserve(reservation(protocol, port, demand.hostIP));
        if (outcome.kind === 'held') continue;
        if (outcome.kind === 'unavailable') return outcome.why;
        this.#busyUntil.set(`${protocol}/${port}`, this.#clock.monotonic() + BUSY_MS);
        return 'taken';
      }
    }
    return 'held';
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
        hostPort: first,
        size: unit.size,
        containerPort: containerPortOf(request, first),
        ...(demand.hostIP === undefined ? {} : { hostIP: demand.hostIP }),
      });
    }
  }
}

/** Whether a standing grant answers the request: a change of the annotation that needs another number ends it. */
export function fits(grant: Grant, demand: Demand, unit: Unit, request: PortRequest): boolean {
  return (
    grant.size === unit.size &&
    grant.pool === demand.request.pool &&
    (unit.exact === undefined || grant.hostPort === unit.exact) &&
    grant.containerPort === containerPortOf(request, grant.hostPort) &&
    (grant.hostIP === demand.hostIP || demand.blocked?.reason === 'HostIPNotFound')
  );
}

export function reservation(protocol: Protocol, port: number, hostIP: string | undefined): Reservation {
  return hostIP === undefined ? { protocol, port } : { protocol, port, hostIP };
}

function someNumber(unit: Unit, first: number, is: (protocol: Protocol, port: number) => boolean): boolean {
  for (let port = first; port < first + unit.size; port++) {
    for (const protocol of unit.protocols) if (is(protocol, port)) return true;
  }
  return false;
}

function earliest(...times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** Whether the unit would share a number and a protocol with one that this pod is about to get. */
function overlaps(unit: Unit, first: number, picked: ReadonlyMap<Unit, number>): boolean {
  for (const [other, start] of picked) {
    const apart = first + unit.size <= start || start + other.size <= first;
    if (!apart && other.protocols.some((protocol) => unit.protocols.includes(protocol))) return true;
  }
  return false;
}

function nothingFound(demand: Demand, unit: Unit, unavailable: string | undefined): Problem {
  const pool = demand.pool as PoolConfig;
  const where = `pod ${podLabel(demand.pod)}: port ${unit.requests.map((one) => `"${one.name}" (${one.protocol})`).join(' and ')}`;
  if (unavailable !== undefined)
    return { reason: 'PoolExhausted', message: `${where}: no host port can be reserved: ${unavailable}` };
  const ranges = formatRanges(pool.ranges);
  if (unit.exact !== undefined) {
    const block = formatRanges([{ first: unit.exact, last: unit.exact + unit.size - 1 }]);
    const inside = pool.ranges.some(
      (range) => (unit.exact as number) >= range.first && (unit.exact as number) + unit.size - 1 <= range.last,
    );
    return inside
      ? {
          reason: 'PortConflict',
          message: `${where}: ${block} is not free on this node; the pod gets it when it is, or name other numbers`,
        }
      : {
          reason: 'InvalidPortRequest',
          message: `${where}: ${block} does not lie in pool "${pool.name}" (${ranges}); name numbers of the pool, or another pool with berth.dev/pool`,
        };
  }
  const what = unit.size === 1 ? 'no free host port' : `no ${unit.size} contiguous free host ports`;
  return {
    reason: 'PoolExhausted',
    message: `${where}: ${what} in pool "${pool.name}" (${ranges}); the pod gets one when another is released, or make the pool larger`,
  };
}
