/** The annotation keys of Berth's contract with users. */

export const PORTS = 'berth.dev/ports';
export const POOL = 'berth.dev/pool';
export const HOST_IP = 'berth.dev/host-ip';
export const ALLOW_FROM = 'berth.dev/allow-from';
export const GALAXY = 'tkestack.io/portmapping';
export const MAPPINGS = 'berth.dev/mappings';
/** Followed by the port name: the promise, for the downward API. */
export const PROMISE_PREFIX = 'port.berth.dev/';
export const CONDITION = 'berth.dev/PortsMapped';
