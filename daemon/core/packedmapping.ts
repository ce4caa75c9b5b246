/**
 * A live mapping as the registry keeps it: one text and little else. Of 300,000 mappings the objects that others are handed would take
 * twice the memory, and whoever collects garbage has to look at each of them. Pure.
 *
 *   text   namespace pod name protocol uid pool containerPort hostIP podIPs since      each behind the one before, with a separator
 *          '---- begins as its key does ---'
 */
import { type LiveMapping, type MappingFilter, SEPARATOR } from './livemapping.ts';
import type { Keyed } from './sortedmap.ts';
import type { Cidr, Protocol } from './vocabulary.ts';

export interface PackedMapping {
  readonly node: string;
  readonly text: string;
  readonly hostPort: number;
  readonly size: number;
  readonly allowFrom: readonly Cidr[] | undefined;
  readonly stale: true | undefined;
}

/** Between addresses of a pod. */
const COMMA = ',';
/** How many parts of a key stand at the beginning of the text: those before the node. */
const HEAD = 4;

export function pack({ node, mapping, since, stale }: LiveMapping): PackedMapping {
  const { pod, name, protocol, pool, hostPort, size, containerPort, hostIP = '', podIPs, allowFrom } = mapping;
  const addresses = podIPs.length === 1 ? podIPs[0] : podIPs.join(COMMA);
  const { namespace, uid } = pod;
  // V8 joins them into one flat string; a template would keep its pieces alive.
  const text = [namespace, pod.name, name, protocol, uid, pool, containerPort, hostIP, addresses, since].join(
    SEPARATOR,
  );
  return { node, text, hostPort, size, allowFrom, stale };
}

export function unpack({ node, text, hostPort, size, allowFrom, stale }: PackedMapping): LiveMapping {
  const parts = text.split(SEPARATOR) as Parts;
  const [namespace, pod, name, protocol, uid, pool, containerPort, hostIP, addresses, since] = parts;
  const mapping = {
    pod: { namespace, name: pod, uid },
    name,
    protocol,
    pool,
    hostPort,
    size,
    ...(hostIP === '' ? {} : { hostIP }),
    containerPort: Number(containerPort),
    podIPs: addresses === '' ? [] : addresses.split(COMMA),
    ...(allowFrom === undefined ? {} : { allowFrom }),
  };
  const live = { node, mapping, since: Number(since) };
  return stale === undefined ? live : { ...live, stale };
}

type Parts = [string, string, string, Protocol, string, string, string, string, string, string];

/** The same mapping, known to be up to date or not. */
export function withStale(packed: PackedMapping, stale: true | undefined): PackedMapping {
  return { ...packed, stale };
}

/** They have the same values; of which node they are, since when they are live and whether they are stale does not count. */
export function sameValues(one: PackedMapping, other: PackedMapping): boolean {
  const end = one.text.lastIndexOf(SEPARATOR);
  return (
    one.hostPort === other.hostPort &&
    one.size === other.size &&
    end === other.text.lastIndexOf(SEPARATOR) &&
    one.text.slice(0, end) === other.text.slice(0, end) &&
    sameTexts(one.allowFrom, other.allowFrom)
  );
}

/** How a mapping is its own key. */
export const BY_KEY: Keyed<PackedMapping> = {
  keyOf: ({ node, text }) => {
    const [namespace, pod, name, protocol, uid] = text.split(SEPARATOR, HEAD + 1);
    return [namespace, pod, name, protocol, node, uid].join(SEPARATOR);
  },
  comparing: (key) => {
    const parts = key.split(SEPARATOR);
    const head = parts.length > HEAD ? [...parts.slice(0, HEAD), ''].join(SEPARATOR) : key;
    const rest = parts.slice(HEAD).join(SEPARATOR);
    return ({ node, text }) => {
      if (text < head) return -1;
      if (!text.startsWith(head)) return 1;
      const own = node + SEPARATOR + text.slice(head.length, text.indexOf(SEPARATOR, head.length));
      if (own === rest) return 0;
      return own < rest ? -1 : 1;
    };
  },
};

/** Whether a mapping may match, told without unpacking it: most of those that a filter does not mean are passed over so. */
export function mayMatch({
  node,
  pod,
  pool,
  name,
  protocol,
  hostPort,
}: MappingFilter): (packed: PackedMapping) => boolean {
  const given = [pod, pool, name, protocol].filter((value) => value !== undefined);
  const within = given.map((value) => SEPARATOR + value + SEPARATOR);
  return (packed) =>
    (node === undefined || node === packed.node) &&
    (hostPort === undefined || (hostPort >= packed.hostPort && hostPort < packed.hostPort + packed.size)) &&
    within.every((text) => packed.text.includes(text));
}

function sameTexts(one: readonly Cidr[] | undefined, other: readonly Cidr[] | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length === other.length && one.every(({ text }, index) => text === other[index]?.text);
}
