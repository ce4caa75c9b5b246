/** The static hostPorts of the node's pods: never given out, and a conflict where one arrives on a number already given. Pure. */

import type { Ledger } from '../core/ledger.ts';
import { isActive } from '../core/podstate.ts';
import type { Grant } from '../core/state.ts';
import { type Pod, type Protocol, podLabel } from '../core/vocabulary.ts';

export interface Statics {
  readonly has: (protocol: Protocol, port: number) => boolean;
  readonly ports: Iterable<{ readonly protocol: Protocol; readonly port: number; readonly pod: Pod }>;
}

/** Every static hostPort of a pod that has not ended. */
export function staticsOf(pods: Iterable<Pod>): Statics {
  const ports = new Map<string, { protocol: Protocol; port: number; pod: Pod }>();
  for (const pod of pods) {
    if (!isActive(pod)) continue;
    for (const { protocol, hostPort } of pod.ports) {
      if (hostPort !== undefined) ports.set(`${protocol}/${hostPort}`, { protocol, port: hostPort, pod });
    }
  }
  return { has: (protocol, port) => ports.has(`${protocol}/${port}`), ports: ports.values() };
}

export interface StaticConflict {
  readonly pod: Pod;
  readonly protocol: Protocol;
  readonly port: number;
  /** Who was given the number before. */
  readonly grant: Grant;
}

/** Static hostPorts on numbers that were given to other pods. */
export function conflictsOf(statics: Statics, ledger: Ledger): readonly StaticConflict[] {
  const conflicts: StaticConflict[] = [];
  for (const { pod, protocol, port } of statics.ports) {
    const grant = ledger.holder(protocol, port);
    if (grant !== undefined) conflicts.push({ pod, protocol, port, grant });
  }
  return conflicts;
}

/** What both pods are told. */
export function conflictMessage({ pod, protocol, port, grant }: StaticConflict): string {
  return `host port ${port}/${protocol} is given to pod ${grant.namespace}/${grant.pod} (port "${grant.name}") and pod ${podLabel(pod)} names it as a static hostPort: the mapping of ${grant.namespace}/${grant.pod} stays; keep static hostPorts out of the pools`;
}
