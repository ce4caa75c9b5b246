/**
 * Looks for the number of one unit: the one that its other half has, the one that the pod had, else the least recently used
 * free one, and reserves it. It never decides who may have a number at all.
 */
import { sameClaim } from '../core/claim.ts';
import { type Ledger, portKey, type Wanted } from '../core/ledger.ts';
import { formatRanges, type PoolConfig } from '../core/pool.ts';
import type { Grant } from '../core/state.ts';
import type { Unit } from '../core/unit.ts';
import { type PortRequest, type Problem, type Protocol, podLabel } from '../core/vocabulary.ts';
import { claimProblem } from './claimdemand.ts';
import type { Demand } from './demand.ts';
import { fits, reservation } from './fit.ts';
import type { Clock, Reserver } from './ports.ts';
import { isFixed } from './staticdemand.ts';
import { staticProblem } from './statics.ts';

/** How long a number that another process held is left alone, in ms. */
export const BUSY_MS = 5_000;

/** The grants whose pod is gone or no longer asks for them, and that have not been taken down yet. */
export interface Closing {
  has(grant: Grant): boolean;
  /** Those of pods that had this name. */
  named(namespace: string, pod: string): readonly Grant[];
}

export interface Limits {
  /** The number is somebody else's, whether or not he has it yet. */
  readonly isTaken: (protocol: Protocol, port: number) => boolean;
  readonly closing: Closing;
  /** The numbers that the pod's own annotation names, by port key. */
  readonly hints: ReadonlyMap<string, number>;
  /** What the units before this one are about to get. */
  readonly picked: ReadonlyMap<Unit, number>;
  /** How many numbers may be bound. */
  readonly tries: number;
}

export type Found =
  | { readonly kind: 'found'; readonly first: number; readonly tried: number }
  /** There are more numbers to be tried. */
  | { readonly kind: 'unfinished'; readonly tried: number }
  /** `sawBusy`: some were held by other processes, which may let go of them. */
  | { readonly kind: 'none'; readonly problem: Problem; readonly sawBusy: boolean; readonly tried: number };

interface Half {
  readonly first: number;
  readonly missing: readonly Protocol[];
}

export class NumberSearch {
  readonly #ledger: Ledger;
  readonly #reserver: Reserver;
  readonly #clock: Clock;
  readonly #busyUntil = new Map<string, number>();

  constructor(ledger: Ledger, reserver: Reserver, clock: Clock) {
    this.#ledger = ledger;
    this.#reserver = reserver;
    this.#clock = clock;
  }

