/**
 * The static hostPorts of the node's pods: never given out, and a conflict where two want one number. Pure; whether Berth serves
 * them itself is decided elsewhere.
 */

import type { Ledger } from '../core/ledger.ts';
import { isActive } from '../core/podstate.ts';
import type { Grant } from '../core/state.ts';
import { STATIC_POOL, staticHostIP } from '../core/staticports.ts';
import type { Unit } from '../core/unit.ts';
import { type Pod, type PodRef, type Problem, type Protocol, podLabel } from '../core/vocabulary.ts';
import type { Demand } from './demand.ts';

export interface Statics {
  readonly has: (protocol: Protocol, port: number) => boolean;
  readonly ports: Iterable<StaticNumber>;
}

interface StaticNumber {
  readonly protocol: Protocol;
  readonly port: number;
  /** Absent: any address. */
  readonly hostIP?: string;
  readonly pod: Pod;
}

/** Every static hostPort of a pod that has not ended. */
export function staticsOf(pods: Iterable<Pod>): Statics {
  const numbers = new Set<string>();
  const ports = new Map<string, StaticNumber>();
  for (const pod of pods) {
    if (!isActive(pod)) continue;
    for (const port of pod.ports) {
      const { protocol, hostPort } = port;
      if (hostPort === undefined) continue;
      const hostIP = staticHostIP(port);
      const place = hostIP === undefined ? {} : { hostIP };
      numbers.add(`${protocol}/${hostPort}`);
      ports.set(`${protocol}/${hostPort}/${hostIP ?? ''}`, { protocol, port: hostPort, ...place, pod });
    }
  }
  return { has: (protocol, port) => numbers.has(`${protocol}/${port}`), ports: ports.values() };
}

export interface StaticConflict {
  readonly pod: Pod;
  readonly protocol: Protocol;
  readonly port: number;
  /** Who was given the number before. */
  readonly grant: Grant;
}

/** Static hostPorts on numbers that were given to other pods, from a pool or by a claim. */
export function conflictsOf(statics: Statics, ledger: Ledger): readonly StaticConflict[] {
  const conflicts: StaticConflict[] = [];
  for (const { pod, protocol, port, hostIP } of statics.ports) {
    const grant = ledger.holder(protocol, port, hostIP);
    if (grant !== undefined && grant.pool !== STATIC_POOL.name) conflicts.push({ pod, protocol, port, grant });
  }
  return conflicts;
}

/** What both pods are told. */
export function conflictMessage({
  pod,
  protocol,
  port,
  grant,
}: Omit<StaticConflict, 'pod'> & { readonly pod: PodRef }): string {
  return `host port ${port}/${protocol} is given to pod ${grant.namespace}/${grant.pod} (port "${grant.name}") and pod ${podLabel(pod)} names it as a static hostPort: the mapping of ${grant.namespace}/${grant.pod} stays; keep static hostPorts out of the pools${grant.claim === undefined ? '' : ' of classes'}`;
}

/** Why the static host port of this unit cannot be served now. `unavailable`: no socket could be made or bound, for this reason. */
export function staticProblem(
  { pod, hostIP }: Demand,
  { exact: port = 0, protocols: [protocol = 'TCP'] }: Unit,
  ledger: Ledger,
  unavailable: string | undefined,
): Problem {
  const where = `pod ${podLabel(pod)}: hostPort ${port}/${protocol}${hostIP === undefined ? '' : ` on ${hostIP}`} of its spec`;
  const conflict = (message: string): Problem => ({ reason: 'PortConflict', message });
  if (unavailable !== undefined) return conflict(`${where} cannot be reserved: ${unavailable}; it is tried again`);
  const grant = ledger.holder(protocol, port, hostIP);
  if (grant === undefined) {
    return conflict(`${where} is held by another process on the node: the pod gets it when that lets go of it`);
  }
  if (grant.pool !== STATIC_POOL.name) return conflict(conflictMessage({ pod, protocol, port, grant }));
  const other = `pod ${grant.namespace}/${grant.pod} (port "${grant.name}")`;
  return conflict(`${where} is served for ${other}: the pod gets it when that one has ended`);
}
