/** The pods and mappings that are installed while something is measured: all alike, told apart by their index. */

import type { Mapping, Pod } from '../../daemon/core/vocabulary.ts';
import { decodePod } from '../../daemon/kube/pod.ts';

/** The first host port of `mapping(0)`. */
export const FIRST_PORT = 10_000;
/** Where the pods of a measurement live. */
export const POD_NETWORK = '10.244.0.0/16';

export interface PodPlan {
  readonly name: string;
  readonly uid: string;
  /** Undefined: it has no address yet. */
  readonly ip?: string;
  /** Container ports 8000, 8001, … */
  readonly ports: number;
  /** TCP unless given. */
  readonly protocol?: 'TCP' | 'UDP';
}

/** Pod `index` with this many ports. */
export function podPlan(index: number, ports: number): PodPlan & { readonly ip: string } {
  return { name: `pod-${index}`, uid: uidOf(index), ip: podIP(index), ports };
}

export function uidOf(index: number): string {
  return `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
}

/** 10.244.1.1 and on. */
export function podIP(index: number): string {
  return `10.244.${1 + Math.floor(index / 250)}.${1 + (index % 250)}`;
}

/** As the API server would give it. */
export function manifest({ name, uid, ip, ports, protocol = 'TCP' }: PodPlan): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'bench',
      uid,
      annotations: { 'berth.dev/ports': '' },
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: {
      containers: [
        {
          name: 'main',
          ports: Array.from({ length: ports }, (_, index) => ({
            name: `p${index}`,
            containerPort: 8000 + index,
            protocol,
          })),
        },
      ],
    },
    status: ip === undefined ? { phase: 'Pending' } : { phase: 'Running', podIP: ip, podIPs: [{ ip }] },
  };
}

export function podOf(plan: PodPlan): Pod {
  return decodePod(manifest(plan));
}

/** Mapping `index`: host port FIRST_PORT + index to a pod of its own, 200 of them in turn unless given. */
export function mapping(index: number, ip = podIP(index % 200), containerPort = 8080): Mapping {
  return {
    pod: { namespace: 'bench', name: `pod-${index}`, uid: uidOf(index) },
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: FIRST_PORT + index,
    size: 1,
    containerPort,
    podIPs: [ip],
  };
}
