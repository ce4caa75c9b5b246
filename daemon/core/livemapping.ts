/** Live mappings as data: their identity and order, and which ones a filter means. Pure. */
import type { Mapping, PodRef, Protocol } from './vocabulary.ts';

/** A mapping that is live on a node. */
export interface LiveMapping {
  readonly node: string;
  readonly mapping: Mapping;
  /** Since when it is known to be live with these values: ms since the epoch. */
  readonly since: number;
  /** The node's agent has not been heard for longer than the grace period. Present only when true. */
  readonly stale?: true;
}

/** Sorts below every character that a name can have, so that keys compare as the tuples of their parts. */
export const SEPARATOR = '\0';

/** Identity and place in the order: namespace, pod, port name, protocol, node, uid. */
export function keyOf(node: string, pod: PodRef, name: string, protocol: Protocol): string {
  return [pod.namespace, pod.name, name, protocol, node, pod.uid].join(SEPARATOR);
}

/** Which mappings are meant: those that meet every condition that is given. */
export interface MappingFilter {
  readonly namespace?: string;
  readonly pod?: string;
  readonly node?: string;
  readonly pool?: string;
  readonly name?: string;
  readonly protocol?: Protocol;
  /** A number that the mapping has, alone or in its block. */
  readonly hostPort?: number;
}

export function matches(filter: MappingFilter, { node, mapping }: LiveMapping): boolean {
  const { hostPort } = filter;
  return (
    (filter.namespace === undefined || filter.namespace === mapping.pod.namespace) &&
    (filter.pod === undefined || filter.pod === mapping.pod.name) &&
    (filter.node === undefined || filter.node === node) &&
    (filter.pool === undefined || filter.pool === mapping.pool) &&
    (filter.name === undefined || filter.name === mapping.name) &&
    (filter.protocol === undefined || filter.protocol === mapping.protocol) &&
    (hostPort === undefined || (hostPort >= mapping.hostPort && hostPort < mapping.hostPort + mapping.size))
  );
}

/** What every matching key begins with. */
export function prefixOf({ namespace, pod }: MappingFilter): string {
  if (namespace === undefined) return '';
  return pod === undefined ? namespace + SEPARATOR : namespace + SEPARATOR + pod + SEPARATOR;
}
