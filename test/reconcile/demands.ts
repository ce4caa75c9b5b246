/** Demands, grants and mappings for the table tests of the pure files: as the assessment and the ledger make them. */
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { Grant } from '../../daemon/core/state.ts';
import type { Mapping, Pod } from '../../daemon/core/vocabulary.ts';
import { assess, type Demand } from '../../daemon/reconcile/demand.ts';
import type { NodeView } from '../../daemon/reconcile/place.ts';
import { HOME, poolOf, server } from './rig.ts';

export const NODE: NodeView = {
  labels: {},
  addresses: HOME,
  isNodeAddress: (address) => HOME.some((one) => one.address === address),
};

/** Throws when the pod wants nothing. */
export function demandOf(pod: Pod, pools: readonly PoolConfig[] = [poolOf()], node: NodeView = NODE): Demand {
  const assessment = assess(pod, new Map(pools.map((pool) => [pool.name, pool])), node);
  if (assessment.kind !== 'wanted') throw new Error(JSON.stringify(assessment));
  return assessment;
}

/** Port web of server-1 with number 20000. */
export function grantOf(fields: Partial<Grant> = {}): Grant {
  return {
    uid: 'uid-1',
    namespace: 'games',
    pod: 'server-1',
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: 20_000,
    size: 1,
    containerPort: 80,
    ...fields,
  };
}

/** The same as a mapping. */
export function mappingFor(index: number, fields: Partial<Mapping> = {}): Mapping {
  const { uid, namespace, name } = server(index);
  return {
    pod: { namespace, name, uid },
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: 20_000 + index,
    size: 1,
    containerPort: 80,
    podIPs: [`10.0.0.${index}`],
    ...fields,
  };
}
