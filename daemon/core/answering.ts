/** Where a mapping answers: those of its node's addresses that lead to its pod. Pure. */
import type { LiveMapping } from './livemapping.ts';

/** In the order of `addresses`, those of the mapping's node. NAT keeps the family: a pod without an IPv6 address answers at none of the node's. */
export function answeringAddresses({ mapping }: LiveMapping, addresses: readonly string[]): readonly string[] {
  if (mapping.hostIP !== undefined) return [mapping.hostIP];
  const families = new Set(mapping.podIPs.map(isIPv6));
  return addresses.filter((address) => families.has(isIPv6(address)));
}

function isIPv6(address: string): boolean {
  return address.includes(':');
}
