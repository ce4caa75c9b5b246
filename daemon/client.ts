/**
 * The client of Berth for programs: `import { connect } from 'berth/client'`. It asks an aggregator, or the agent of this node, and
 * is what `berth get`, `list`, `watch`, `nodes` and `wait` are made of. Whatever fails is a BerthError with a `code` and a message
 * that names the remedy, by the flags of those commands.
 */
import { connectTo } from './connection.ts';
import { absolutePath, reportTargets, serverName } from './ops/values.ts';
import type { BerthClient } from './rpc/berthclient.ts';

export { BerthError, type ErrorCode } from './core/errors.ts';
export type { MappingFilter } from './core/livemapping.ts';
export type { Protocol } from './core/vocabulary.ts';
export type { BerthClient, CallOptions, WatchOptions } from './rpc/berthclient.ts';
export type { FollowEvent as WatchEvent } from './rpc/follow.ts';
export { addressesOf } from './rpc/reachable.ts';
export type {
  Answer,
  FreshnessView as Freshness,
  MappingView as Mapping,
  NodesAnswer,
  NodeView as Node,
  PodQuestion,
  PoolView as Pool,
} from './rpc/views.ts';

/** Which aggregator, and how it is made sure that it is the one. Files are absolute paths, and are read again when they change. */
export interface AggregatorConnection {
  /** `HOST:PORT` of each replica; the next one is asked when one does not answer. */
  readonly aggregator: string | readonly string[];
  /** Authorities that its certificate may be signed by, PEM. Without it: plaintext, to loopback only. */
  readonly caFile?: string;
  /** The name in its certificate, where that is not the host. */
  readonly serverName?: string;
  /** The token that says who asks; it needs `caFile`. */
  readonly tokenFile?: string;
  /** A client certificate that says who asks, and its key, PEM; they need `caFile`. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Allow plaintext beyond loopback: whoever is on the way reads along and may answer anything. False unless given. */
  readonly insecure?: boolean;
}

/** The agent of this node. */
export interface AgentConnection {
  /** Its unix socket, such as `/run/berth/agent.sock`. */
  readonly socket: string;
}

/**
 * A client, to be disposed of (`using client = connect(…)`). It connects with its first call. Throws CONFIG_INVALID when what it is given
 * cannot be used, or would send something in plaintext that should not be.
 */
export function connect(to: AggregatorConnection | AgentConnection): BerthClient {
  if ('socket' in to) return connectTo({ kind: 'agent', socket: absolutePath()(to.socket) });
  return connectTo({
    kind: 'aggregator',
    targets: reportTargets([to.aggregator].flat()),
    authorities: to.caFile,
    serverName: to.serverName === undefined ? undefined : serverName(to.serverName),
    token: to.tokenFile,
    cert: to.certFile,
    key: to.keyFile,
    insecure: to.insecure ?? false,
  });
}
