/**
 * What one pod may have here and now: its request held against the policy of its pool and the addresses of the node.
 * Pure: problems are data.
 */
import { containsAddress } from '../core/address.ts';
import { type PodAddresses, podAddresses } from '../core/podstate.ts';
import { type PoolConfig, poolOnNode, requestedPorts } from '../core/pool.ts';
import { parsePodRequest } from '../core/request.ts';
import { type Unit, unitsOf } from '../core/unit.ts';
import {
  type HostIPSelector,
  type NodeAddress,
  type Pod,
  type PodRequest,
  type Problem,
  podLabel,
} from '../core/vocabulary.ts';

/** The node as a pod's request meets it. */
export interface NodeView {
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly NodeAddress[];
  readonly isNodeAddress: (address: string) => boolean;
}

/** A request that can be understood. Its units may still be refused (`denied`) or wait for an address of the node. */
export interface Demand {
  readonly kind: 'wanted';
  readonly pod: Pod;
  readonly request: PodRequest;
  readonly units: readonly Unit[];
  /** Undefined when the pool does not exist. */
  readonly pool: PoolConfig | undefined;
  /** The node's address that is meant; absent: any address. */
  readonly hostIP?: string;
  /** Why no new number may be given; grants that stand are kept (a live mapping outlives a change of policy). */
  readonly denied?: Problem;
  /** Why nothing may be installed at the moment; it heals. */
  readonly blocked?: Problem;
  /** The pod's addresses, of the family of `hostIP` when there is one. */
  readonly podIPs: readonly string[];
}

export type Assessment = { readonly kind: 'none' } | { readonly kind: 'problem'; readonly problem: Problem } | Demand;

type Parsed = ReturnType<typeof parsePodRequest>;
const parsedPods = new WeakMap<Pod, Parsed>();

/** Pods are immutable: the same object is parsed once. */
function parseOnce(pod: Pod): Parsed {
  let parsed = parsedPods.get(pod);
  if (parsed === undefined) {
    parsed = parsePodRequest(pod);
    parsedPods.set(pod, parsed);
  }
  return parsed;
}

/** `assess` for pools and a node that stay as they are: the same pod is assessed once, and its demand stays the same object. */
export class Assessor {
  readonly pools: ReadonlyMap<string, PoolConfig>;
  readonly node: NodeView;
  readonly #known = new WeakMap<Pod, { readonly held: string | undefined; readonly assessment: Assessment }>();

  constructor(pools: ReadonlyMap<string, PoolConfig>, node: NodeView) {
    this.pools = pools;
    this.node = node;
  }

  assess(pod: Pod, held: string | undefined): Assessment {
    const known = this.#known.get(pod);
    if (known !== undefined && known.held === held) return known.assessment;
    const assessment = assess(pod, this.pools, this.node, held);
    this.#known.set(pod, { held, assessment });
    return assessment;
  }
}

/**
 * What the pod may have on this node. `held`: the address of the node at which it has its ports already: it keeps that one as
 * long as it may, whichever others come and go (I6). Total.
 */
export function assess(
  pod: Pod,
  pools: ReadonlyMap<string, PoolConfig>,
  node: NodeView,
  held?: string | undefined,
): Assessment {
  const parsed = parseOnce(pod);
  if (parsed.kind !== 'ok') return parsed;
  const { request } = parsed;
  const pool = pools.get(request.pool);
  const denied = pool === undefined ? unknownPool(pod, request, pools) : deniedBy(pool, pod, request, node);
  const addresses = podAddresses(pod, node.isNodeAddress);
  const podIPs = addresses.kind === 'sane' ? addresses.addresses : [];
  const host = resolveHostIP(pod, request, pool, node, preference(held, podIPs));
  const usable = podIPs.filter((ip) => suits(ip, host.hostIP));
  const blocked =
    host.problem ??
    refusedAddress(pod, addresses) ??
    (addresses.kind === 'sane' && usable.length === 0 ? otherFamily(pod, host.hostIP ?? '', podIPs) : undefined);
  return {
    kind: 'wanted',
    pod,
    request,
    units: unitsOf(request),
    pool,
    podIPs: blocked === undefined ? usable : [],
    ...(host.hostIP === undefined ? {} : { hostIP: host.hostIP }),
    ...(denied === undefined ? {} : { denied }),
    ...(blocked === undefined ? {} : { blocked }),
  };
}

function unknownPool(pod: Pod, request: PodRequest, pools: ReadonlyMap<string, PoolConfig>): Problem {
  const known = [...pools.keys()].join(', ') || 'none';
  return invalid(pod, `there is no pool "${request.pool}" on this node; set berth.dev/pool to one of: ${known}`);
}

