/** Grants and demands joined into the mappings that are wanted. Pure; an unchanged mapping stays the same object. */

import { type Ledger, portKey } from '../core/ledger.ts';
import type { Grant } from '../core/state.ts';
import { containerPortOf } from '../core/unit.ts';
import type { Mapping } from '../core/vocabulary.ts';
import type { Demand } from './demand.ts';
import { fits } from './fit.ts';
import { mappingKey } from './plan.ts';

interface Joined {
  readonly grants: ReadonlyMap<string, Grant>;
  readonly podIPs: readonly string[];
  readonly mappings: readonly Mapping[];
}

const joined = new WeakMap<Demand, Joined>();

/**
 * The mappings of one demand, in the order of its requests; those without a grant are left out. With the same demand, addresses
 * and grants they are the same list.
 */
export function mappingsOf(
  demand: Demand,
  ledger: Ledger,
  podIPs: readonly string[],
  before: ReadonlyMap<string, Mapping>,
): readonly Mapping[] {
  const known = joined.get(demand);
  const grants = ledger.grantsOf(demand.pod.uid);
  if (known?.grants === grants && known.podIPs === podIPs) return known.mappings;
  const mappings = join(demand, grants, podIPs, before);
  joined.set(demand, { grants, podIPs, mappings });
  return mappings;
}

function join(
  demand: Demand,
  grants: ReadonlyMap<string, Grant>,
  podIPs: readonly string[],
  before: ReadonlyMap<string, Mapping>,
): readonly Mapping[] {
  const mappings: Mapping[] = [];
  for (const unit of demand.units) {
    for (const request of unit.requests) {
      const grant = grants.get(portKey(request));
      if (grant === undefined || !fits(grant, demand, unit, request)) continue;
      mappings.push(reuse(mappingOf(demand, grant, podIPs), before));
    }
  }
  return mappings;
}

/** What a claim's ports were while the pod had the number, or will be when it has it: `podIPs` are those it had, or none. */
export function turnMappings(demand: Demand, podIPs: readonly string[]): readonly Mapping[] {
  const {
    hostIP,
    request: { pool },
  } = demand;
  return demand.units.flatMap(({ requests, exact, size }) => {
    if (exact === undefined) return [];
    return requests.map((request) => {
      const { name, protocol } = request;
      const place = { hostPort: exact, size, ...(hostIP === undefined ? {} : { hostIP }) };
      return mappingOf(
        demand,
        { name, protocol, pool, ...place, containerPort: containerPortOf(request, exact) },
        podIPs,
      );
    });
  });
}

/** One grant as the mapping that it stands for. */
export function mappingOf(
  demand: Demand,
  grant: Pick<Grant, 'name' | 'protocol' | 'pool' | 'hostPort' | 'size' | 'hostIP' | 'containerPort'>,
  podIPs: readonly string[],
): Mapping {
  const { allowFrom } = demand.request;
  return {
    pod: { namespace: demand.pod.namespace, name: demand.pod.name, uid: demand.pod.uid },
    name: grant.name,
    protocol: grant.protocol,
    pool: grant.pool,
    hostPort: grant.hostPort,
    size: grant.size,
    ...(grant.hostIP === undefined ? {} : { hostIP: grant.hostIP }),
    containerPort: grant.containerPort,
    podIPs,
    ...(allowFrom === undefined ? {} : { allowFrom }),
  };
}

/** The mapping of before where it says the same. */
export function reuse(mapping: Mapping, before: ReadonlyMap<string, Mapping>): Mapping {
  const known = before.get(mappingKey(mapping));
  return known !== undefined && equal(known, mapping) ? known : mapping;
}

function equal(one: Mapping, other: Mapping): boolean {
  return (
    one.hostPort === other.hostPort &&
    one.size === other.size &&
    one.hostIP === other.hostIP &&
    one.containerPort === other.containerPort &&
    one.pool === other.pool &&
    one.pod.name === other.pod.name &&
    one.pod.namespace === other.pod.namespace &&
    sameList(one.podIPs, other.podIPs) &&
    sameList(
      one.allowFrom?.map(({ text }) => text),
      other.allowFrom?.map(({ text }) => text),
    )
  );
}

function sameList(one: readonly string[] | undefined, other: readonly string[] | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length === other.length && one.every((text, index) => text === other[index]);
}
