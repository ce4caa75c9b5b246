/** Live mappings as data: their identity and order, when two are the same, and which ones a filter means. Pure. */
import type { Keyed } from './sortedmap.ts';
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
const SEPARATOR = '\0';

/** Identity and place in the order: namespace, pod, port name, protocol, node, uid. */
export function keyOf(node: string, pod: PodRef, name: string, protocol: Protocol): string {
  return [pod.namespace, pod.name, name, protocol, node, pod.uid].join(SEPARATOR);
}

/** How a mapping's own values are its key. */
export const BY_KEY: Keyed<LiveMapping> = {
  keyOf: ({ node, mapping }) => keyOf(node, mapping.pod, mapping.name, mapping.protocol),
  comparing: (key) => {
    const [namespace = '', pod = '', name = '', protocol = '', node = '', uid = ''] = key.split(SEPARATOR);
    return (live) =>
      order(live.mapping.pod.namespace, namespace) ||
      order(live.mapping.pod.name, pod) ||
      order(live.mapping.name, name) ||
      order(live.mapping.protocol, protocol) ||
      order(live.node, node) ||
      order(live.mapping.pod.uid, uid);
  },
};

function order(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
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

/** Its key begins with `prefixOf` the filter. */
export function hasPrefixOf({ namespace, pod }: MappingFilter, { mapping }: LiveMapping): boolean {
  if (namespace === undefined) return true;
  return namespace === mapping.pod.namespace && (pod === undefined || pod === mapping.pod.name);
}

/** For mappings of one key. */
export function sameMapping(one: Mapping, other: Mapping): boolean {
  return (
    one.pool === other.pool &&
    one.hostPort === other.hostPort &&
    one.size === other.size &&
    one.hostIP === other.hostIP &&
    one.containerPort === other.containerPort &&
    sameList(one.podIPs, other.podIPs) &&
    sameList(textsOf(one), textsOf(other))
  );
}

/** The same mapping, known to be up to date or not. */
export function withStale({ node, mapping, since }: LiveMapping, stale: true | undefined): LiveMapping {
  return stale === undefined ? { node, mapping, since } : { node, mapping, since, stale };
}

function textsOf({ allowFrom }: Mapping): readonly string[] | undefined {
  return allowFrom?.map((cidr) => cidr.text);
}

function sameList(one: readonly string[] | undefined, other: readonly string[] | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length === other.length && one.every((text, index) => text === other[index]);
}