function deniedBy(pool: PoolConfig, pod: Pod, request: PodRequest, node: NodeView): Problem | undefined {
  if (pool.namespaces !== undefined && !pool.namespaces.includes(pod.namespace)) {
    return invalid(
      pod,
      `pool "${pool.name}" may not be used by namespace "${pod.namespace}"; add it to the pool's namespaces or choose another pool with berth.dev/pool`,
    );
  }
  if (!poolOnNode(pool, node.labels)) {
    return invalid(
      pod,
      `pool "${pool.name}" does not exist on this node: its nodeSelector does not match the node's labels; schedule the pod to a node that matches or choose another pool with berth.dev/pool`,
    );
  }
  const ports = requestedPorts(request);
  if (ports > pool.maxPortsPerPod) {
    return invalid(
      pod,
      `the pod asks for ${ports} host ports, pool "${pool.name}" allows ${pool.maxPortsPerPod} a pod; ask for fewer or raise the pool's maxPortsPerPod`,
    );
  }
  return undefined;
}

function invalid(pod: Pod, what: string): Problem {
  return { reason: 'InvalidPortRequest', message: `pod ${podLabel(pod)}: ${what}` };
}

function refusedAddress(pod: Pod, addresses: PodAddresses): Problem | undefined {
  if (addresses.kind !== 'refused') return undefined;
  return {
    reason: 'InvalidPodIP',
    message: `pod ${podLabel(pod)}: its address ${addresses.address} is refused: ${addresses.why}; the mapping is made when the pod has an address of its own`,
  };
}

/** The pod can be reached at this address through that address of the node. */
function suits(podIP: string, hostIP: string | undefined): boolean {
  return hostIP === undefined || podIP.includes(':') === hostIP.includes(':');
}

function otherFamily(pod: Pod, hostIP: string, podIPs: readonly string[]): Problem {
  const [has, lacks] = hostIP.includes(':') ? ['IPv4', 'IPv6'] : ['IPv6', 'IPv4'];
  return invalid(
    pod,
    `${hostIP} of the node is an ${lacks} address, the pod has only ${podIPs.join(', ')}; name an ${has} address of the node in berth.dev/host-ip`,
  );
}

type Preference = (candidates: readonly string[]) => string | undefined;

/** Of several addresses the one that is held already, else the first of a family that the pod has, else the first. */
function preference(held: string | undefined, podIPs: readonly string[]): Preference {
  return (candidates) => {
    const fitting = candidates.filter((address) => podIPs.length === 0 || podIPs.some((ip) => suits(ip, address)));
    const choice = fitting.length > 0 ? fitting : candidates;
    return choice.find((address) => address === held) ?? choice[0];
  };
}

/** The address that the pod names, or that its pool prescribes. An address that the node lacks heals when it appears. */
function resolveHostIP(
  pod: Pod,
  request: PodRequest,
  pool: PoolConfig | undefined,
  node: NodeView,
  prefer: Preference,
): { readonly hostIP?: string; readonly problem?: Problem } {
  const candidates = node.addresses.map(({ address }) => address);
  const permitted = (address: string) =>
    pool?.hostIPs === undefined || pool.hostIPs.some((cidr) => containsAddress(cidr, address));
  const { hostIP } = request;
  if (hostIP === undefined) {
    if (pool?.hostIPs === undefined) return {};
    const found = prefer(
      pool.hostIPs.flatMap((cidr) => candidates.filter((address) => containsAddress(cidr, address))),
    );
    if (found !== undefined) return { hostIP: found };
    return lacking(pod, `the node has no address in the hostIPs of pool "${pool.name}"`);
  }
  const wanted = hostIP.kind === 'address' ? hostIP.address : hostIP.cidr.text;
  const found = prefer(candidates.filter((address) => matches(hostIP, address) && permitted(address)));
  if (found !== undefined) return { hostIP: found };
  const onNode = candidates.some((address) => matches(hostIP, address));
  return lacking(
    pod,
    onNode
      ? `annotation berth.dev/host-ip: ${wanted} is not among the hostIPs of pool "${request.pool}"; choose one of these or another pool`
      : `annotation berth.dev/host-ip: the node has no address ${wanted}; it has ${candidates.join(', ') || 'none'}`,
  );
}

function matches(selector: HostIPSelector, address: string): boolean {
  return selector.kind === 'address' ? selector.address === address : containsAddress(selector.cidr, address);
}

function lacking(pod: Pod, what: string): { readonly problem: Problem } {
  return { problem: { reason: 'HostIPNotFound', message: `pod ${podLabel(pod)}: ${what}` } };
}
