/** The nodes of a cluster as a client sees them. No I/O. */
import { berth } from '../../proto/service.ts';
import { type FreshnessView, fromTimestamp, toFreshnessView } from './convert.ts';

/** What a pool has on a node. */
export interface PoolView {
  readonly name: string;
  /** Numbers that it has there. */
  readonly ports: number;
  /** How many of them can be given out now, by protocol. */
  readonly free: { readonly TCP: number; readonly UDP: number; readonly SCTP: number };
}

/** A node as the replica that was asked knows it. */
export interface NodeView {
  readonly name: string;
  /** ms since the epoch; absent: its agent has never been heard by this replica. */
  readonly lastHeard?: number;
  /** Its agent has not been heard lately: what is said of the node is as it was then. */
  readonly stale?: true;
  /** How many mappings are live there. */
  readonly mappings: number;
  /** `type` as in `INTERNAL_IP`; `UNKNOWN-<number>` for one that a newer server knows. */
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
  readonly pools: readonly PoolView[];
  /** Empty when it has never been heard. */
  readonly agentVersion: string;
  readonly bootID: string;
  /** 0 when it has never been heard. */
  readonly epoch: number;
}

export interface NodesAnswer {
  readonly nodes: readonly NodeView[];
  readonly freshness: FreshnessView;
}

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
