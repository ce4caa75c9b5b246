/** Whether there is room for what a pod asks for, whatever else was given first. Cautious: in doubt it says no. */

import { isActive } from '../../daemon/core/podstate.ts';
import { type PoolConfig, poolHolds } from '../../daemon/core/pool.ts';
import { type AskedPort, STATIC } from './asked.ts';
import type { Due } from './ending.ts';
import type { Stage } from './stage.ts';
import { rulesOf } from './table.ts';

export function isPlaceable(stage: Stage, { pod, asked, hostIP }: Due): boolean {
  if (asked.pool === STATIC) return asked.ports.every((port) => isFree(stage, port));
  const pool = stage.pools.find(({ name }) => name === asked.pool);
  if (pool === undefined || (pool.namespaces !== undefined && !pool.namespaces.includes(pod.namespace))) return false;
  const total = asked.ports.reduce((sum, { size }) => sum + size, 0);
  if (total > pool.maxPortsPerPod) return false;
  if (pool.maxPerNamespace !== undefined && total + usedIn(stage, pool) > pool.maxPerNamespace) return false;
  const units = [...Map.groupBy(asked.ports, ({ unit }) => unit).values()];
  return units.every((unit) => {
    const size = unit[0]?.size ?? 1;
    // Each other unit of the pod can spoil so many places for this one.
    const spoilt = units
      .filter((other) => other !== unit)
      .reduce((sum, other) => sum + (other[0]?.size ?? 1) + size - 1, 0);
    return placesFor(stage, unit, size, hostIP, pool) > spoilt;
  });
}

function placesFor(
  stage: Stage,
  unit: readonly AskedPort[],
  size: number,
  hostIP: string | undefined | null,
  pool: PoolConfig,
): number {
  const used = usedNumbers(stage);
  const exact = unit[0]?.exact;
  let places = 0;
  for (const range of pool.ranges) {
    for (let first = range.first; first + size - 1 <= range.last; first++) {
      if (exact !== undefined && first !== exact) continue;
      const numbers = Array.from({ length: size }, (_, index) => first + index);
      const free = numbers.every((number) =>
        unit.every(
          ({ protocol }) =>
            !used.has(`${protocol}/${number}`) &&
            (protocol === 'SCTP' || !stage.node.isOccupied({ protocol, port: number, ...(hostIP ? { hostIP } : {}) })),
        ),
      );
      if (free) places++;
    }
  }
  return places;
}

/** Nobody has the static number but pods that name it as well, and have no rule. */
function isFree(stage: Stage, { protocol, exact = 0 }: AskedPort): boolean {
  const taken = takenNumbers(stage).has(`${protocol}/${exact}`) || isPromised(stage, exact);
  return !taken && (protocol === 'SCTP' || !stage.node.isOccupied({ protocol, port: exact }));
}

/** A pod keeps its number without rule and socket while the node lacks the address that is meant. */
function isPromised({ api }: Stage, number: number): boolean {
  return api.pods.some((pod) =>
    Object.entries(api.resultOf(pod.uid)?.annotations ?? {}).some(([key, value]) => {
      const [first = 0, last = first] = key.startsWith('port.berth.dev/') ? value.split('-').map(Number) : [];
      return first <= number && number <= last;
    }),
  );
}

/** Numbers that a rule or a socket has. */
function takenNumbers({ node }: Stage): Set<string> {
  const used = new Set(node.reserver.held().map(({ protocol, port }) => `${protocol}/${port}`));
  for (const rule of rulesOf(node.ruleset.elements())) {
    for (let number = rule.first; number <= rule.last; number++) used.add(`${rule.protocol}/${number}`);
  }
  return used;
}

/** The same, and static hostPorts. */
function usedNumbers(stage: Stage): ReadonlySet<string> {
  const { api } = stage;
  const used = takenNumbers(stage);
  for (const pod of api.pods) {
    if (!isActive(pod)) continue;
    for (const { protocol, hostPort } of pod.ports) if (hostPort !== undefined) used.add(`${protocol}/${hostPort}`);
  }
  return used;
}

/** The pools with a limit are of one namespace. */
function usedIn({ node }: Stage, pool: PoolConfig): number {
  return node.reserver.held().filter(({ port }) => poolHolds(pool, port, 1)).length;
}
