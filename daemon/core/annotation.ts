/** The annotation keys of Berth's contract with users. */

export const PORTS = 'berth.dev/ports';
export const POOL = 'berth.dev/pool';
export const HOST_IP = 'berth.dev/host-ip';
export const ALLOW_FROM = 'berth.dev/allow-from';
export const GALAXY = 'tkestack.io/portmapping';
/** Followed by the name of a port: the claim, in the pod's namespace, whose number the port gets. */
export const CLAIM_PREFIX = 'claim.berth.dev/';
/** Followed by the name of a port of a StatefulSet's pods: the class of the claim that each of them has for it. */
export const CLAIM_TEMPLATE_PREFIX = 'claim-template.berth.dev/';
export const MAPPINGS = 'berth.dev/mappings';
/** Followed by the port name: the promise, for the downward API. */
export const PROMISE_PREFIX = 'port.berth.dev/';
export const CONDITION = 'berth.dev/PortsMapped';

/** The key claims a port: it is the user's request, and never written by Berth. */
export function isClaimKey(key: string): boolean {
  return key.startsWith(CLAIM_PREFIX) || key.startsWith(CLAIM_TEMPLATE_PREFIX);
}
