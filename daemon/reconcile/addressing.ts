/** Which addresses of a pod an address of the node can lead to, and why none can. Pure: problems are data. */
import type { PodAddresses } from '../core/podstate.ts';
import { type Pod, type Problem, podLabel } from '../core/vocabulary.ts';

export interface Addressing {
  /** Empty when nothing can be led there. */
  readonly podIPs: readonly string[];
  readonly blocked?: Problem;
}

/** `hostIP`: the node's address that alone is meant. `remedy`: how the pod's owner names another one. */
export function addressing(
  pod: Pod,
  addresses: PodAddresses,
  hostIP: string | undefined,
  remedy: (family: 'IPv4' | 'IPv6') => string,
): Addressing {
  if (addresses.kind === 'refused') return { podIPs: [], blocked: refused(pod, addresses) };
  if (addresses.kind === 'none') return { podIPs: [] };
  const podIPs = addresses.addresses.filter((podIP) => suits(podIP, hostIP));
  if (podIPs.length > 0 || hostIP === undefined) return { podIPs };
  return { podIPs, blocked: otherFamily(pod, hostIP, addresses.addresses, remedy) };
}

/** The pod can be reached at this address through that address of the node. */
export function suits(podIP: string, hostIP: string | undefined): boolean {
  return hostIP === undefined || isSix(podIP) === isSix(hostIP);
}

function isSix(address: string): boolean {
  return address.includes(':');
}

function refused(pod: Pod, { address, why }: PodAddresses & { readonly kind: 'refused' }): Problem {
  return {
    reason: 'InvalidPodIP',
    message: `pod ${podLabel(pod)}: its address ${address} is refused: ${why}; the mapping is made when the pod has an address of its own`,
  };
}

function otherFamily(
  pod: Pod,
  hostIP: string,
  podIPs: readonly string[],
  remedy: (family: 'IPv4' | 'IPv6') => string,
): Problem {
  const [has, lacks] = isSix(hostIP) ? (['IPv4', 'IPv6'] as const) : (['IPv6', 'IPv4'] as const);
  return {
    reason: 'InvalidPortRequest',
    message: `pod ${podLabel(pod)}: ${hostIP} of the node is an ${lacks} address, the pod has only ${podIPs.join(', ')}; ${remedy(has)}`,
  };
}
