/** What a pod's life cycle and addresses mean for its mappings. Pure. */
import { classifyAddress, parseAddress } from './address.ts';
import { GALAXY, isClaimKey, MAPPINGS, PORTS, PROMISE_PREFIX } from './annotation.ts';
import type { Family, Pod } from './vocabulary.ts';

/**
 * Whether the pod may have mappings: not Succeeded or Failed, and when it is being deleted not before all its
 * containers have ended (connections are served until then).
 */
export function isActive(pod: Pod): boolean {
  return pod.phase !== 'Succeeded' && pod.phase !== 'Failed' && !(pod.terminating && pod.ended);
}

export type PodAddresses =
  | { readonly kind: 'none' }
  | { readonly kind: 'sane'; readonly addresses: readonly string[] }
  | { readonly kind: 'refused'; readonly address: string; readonly why: string };

/**
 * The addresses of a pod, canonical, the first of each family. One that no pod can have refuses them all: a rule to it
 * would lead into the node or to everybody.
 */
export function podAddresses(pod: Pod, isNodeAddress: (address: string) => boolean): PodAddresses {
  const byFamily = new Map<Family, string>();
  for (const text of pod.podIPs) {
    const parsed = parseAddress(text);
    if (parsed === undefined) return { kind: 'refused', address: text, why: 'it is not an IP address' };
    const scope = classifyAddress(parsed);
    if (scope !== 'ordinary') return { kind: 'refused', address: text, why: `it is a ${scope} address` };
    if (isNodeAddress(parsed.text)) return { kind: 'refused', address: text, why: "it is the node's own address" };
    if (!byFamily.has(parsed.family)) byFamily.set(parsed.family, parsed.text);
  }
  return byFamily.size === 0 ? { kind: 'none' } : { kind: 'sane', addresses: [...byFamily.values()] };
}

/** Which of two pods with one address has it now: the one that was created later (uid decides a tie). */
export function isNewer(one: Pod, other: Pod): boolean {
  return one.createdAt === other.createdAt ? one.uid > other.uid : one.createdAt > other.createdAt;
}

/** The pod asks for host ports, rightly or not. */
export function optsIn(pod: Pod): boolean {
  return Object.hasOwn(pod.annotations, PORTS) || Object.hasOwn(pod.annotations, GALAXY) || claimsPorts(pod);
}

/** Some annotation of the pod claims a port. */
export function claimsPorts(pod: Pod): boolean {
  for (const key in pod.annotations) if (isClaimKey(key) && Object.hasOwn(pod.annotations, key)) return true;
  return false;
}

/** Something that only Berth writes stands on the pod. */
export function carriesResults(pod: Pod): boolean {
  return (
    pod.conditioned === true ||
    Object.keys(pod.annotations).some((key) => key === MAPPINGS || key.startsWith(PROMISE_PREFIX))
  );
}
