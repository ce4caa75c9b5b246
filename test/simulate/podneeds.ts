/** Which rules a pod should have, by what somebody knows of the pods: the judge's own reading of the request and the node. */
import { containsAddress } from '../../daemon/core/address.ts';
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import type { Asked, AskedPort } from './asked.ts';
import type { SimNode } from './simnode.ts';
import type { Rule } from './table.ts';

/**
 * The node's address that is meant: undefined for any, null for one that the node lacks. Of several that are meant the pod keeps
 * the one that it has (`held`).
 */
export function hostIPOf(
  asked: Asked,
  pool: PoolConfig | undefined,
  node: SimNode,
  held?: string,
): string | undefined | null {
  const addresses = node.addresses.map(({ address }) => address);
  const allowed = pool?.hostIPs;
  const permitted = (address: string) =>
    allowed === undefined || allowed.some((cidr) => containsAddress(cidr, address));
  const { hostIP } = asked;
  const choose = (candidates: readonly string[]) => candidates.find((one) => one === held) ?? candidates[0] ?? null;
  if (hostIP === undefined) return allowed === undefined ? undefined : choose(addresses.filter(permitted));
  if (!hostIP.includes('/')) return addresses.includes(hostIP) && permitted(hostIP) ? hostIP : null;
  const cidr = { family: hostIP.includes(':') ? 6 : 4, text: hostIP } as const;
  return choose(addresses.filter((address) => containsAddress(cidr, address) && permitted(address)));
}

/** Addresses that no pod can have. */
export function isSane(podIP: string, node: SimNode): boolean {
  return !/^(127\.|169\.254\.|0\.|224\.|fe80:|ff)/.test(podIP) && podIP !== '::1' && !node.hasAddress(podIP);
}

/** The addresses to which the pod has rules: none when one of them is not sane. */
export function targetsOf(pod: Pod, hostIP: string | undefined, node: SimNode): readonly string[] {
  if (!pod.podIPs.every((ip) => isSane(ip, node))) return [];
  const ofFamily = (six: boolean) => pod.podIPs.find((ip) => ip.includes(':') === six);
  return [ofFamily(false), ofFamily(true)].filter(
    (ip) => ip !== undefined && (hostIP === undefined || hostIP.includes(':') === ip.includes(':')),
  ) as string[];
}

/** The port of the request that the rule is for, when the rule is one that it may have. */
export function portOfRule(rule: Rule, asked: Asked): AskedPort | undefined {
  return asked.ports.find(
    (port) =>
      port.name === rule.name &&
      port.protocol === rule.protocol &&
      port.size === rule.last - rule.first + 1 &&
      (port.exact === undefined || port.exact === rule.first) &&
      (rule.podPort === undefined || (port.containerPort ?? rule.first) === rule.podPort),
  );
}
