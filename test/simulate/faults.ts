/**
 * The faults that a run can meet, by name. Each is counted when it is reached: a fault that no run reaches is not tested.
 */

/** The operations at which an agent is killed, before their effect or after it. */
export const OPERATIONS = [
  'datapath.read',
  'datapath.apply',
  'flows.purge',
  'store.load',
  'store.save',
  'source.get',
  'source.list',
  'reserver.reserve',
  'reserver.release',
  'publisher.publish',
  'publisher.event',
  'registry.set',
  'registry.delete',
] as const;

export type Operation = (typeof OPERATIONS)[number];

const API = [
  'list error',
  'get error',
  'get slow',
  'event lost',
  'event duplicated',
  'events reordered',
  'list lacks live pods',
  'list holds dead pods',
  'source silent for an hour',
  'result write lost',
  'reply to a result write lost',
  'API server away',
  'API server away for an hour',
  'API server back after an hour',
  'clock of the API server is another',
  'token refused',
  'watch refused',
  'watch broken',
  'watch ended',
  'watch half-open',
  'bookmark only',
  'garbage in the watch',
  'half a line in the watch',
  'event repeated by the watch',
  'revision expired',
  'changes missed by the watch',
  'list from a cache that is behind',
  'cache is behind the revision that is asked for',
  'patch applied, its reply lost',
  'patch not answered',
  'patch refused as invalid',
  'patch forbidden',
  '409 on a patch',
  '429 on a patch',
  '5xx on a patch',
  'write to a former life refused by 409',
  'write to a former life refused by 422',
  'pod changed under a locked patch',
  'write of a dead agent arrives',
  'Event forbidden',
  'Event not written',
] as const;

const NODE = [
  'SIGTERM in a pass',
  'SIGTERM between passes',
  'disk full',
  'disk slow',
  'state file torn',
  'state file garbage',
  'state file old',
  'state file missing',
  'clock forward',
  'clock back',
  'no descriptors',
  'reboot',
  'address added',
  'address removed',
  'route_localnet reset',
  'bridge port not learnt',
  'addresses unreadable',
] as const;

const KERNEL = [
  'ruleset flushed',
  'ruleset flushed while no agent ran',
  'chain damaged',
  'element deleted',
  'element changed',
  'foreign element',
  'EEXIST',
  'ENOENT',
  'one pod refused',
  'nft unavailable',
  'nft slow',
  'reply of nft lost',
  'notification lost',
  'notification late',
  'conntrack unavailable',
] as const;

const PODS = [
  'same name, new uid',
  'same name, new uid before the old is gone',
  'pod IP changed',
  'pod IP lost',
  'pod IP of a newer pod',
  'annotation edited',
  'annotation garbage',
  'annotation removed',
  'annotation copied',
  'mappings forged',
  'promise forged',
  'pod terminating',
  'pod terminated',
  'pod deleted at once',
  'Succeeded with IP',
  'hostNetwork',
  '30 pods at once',
] as const;

const CLAIMS = [
  'claim bound late',
  'claim unbound',
  'claims unreadable',
  'pod of a claim ready or not',
  'number of a claim handed over',
  'connection kept by the former pod of a claim',
] as const;

const PORTS = [
  'number taken by a process',
  'number taken while no agent ran',
  'number given back by a process',
  'static hostPort',
  'static hostPort on a given number',
  'pool shrunk',
  'pool exhausted',
] as const;

export const FAULTS = [
  ...API,
  ...NODE,
  ...KERNEL,
  ...PODS,
  ...PORTS,
  ...CLAIMS,
  ...OPERATIONS.map((operation) => `killed before ${operation}` as const),
  ...OPERATIONS.map((operation) => `killed after ${operation}` as const),
  'killed at rest',
] as const;

export type Fault = (typeof FAULTS)[number];

export class FaultCounts {
  readonly #counts = new Map<Fault, number>();

  reached(fault: Fault): void {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
  }

  get(fault: Fault): number {
    return this.#counts.get(fault) ?? 0;
  }

  entries(): readonly (readonly [Fault, number])[] {
    return FAULTS.map((fault) => [fault, this.get(fault)]);
  }
}