  /** Forgets which numbers were held by other processes, where that was long ago. */
  expire(): void {
    const now = this.#clock.monotonic();
    for (const [key, until] of this.#busyUntil) if (until <= now) this.#busyUntil.delete(key);
  }

  /** What was reserved for a number that was not taken after all is released when the pass has settled. */
  find(demand: Demand, unit: Unit, { isTaken, closing, hints, picked, tries }: Limits): Found {
    const pool = demand.pool as PoolConfig;
    const now = this.#clock.monotonic();
    const grants = this.#ledger.grantsOf(demand.pod.uid);
    const own = new Set(unit.requests.map((request) => grants.get(portKey(request))));
    const { hostIP } = demand;
    const fixed = isGiven(demand) ? { fixed: hostIP === undefined ? {} : { hostIP } } : {};
    const wanted: Wanted = { pod: demand.pod, pool, protocols: unit.protocols, size: unit.size, ...fixed };
    const isBusy = (protocol: Protocol, port: number) => this.#busyUntil.has(busyKey(protocol, port, hostIP));
    // A pod's own grant for the other half of a TCP and UDP pair is no obstacle: the pair is given anew as a whole.
    // Nor is what another pod of the same claim has: it is this one's turn.
    const claimed = { namespace: demand.pod.namespace, ...(demand.claim === undefined ? {} : { claim: demand.claim }) };
    const ends = (grant: Grant) => own.has(grant) || closing.has(grant) || sameClaim(grant, claimed);
    const half = this.#half(demand, unit);
    if (half !== undefined)
      return this.#complete(demand, unit, half, { ...wanted, protocols: half.missing }, now, ends, isTaken);
    let tried = 0;
    let sawBusy = false;
    let unavailable: string | undefined;
    for (const first of this.#order(demand, unit, wanted, ends, closing, hints, now)) {
      if (someNumber(unit.protocols, unit.size, first, isTaken) || overlaps(unit, first, picked)) continue;
      if (someNumber(unit.protocols, unit.size, first, isBusy)) {
        sawBusy = true;
        continue;
      }
      if (tried >= tries) return { kind: 'unfinished', tried };
      tried += unit.size * unit.protocols.length;
      const outcome = this.#reserve(demand, unit.protocols, unit.size, first);
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
      problem: this.#problem(demand, unit, isTaken, unavailable),
      sawBusy: sawBusy || unavailable !== undefined,
      tried,
    };
  }

  #problem(demand: Demand, unit: Unit, isTaken: Limits['isTaken'], unavailable: string | undefined): Problem {
    if (demand.claim !== undefined) return claimProblem(demand, unit, this.#ledger, isTaken, unavailable);
    if (isFixed(demand)) return staticProblem(demand, unit, this.#ledger, unavailable);
    return nothingFound(demand, unit, unavailable);
  }

  /** The number that one half of a pair has already, and the protocols that lack it. */
  #half(demand: Demand, unit: Unit): Half | undefined {
    const grants = this.#ledger.grantsOf(demand.pod.uid);
    const kept = unit.requests.flatMap((request) => {
      const grant = grants.get(portKey(request));
      return grant !== undefined && fits(grant, demand, unit, request) ? [grant] : [];
    });
    const first = kept[0]?.hostPort;
    if (first === undefined || kept.some(({ hostPort }) => hostPort !== first)) return undefined;
    return { first, missing: unit.protocols.filter((protocol) => !kept.some((grant) => grant.protocol === protocol)) };
  }

  /**
   * A port that has its number keeps it (I6), whether its other half was lost or is new: the other half gets that number or none,
   * also when the pool has shrunk since.
   */
  #complete(
    demand: Demand,
    unit: Unit,
    { first, missing }: Half,
    wanted: Wanted,
    now: number,
    ends: (grant: Grant) => boolean,
    isTaken: Limits['isTaken'],
  ): Found {
    const tried = unit.size * missing.length;
    const free =
      this.#ledger.available(wanted, first, now, ends) &&
      !someNumber(missing, unit.size, first, isTaken) &&
      !someNumber(missing, unit.size, first, (protocol, port) =>
        this.#busyUntil.has(busyKey(protocol, port, demand.hostIP)),
      ) &&
      this.#reserve(demand, missing, unit.size, first) === 'held';
    if (free) return { kind: 'found', first, tried };
    const numbers = formatRanges([{ first, last: first + unit.size - 1 }]);
    const message = `${label(demand, unit)}: the pod has host port ${numbers}, which is not free for ${missing.join(' and ')} on this node; it gets it when it is`;
    return { kind: 'none', problem: { reason: 'PortConflict', message }, sawBusy: true, tried };
  }

  /** Numbers in the order in which they are tried: the annotation's, the pod's former, the rest. */
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

  #reserve(demand: Demand, protocols: readonly Protocol[], size: number, first: number): 'held' | 'taken' | string {
    for (let port = first; port < first + size; port++) {
      for (const protocol of protocols) {
        const outcome = this.#reserver.reserve(reservation(protocol, port, demand.hostIP));
        if (outcome.kind === 'held') continue;
        if (outcome.kind === 'unavailable') return outcome.why;
        this.#busyUntil.set(busyKey(protocol, port, demand.hostIP), this.#clock.monotonic() + BUSY_MS);
        return 'taken';
      }
    }
    return 'held';
  }
}

/** A number that a process holds on one address may be free on another. */
function busyKey(protocol: Protocol, port: number, hostIP = ''): string {
  return `${protocol}/${port}/${hostIP}`;
}

function someNumber(
  protocols: readonly Protocol[],
  size: number,
  first: number,
  is: (protocol: Protocol, port: number) => boolean,
): boolean {
  for (let port = first; port < first + size; port++) {
    for (const protocol of protocols) if (is(protocol, port)) return true;
  }
  return false;
}

/** Whether the unit would share a number and a protocol with one that this pod is about to get. */
function overlaps(unit: Unit, first: number, picked: ReadonlyMap<Unit, number>): boolean {
  for (const [other, start] of picked) {
    const apart = first + unit.size <= start || start + other.size <= first;
    if (!apart && other.protocols.some((protocol) => unit.protocols.includes(protocol))) return true;
  }
  return false;
}

/** The number is known beforehand, and no pool has a say in it. */
export function isGiven(demand: Pick<Demand, 'pool' | 'claim'>): boolean {
  return isFixed(demand) || demand.claim !== undefined;
}

function label({ pod }: Demand, { requests }: Unit): string {
  return `pod ${podLabel(pod)}: port ${requests.map((one) => `"${one.name}" (${one.protocol})`).join(' and ')}`;
}

function nothingFound(demand: Demand, unit: Unit, unavailable: string | undefined): Problem {
  const pool = demand.pool as PoolConfig;
  const where = label(demand, unit);
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
