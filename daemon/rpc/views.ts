/** What clients ask and see, in terms of the contract and without its generated code. Types only. */
import type { Protocol } from '../core/vocabulary.ts';

/** Which ports of which pod. */
export interface PodQuestion {
  readonly namespace: string;
  readonly pod: string;
  /** A port's name; absent: every port. */
  readonly name?: string;
  readonly protocol?: Protocol;
}

/** Mappings, and how much it means that there are these. */
export interface Answer {
  readonly mappings: readonly MappingView[];
  readonly freshness: FreshnessView;
}

/** A mapping as a client sees it: the message with its absent fields told from empty ones. */
export interface MappingView {
  readonly namespace: string;
  readonly pod: string;
  readonly podUID: string;
  readonly name: string;
  /** `TCP`, `UDP`, `SCTP`; `UNKNOWN-<number>` for one that a newer server knows. */
  readonly protocol: string;
  readonly hostPort: number;
  /** The last number of a block, included; `hostPort` for a single port. */
  readonly endPort: number;
  readonly containerPort: number;
  /** Absent: any address. */
  readonly hostIP?: string;
  readonly node: string;
  /** Where to connect. */
  readonly nodeAddresses: readonly string[];
  readonly podIPs: readonly string[];
  readonly pool: string;
  /** Absent: every source may connect. */
  readonly allowFrom?: readonly string[];
  /** ms since the epoch. */
  readonly since?: number;
  /** The node's agent has not been heard lately: the mapping is as it was then. */
  readonly stale?: true;
}

/** How much an answer means. */
export interface FreshnessView {
  /** ms since the epoch; absent: never. */
  readonly lastHeard?: number;
  readonly nodesHeard: number;
  readonly nodesKnown: number;
}

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

/** Nodes, and how much it means that there are these. */
export interface NodesAnswer {
  readonly nodes: readonly NodeView[];
  readonly freshness: FreshnessView;
}
