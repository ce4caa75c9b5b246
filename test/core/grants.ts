/** Pools, pods and grants for the tests of the ledger. */
import type { Wanted } from '../../daemon/core/ledger.ts';
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { Grant, Resting } from '../../daemon/core/state.ts';
import type { PodRef } from '../../daemon/core/vocabulary.ts';

/** Numbers 100 to 109, which rest for a second. */
export function poolOf(fields: Partial<PoolConfig> = {}): PoolConfig {
  return { name: 'default', ranges: [{ first: 100, last: 109 }], maxPortsPerPod: 64, quarantineMs: 1_000, ...fields };
}

/** Pod `games/<name>`, uid `uid-<name>` unless the test says otherwise. */
export function ref(name: string, uid = `uid-${name}`): PodRef {
  return { namespace: 'games', name, uid };
}

/** Port web (TCP) of the pod. */
export function grantOf(pod: PodRef, hostPort: number, fields: Partial<Grant> = {}): Grant {
  const { uid, namespace, name } = pod;
  const port = { name: 'web', protocol: 'TCP', pool: 'default', hostPort, size: 1, containerPort: 80 } as const;
  return { uid, namespace, pod: name, ...port, ...fields };
}

/** The same number, released at this time of the wall clock. */
export function restOf(pod: PodRef, hostPort: number, releasedAt: number, fields: Partial<Resting> = {}): Resting {
  const port = { name: 'web', protocol: 'TCP', pool: 'default', hostPort, size: 1 } as const;
  return { namespace: pod.namespace, pod: pod.name, ...port, releasedAt, ...fields };
}

/** One TCP number of the pool. */
export function wants(pod: PodRef, fields: Partial<Wanted> = {}): Wanted {
  return { pod, pool: poolOf(), protocols: ['TCP'], size: 1, ...fields };
}
