/** The simulated cluster as data: nodes, their tokens and their mappings, with names as long as those of a cloud. Pure. */
import type { Mapping } from '../../../daemon/core/vocabulary.ts';

export const MAPPINGS_PER_NODE = 60;
/** These of a node's mappings come and go; the others stay, so that a Get of one of them has a known answer. */
export const CHANGING = 10;
export const NAMESPACES = 200;

export const AGENT_ACCOUNT = 'system:serviceaccount:berth-system:berth-agent';
/** Of whom reads everything. */
export const READER_TOKEN = tokenOf('reader');
/** What a watcher looks for in the bytes that it gets; the monotonic clock in ns follows, 16 digits. */
export const PROBE = 'probe-';

export function nodeName(node: number): string {
  return `ip-10-${100 + (node >> 16)}-${(node >> 8) & 255}-${node & 255}.eu-central-1.compute.internal`;
}

/** As long as one of a service account, about 1 KB. */
export function tokenOf(name: string): string {
  const claims = { sub: name, iss: 'https://kubernetes.default.svc', filler: 'x'.repeat(560) };
  return ['eyJhbGciOiJSUzI1NiJ9', Buffer.from(JSON.stringify(claims)).toString('base64url'), 's'.repeat(256)].join('.');
}

export function namespaceOf(node: number, slot: number): string {
  return `game-team-${String((7 * node + slot) % NAMESPACES).padStart(3, '0')}`;
}

/** The pod that is in the slot at first. */
export function podOf(node: number, slot: number): string {
  return `game-server-${hex(node, slot, 10)}-${hex(slot, node, 5)}`;
}

export function mappingOf(node: number, slot: number, pod = podOf(node, slot)): Mapping {
  const uid = `${hex(node, slot, 8)}-0000-4000-8000-${hex(slot, node, 12)}`;
  return {
    pod: { namespace: namespaceOf(node, slot), name: pod, uid },
    name: 'game',
    protocol: slot % 2 === 0 ? 'UDP' : 'TCP',
    pool: 'default',
    hostPort: 20_000 + slot,
    size: 1,
    containerPort: 7_777,
    podIPs: [`10.${(node >> 8) & 255}.${node & 255}.${slot + 2}`],
  };
}

function hex(one: number, other: number, digits: number): string {
  const mixed = (Math.imul(one + 1, 2_654_435_761) ^ Math.imul(other + 1, 40_503)) >>> 0;
  return `${mixed.toString(16)}${mixed.toString(16)}`.padStart(digits, '0').slice(0, digits);
}
