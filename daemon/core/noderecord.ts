/**
 * What an aggregator knows of one node: who speaks for it, what that agent has told, and how far it can be trusted now.
 * Pure: time comes in as an argument.
 */
import type { PortRange } from './pool.ts';
import type { ReportSession } from './reportsession.ts';

/** One moment by both clocks, in ms: `now` is told to people and may jump, `monotonic` decides. */
export interface Moment {
  readonly now: number;
  readonly monotonic: number;
}

export type NodeAddressType =
  | 'unknown'
  | 'device'
  | 'internal-ip'
  | 'external-ip'
  | 'internal-dns'
  | 'external-dns'
  | 'hostname';

export interface ReportedAddress {
  readonly type: NodeAddressType;
  readonly address: string;
}

export interface ReportedPool {
  readonly name: string;
  readonly ports: number;
  readonly freeTCP: number;
  readonly freeUDP: number;
  readonly freeSCTP: number;
  /** Absent: the agent does not say which numbers those are. */
  readonly ranges?: readonly PortRange[];
}

/** What is true of a node as a whole. */
export interface ReportedStatus {
  readonly addresses: readonly ReportedAddress[];
  readonly pools: readonly ReportedPool[];
  /** The number of the state that was told; absent: that is not said. */
  readonly sequence?: number;
}

/** How an agent introduces itself. */
export interface ReportedAgent {
  readonly node: string;
  readonly bootID: string;
  /** Larger than that of every earlier agent of the node. */
  readonly epoch: number;
  readonly version: string;
}

export interface NodeRecord {
  agent: ReportedAgent;
  status: ReportedStatus;
  /** The stream that speaks for the node; absent: it was lost. */
  session: ReportSession | undefined;
  /** Number of the state that clients are told of the node; undefined: nothing was told yet. */
  sequence: number | undefined;
  heard: Moment;
  /** Since when no stream is known to tell all there is (monotonic); undefined: one does. */
  unsyncedSince: number | undefined;
  stale: boolean;
}

export function newRecord(agent: ReportedAgent, status: ReportedStatus, at: Moment): NodeRecord {
  return {
    agent,
    status,
    session: undefined,
    sequence: undefined,
    heard: at,
    unsyncedSince: at.monotonic,
    stale: false,
  };
}
