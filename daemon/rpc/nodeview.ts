/** Messages about nodes as what clients show. No I/O. */
import { berth } from '../../proto/service.ts';
import { fromTimestamp, toFreshnessView } from './convert.ts';
import type { NodesAnswer, NodeView } from './views.ts';

const PREFIX = 'TYPE_';
const TYPES = new Map(
  Object.entries(berth.v1.NodeAddress.Type)
    .filter(([name]) => name.startsWith(PREFIX))
    .map(([name, number]) => [Number(number), name.slice(PREFIX.length)]),
);

export function nodesAnswerOf({ nodes, freshness }: berth.v1.ListNodesResponse.$Properties): NodesAnswer {
  return { nodes: (nodes ?? []).map(nodeViewOf), freshness: toFreshnessView(freshness) };
}

function nodeViewOf(message: berth.v1.Node.$Properties): NodeView {
  return {
    name: message.name ?? '',
    ...(message.lastHeard ? { lastHeard: fromTimestamp(message.lastHeard) } : {}),
    ...(message.stale ? { stale: true as const } : {}),
    mappings: message.mappings ?? 0,
    addresses: (message.addresses ?? []).map(({ type, address }) => ({
      type: TYPES.get(type ?? 0) ?? `UNKNOWN-${type}`,
      address: address ?? '',
    })),
    pools: (message.pools ?? []).map(({ name, ports, freeTcp, freeUdp, freeSctp }) => ({
      name: name ?? '',
      ports: ports ?? 0,
      free: { TCP: freeTcp ?? 0, UDP: freeUdp ?? 0, SCTP: freeSctp ?? 0 },
    })),
    agentVersion: message.agentVersion ?? '',
    bootID: message.bootId ?? '',
    epoch: message.epoch ?? 0,
  };
}
