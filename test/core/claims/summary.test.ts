/** What is counted for metrics. */
import test from 'ava';
import type { Claim, HostPort, HostPortClass, ObjectMeta } from '../../../daemon/core/claims/objects.ts';
import { summaryOf } from '../../../daemon/core/claims/summary.ts';

const meta = (name: string): ObjectMeta => ({
  ...{ name, uid: `uid-${name}`, revision: '1', generation: 1, created: '' },
  ...{ deleting: false, finalizers: [] },
});

const games: HostPortClass = {
  meta: meta('games'),
  pools: [{ first: 7000, last: 7009 }],
  protocols: ['TCP'],
  selector: undefined,
  claimsPerNamespace: undefined,
  reclaimPolicy: 'Delete',
  handover: 'OnReady',
  status: { observedGeneration: 0, conditions: [], ports: undefined, allocated: undefined },
};

const hostPort = (name: string, className: string, owner?: string, phase?: HostPort['status']['phase']): HostPort => ({
  meta: meta(name),
  className,
  claimRef: owner === undefined ? undefined : { namespace: 'shop', name: owner, uid: owner },
  status: { observedGeneration: 0, conditions: [], phase, port: undefined },
});

const claim = (name: string, phase: Claim['status']['phase']): Claim => ({
  meta: { ...meta(name), namespace: 'shop' },
  className: 'games',
  hostPortName: '',
  owners: [],
  deletedAt: '',
  status: {
    ...{ observedGeneration: 0, conditions: [], hostPortName: '', hostPortClassName: '', port: undefined },
    ...{ phase, protocols: [], handover: undefined, heldBy: undefined },
  },
});

test('free is what the next claim of the class can get', (t) => {
  const seen = {
    classes: [games],
    claims: [claim('a', 'Bound'), claim('b', undefined), claim('c', 'Deleting')],
    hostPorts: [
      hostPort('hp-7000', 'games', 'a', 'Allocated'),
      hostPort('hp-7001', 'other', 'x'),
      hostPort('hp-7002', 'other'),
      hostPort('hp-7003', 'games'),
      hostPort('hp-443', 'games', 'y', 'Released'),
      hostPort('web', 'games', 'z'),
    ],
    statefulSets: [],
    namespaces: new Map(),
    uses: new Map(),
    nodePools: [{ ranges: [{ first: 7009, last: 7100 }], nodes: ['a'], count: 1 }],
  };
  t.deepEqual(summaryOf(seen), {
    phases: { Pending: 1, Bound: 1, Deleting: 1 },
    hostPorts: { Available: 0, Allocated: 1, Released: 1, Deleting: 0 },
    classes: [{ name: 'games', ports: 10, free: 7, overlapping: true }],
  });
  t.false(summaryOf({ ...seen, nodePools: undefined }).classes[0]?.overlapping);
});
