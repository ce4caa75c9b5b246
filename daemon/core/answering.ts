/** Where nodes can be reached, and where a mapping answers: those addresses of its node that lead to its pod. Pure. */
import type { LiveMapping } from './livemapping.ts';
import type { ReportedAddress } from './noderecord.ts';

/** In the order of `addresses`, those of the mapping's node. NAT keeps the family: a pod without an IPv6 address answers at none of the node's. */
export function answeringAddresses({ mapping }: LiveMapping, addresses: readonly string[]): readonly string[] {
  if (mapping.hostIP !== undefined) return [mapping.hostIP];
  const families = new Set(mapping.podIPs.map(isIPv6));
  return addresses.filter((address) => families.has(isIPv6(address)));
}

/** Of a node: those that the cluster knows, and after them those that were found on its devices besides. */
export function allAddresses(known: readonly ReportedAddress[], found: readonly string[]): readonly ReportedAddress[] {
  const told = new Set(known.map(({ address }) => address));
  return [
    ...known,
    ...found.filter((address) => !told.has(address)).map((address) => ({ type: 'device', address }) as const),
  ];
}

function isIPv6(address: string): boolean {
  return address.includes(':');
}
