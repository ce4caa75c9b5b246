/** The faults that a run of the cluster can meet, by name. Each is counted when it is reached: one that no run reaches is not tested. */

export const CLUSTER_FAULTS = [
  'agent killed',
  'agent restarted',
  'node powered off',
  'replica killed',
  'replica restarted',
  'replica stalled',
  'partition',
  'one-way partition, to the replica',
  'one-way partition, to the agent',
  'swizzle',
  'stream cut',
  'replica reads nothing',
  'agent reads nothing',
  'watcher reads nothing',
  'watcher too slow',
  'watcher resumed',
  'revision too old',
  'duplicate node name',
  'agent superseded',
  'older epoch refused',
  'delta lost',
  'resync',
  'garbage message',
  'message of a newer agent',
  'snapshot in several parts',
  'history of the agent too short',
  'clock forward',
  'clock back',
  'silent stream ended',
  'node went stale',
  'node came back',
  'node dropped',
  'stream too old',
] as const;

export type ClusterFault = (typeof CLUSTER_FAULTS)[number];

export class ClusterFaultCounts {
  readonly #counts = new Map<ClusterFault, number>();

  reached(fault: ClusterFault): void {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
  }

  entries(): readonly (readonly [ClusterFault, number])[] {
    return CLUSTER_FAULTS.map((fault) => [fault, this.#counts.get(fault) ?? 0]);
  }
}
