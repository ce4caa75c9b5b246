/** The grants that nobody asks for any more: their pod is gone or ended, or its annotation changed. Pure. */
import { type Ledger, portKey } from '../core/ledger.ts';
import type { Grant } from '../core/state.ts';
import { type Demand, partsOf } from './demand.ts';
import { fits } from './fit.ts';
import type { Closing } from './search.ts';

export interface ClosingGrants extends Closing, Iterable<Grant> {}

/** Every grant of the ledger that answers none of the demands, or that another has replaced. `suspects`: uids of pods that may be gone, which is not known yet (I6). */
export function closingOf(
  ledger: Ledger,
  demands: ReadonlyMap<string, Demand>,
  suspects: ReadonlySet<string>,
): ClosingGrants {
  const grants = new Set<Grant>();
  const byName = new Map<string, Grant[]>();
  for (const grant of ledger.grants()) {
    if (!ledger.isLeaving(grant) && isAsked(grant, demands.get(grant.uid), suspects)) continue;
    grants.add(grant);
    const name = `${grant.namespace}/${grant.pod}`;
    const known = byName.get(name);
    if (known === undefined) byName.set(name, [grant]);
    else known.push(grant);
  }
  return {
    has: (grant) => grants.has(grant),
    named: (namespace, pod) => byName.get(`${namespace}/${pod}`) ?? [],
    [Symbol.iterator]: () => grants.values(),
  };
}

function isAsked(grant: Grant, demand: Demand | undefined, suspects: ReadonlySet<string>): boolean {
  return demand === undefined ? suspects.has(grant.uid) : answers(grant, demand);
}

/** Which demand a grant answered last: both are immutable, and most stay the same from pass to pass. */
const answered = new WeakMap<Grant, Demand>();

function answers(grant: Grant, demand: Demand): boolean {
  if (answered.get(grant) === demand) return true;
  const key = portKey(grant);
  const found = partsOf(demand).some((part) =>
    part.units.some((unit) =>
      unit.requests.some((request) => portKey(request) === key && fits(grant, part, unit, request)),
    ),
  );
  if (found) answered.set(grant, demand);
  return found;
}
