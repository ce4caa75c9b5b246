/** A pool: a named list of port ranges of the node with its policy. Pure data and the questions asked of it. */
import type { Cidr, PodRequest, PortRequest } from './vocabulary.ts';

export interface PortRange {
  readonly first: number;
  /** Included. */
  readonly last: number;
}

export interface PoolConfig {
  readonly name: string;
  readonly ranges: readonly PortRange[];
  /** Namespaces that may use the pool; absent: all. */
  readonly namespaces?: readonly string[];
  /** Addresses of the node that mappings of this pool may use; absent: every address. */
  readonly hostIPs?: readonly Cidr[];
  /** Labels that the node must carry for the pool to exist there; absent: every node. */
  readonly nodeSelector?: Readonly<Record<string, string>>;
  /** How many host ports one pod may have; each number of a block and each protocol counts. */
  readonly maxPortsPerPod: number;
  /** How many host ports the pods of one namespace may have on this node together; absent: no limit. */
  readonly maxPerNamespace?: number;
  /** How long a released number rests before another pod may get it, in ms. */
  readonly quarantineMs: number;
}

/** Policy where the configuration says nothing. */
export const POOL_DEFAULTS = { maxPortsPerPod: 64, quarantineMs: 60_000 } as const;

/** How many numbers the pool has. */
export function poolSize(pool: PoolConfig): number {
  return pool.ranges.reduce((sum, range) => sum + range.last - range.first + 1, 0);
}

/** Whether all `size` numbers from `first` on lie in one range of the pool. */
export function poolHolds(pool: PoolConfig, first: number, size: number): boolean {
  return pool.ranges.some((range) => first >= range.first && first + size - 1 <= range.last);
}

/** How many contiguous numbers a request takes. */
export function requestSize(request: PortRequest): number {
  switch (request.target.kind) {
    case 'port':
    case 'same':
      return 1;
    case 'block':
      return request.target.size;
    case 'numbers':
      return request.target.last - request.target.first + 1;
  }
}

/** How many host ports a pod asks for, each protocol counted. Claimed ones are of no pool. */
export function requestedPorts(request: PodRequest): number {
  return request.requests.reduce((sum, one) => sum + (one.claim === undefined ? requestSize(one) : 0), 0);
}

/** `20000-29999,31000` as people write it. */
export function formatRanges(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

/** Whether the pool exists on a node with these labels. */
export function poolOnNode(pool: PoolConfig, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(pool.nodeSelector ?? {}).every(
    ([key, value]) => Object.hasOwn(labels, key) && labels[key] === value,
  );
}
