/**
 * From which address of the node a pod's request leads to which address of the pod: what the pod names, or its pool prescribes, held
 * against the addresses that the node has. Pure: problems are data.
 */
import { containsAddress } from '../core/address.ts';
import type { PodAddresses } from '../core/podstate.ts';
import type { PoolConfig } from '../core/pool.ts';
import {
  type HostIPSelector,
  type NodeAddress,
  type Pod,
  type PodRequest,
  type Problem,
  podLabel,
} from '../core/vocabulary.ts';
import { addressing, suits } from './addressing.ts';

/** The node as a pod's request meets it. */
export interface NodeView {
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly NodeAddress[];
  readonly isNodeAddress: (address: string) => boolean;
  /** The static `hostPort`s of pods are served too. */
  readonly servesStatics?: boolean;
}

export interface Place {
  /** Those that are led to; empty while there is none, or something is in the way. */
  readonly podIPs: readonly string[];
  /** The node's address that is meant; absent: any address. */
  readonly hostIP?: string;
  /** Why nothing may be installed at the moment; it heals. */
  readonly blocked?: Problem;
}

/** From which address of the node the request leads to which of the pod's. */
export function placeOf(
  pod: Pod,
  request: PodRequest,
  pool: PoolConfig | undefined,
  node: NodeView,
  addresses: PodAddresses,
  held: string | undefined,
): Place {
  const podIPs = addresses.kind === 'sane' ? addresses.addresses : [];
  const host = resolveHostIP(pod, request, pool, node, preference(held, podIPs));
  const way = addressing(
    pod,
    addresses,
    host.hostIP,
    (family) => `name an ${family} address of the node in berth.dev/host-ip`,
  );
  const blocked = host.problem ?? way.blocked;
  return {
    podIPs: blocked === undefined ? way.podIPs : [],
    ...(host.hostIP === undefined ? {} : { hostIP: host.hostIP }),
    ...(blocked === undefined ? {} : { blocked }),
  };
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
