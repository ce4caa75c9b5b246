/** Facts for the doctor's judgements: a pod and a node at which nothing is wrong, to be made worse one thing at a time. */
import { type Finding, type HookedChain, type HostFacts, seen } from '../../../daemon/core/diagnosis.ts';
import { podAddresses } from '../../../daemon/core/podstate.ts';
import { POOL_DEFAULTS, type PoolConfig } from '../../../daemon/core/pool.ts';
import type { Grant } from '../../../daemon/core/state.ts';
import type { Mapping, Pod } from '../../../daemon/core/vocabulary.ts';
import type { NodeFacts, PodFacts, PortFacts } from '../../../daemon/ops/doctor/facts.ts';
import { assess } from '../../../daemon/reconcile/demand.ts';

export const POOL: PoolConfig = { name: 'default', ranges: [{ first: 20_000, last: 29_999 }], ...POOL_DEFAULTS };

export const POD: Pod = {
  namespace: 'games',
  name: 'arena-0',
  uid: '11111111-1111-4111-8111-111111111111',
  annotations: { 'berth.dev/ports': '' },
  hostNetwork: false,
  phase: 'Running',
  terminating: false,
  ended: false,
  podIPs: ['10.244.1.7'],
  ports: [{ container: 'main', sidecar: false, name: 'web', containerPort: 8080, protocol: 'TCP' }],
  createdAt: 0,
};

export const GRANT: Grant = {
  uid: POD.uid,
  namespace: POD.namespace,
  pod: POD.name,
  name: 'web',
  protocol: 'TCP',
  pool: 'default',
  hostPort: 23_117,
  size: 1,
  containerPort: 8080,
};

export const MAPPING: Mapping = {
  pod: POD,
  name: 'web',
  protocol: 'TCP',
  pool: 'default',
  hostPort: 23_117,
  size: 1,
  containerPort: 8080,
  podIPs: ['10.244.1.7'],
};

export const LINE = { set: 'any4', key: 'tcp . 23117', value: '10.244.1.7 . 8080' } as const;
const NODE_LINE = { set: 'nodeaddr4', key: '192.0.2.7', value: '' } as const;

export const PORT: PortFacts = {
  request: { name: 'web', protocol: 'TCP', target: { kind: 'port', port: 8080 }, group: 'web' },
  number: { grant: GRANT, source: 'state file', mapping: MAPPING },
  holder: seen({ kind: 'agent' }),
  rule: seen({ wanted: [LINE], missing: [], instead: [] }),
  flows: seen([]),
  listening: [{ podIP: '10.244.1.7', port: 8080, listening: 'answers' }],
};

export const HOST: HostFacts = {
  forwarding: { 4: seen(true), 6: seen(true) },
  uplinks: seen([{ device: 'eth0', address: '192.0.2.7', strict: false, forwards: true, replyDevice: 'eth0' }]),
  reversePathDrops: seen(0),
  earlierNat: seen([]),
  forward: seen([]),
  ebpfDevices: seen([]),
  serviceAddresses: seen(undefined),
  bridgeFilter: seen(true),
};

export const CHAIN: HookedChain = {
  family: 'ip',
  table: 'filter',
  name: 'FORWARD',
  type: 'filter',
  hook: 'forward',
  priority: 0,
};
export const NAT: HookedChain = {
  ...CHAIN,
  table: 'x; reboot',
  name: 'pre',
  type: 'nat',
  hook: 'prerouting',
  priority: -150,
};
export const UPLINK = {
  device: 'eth1',
  address: '192.0.2.7',
  strict: true,
  forwards: true,
  replyDevice: 'eth0',
} as const;

export const NODE: NodeFacts = {
  socket: '/run/berth/agent.sock',
  stateDir: '/var/lib/berth',
  addresses: seen([{ family: 4, address: '192.0.2.7', device: 'eth0' }]),
  table: seen(''),
  nodeSets: seen({ wanted: [NODE_LINE], missing: [], instead: [] }),
  answer: {
    kind: 'answers',
    mappings: [{ podUID: POD.uid, name: 'web', protocol: 'TCP', hostPort: 23_117, podIPs: ['10.244.1.7'] }],
  },
  lock: seen({ exists: true, holder: { pid: 4711, name: 'node' } }),
  state: seen({ state: { grants: [GRANT], resting: [], settings: [] } }),
  sockets: seen(12),
  host: HOST,
  unprotected: seen([]),
};

/** The facts of a pod as they follow from the pod itself. */
export function podFacts(change: Partial<Pod> = {}, more: Partial<PodFacts> = {}): PodFacts {
  const pod = { ...POD, ...change };
  const isNodeAddress = (address: string) => address === '192.0.2.7';
  const addresses = [{ family: 4, address: '192.0.2.7', device: 'eth0' }] as const;
  return {
    pod,
    place: { kind: 'cluster' },
    assessment: assess(pod, new Map([['default', POOL]]), { labels: {}, addresses, isNodeAddress }),
    addresses: podAddresses(pod, isNodeAddress),
    condition: undefined,
    asked: undefined,
    ports: [PORT],
    ways: [{ podIP: '10.244.1.7', way: seen({ device: 'cni0', leadsToPods: true, routeLocalnet: true }) }],
    ...more,
  };
}

/** `fail BD301`, for every finding that is not in order. */
export function troubles(findings: readonly Finding[]): readonly string[] {
  return findings.filter(({ status }) => status !== 'ok').map(({ status, code }) => `${status} ${code}`);
}
