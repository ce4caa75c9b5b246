/** Live mappings as messages and messages as what clients show. Lossless for every field of the contract; no I/O. */
import { berth } from '../../proto/service.ts';
import { answeringAddresses } from '../core/answering.ts';
import type { LiveMapping } from '../core/livemapping.ts';
import type { Protocol } from '../core/vocabulary.ts';
import type { FreshnessView, MappingView } from './views.ts';

const NUMBERS: Readonly<Record<Protocol, berth.v1.Protocol>> = {
  TCP: berth.v1.Protocol.PROTOCOL_TCP,
  UDP: berth.v1.Protocol.PROTOCOL_UDP,
  SCTP: berth.v1.Protocol.PROTOCOL_SCTP,
};
const PROTOCOLS = new Map(Object.entries(NUMBERS).map(([protocol, number]) => [number, protocol as Protocol]));

/** Undefined for a number that is none of ours. */
export function protocolOf(number: number): Protocol | undefined {
  return PROTOCOLS.get(number);
}

/** `PROTOCOL_UNSPECIFIED` for no protocol. */
export function protocolNumber(protocol: Protocol | undefined): berth.v1.Protocol {
  return protocol === undefined ? berth.v1.Protocol.PROTOCOL_UNSPECIFIED : NUMBERS[protocol];
}

/** `addresses` are those of the mapping's node. */
export function toMessage(live: LiveMapping, addresses: readonly string[]): berth.v1.Mapping.$Properties {
  const { node, mapping } = live;
  return {
    namespace: mapping.pod.namespace,
    pod: mapping.pod.name,
    podUid: mapping.pod.uid,
    name: mapping.name,
    protocol: NUMBERS[mapping.protocol],
    hostPort: mapping.hostPort,
    endPort: mapping.hostPort + mapping.size - 1,
    containerPort: mapping.containerPort,
    hostIp: mapping.hostIP ?? '',
    node,
    nodeAddresses: [...answeringAddresses(live, addresses)],
    podIps: [...mapping.podIPs],
    pool: mapping.pool,
    allowFrom: mapping.allowFrom === undefined ? null : { cidrs: mapping.allowFrom.map((cidr) => cidr.text) },
    since: toTimestamp(live.since),
    ...(live.stale ? { stale: true } : {}),
  };
}

/** About how many bytes `toMessage` becomes on the wire, for keeping messages below the limits of clients. */
export function approximateBytes({ node, mapping }: LiveMapping, addresses: readonly string[]): number {
  const names = node.length + mapping.pod.namespace.length + mapping.pod.name.length + mapping.pool.length;
  const listed = addresses.length + mapping.podIPs.length + (mapping.allowFrom?.length ?? 0);
  // 43 characters is the longest range, 2 what protobuf adds; the rest is uid, port name, numbers and tags.
  return 200 + names + 45 * listed;
}

export function toTimestamp(ms: number): { seconds: number; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.round((ms - 1000 * seconds) * 1e6) };
}

export function toView(message: berth.v1.Mapping.$Properties): MappingView {
  const protocol = message.protocol ?? 0;
  const hostPort = message.hostPort ?? 0;
  return {
    namespace: message.namespace ?? '',
    pod: message.pod ?? '',
    podUID: message.podUid ?? '',
    name: message.name ?? '',
    protocol: protocolOf(protocol) ?? `UNKNOWN-${protocol}`,
    hostPort,
    endPort: message.endPort || hostPort,
    containerPort: message.containerPort ?? 0,
    ...(message.hostIp ? { hostIP: message.hostIp } : {}),
    node: message.node ?? '',
    nodeAddresses: message.nodeAddresses ?? [],
    podIPs: message.podIps ?? [],
    pool: message.pool ?? '',
    ...(message.allowFrom ? { allowFrom: message.allowFrom.cidrs ?? [] } : {}),
    ...(message.since ? { since: fromTimestamp(message.since) } : {}),
    ...(message.stale ? { stale: true as const } : {}),
  };
}

export function toFreshnessView(message: berth.v1.Freshness.$Properties | null | undefined): FreshnessView {
  return {
    ...(message?.lastHeard ? { lastHeard: fromTimestamp(message.lastHeard) } : {}),
    nodesHeard: message?.complete?.nodesHeard ?? 0,
    nodesKnown: message?.complete?.nodesKnown ?? 0,
  };
}

export function fromTimestamp({
  seconds,
  nanos,
}: {
  readonly seconds?: number | null;
  readonly nanos?: number | null;
}): number {
  return (seconds ?? 0) * 1000 + Math.round((nanos ?? 0) / 1e6);
}
