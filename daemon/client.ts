/**
 * The client of Berth for programs: `import { connect } from 'berth/client'`. It asks an aggregator, or the agent of this node, and
 * is what `berth get`, `list`, `watch`, `nodes` and `wait` are made of. Whatever fails is a BerthError with a `code` and a message
 * that names the remedy, by the flags of those commands.
 */
import { BerthError } from './core/errors.ts';
import { type Asked, refuseUnsafe } from './ops/asked.ts';
import { absolutePath, reportTargets, serverName } from './ops/values.ts';
import { BerthClient } from './rpc/berthclient.ts';
import { agentEndpoint, aggregatorEndpoint } from './rpc/endpoint.ts';
import { tlsCredentials } from './rpc/tls/channel.ts';
import { ChannelFiles } from './trust/channelfiles.ts';
import { readToken } from './trust/files.ts';

export type { MappingFilter } from './core/livemapping.ts';
export type { BerthClient, CallOptions, WatchOptions } from './rpc/berthclient.ts';
export type { Answer, PodQuestion } from './rpc/client.ts';
export type { FreshnessView, MappingView } from './rpc/convert.ts';
export type { FollowEvent } from './rpc/follow.ts';
export type { NodesAnswer, NodeView, PoolView } from './rpc/nodeview.ts';
export { addressesOf } from './rpc/reachable.ts';
export { BerthError };

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

/** As `connect`, of what options were read into. */
export function connectTo(asked: Asked): BerthClient {
  if (asked.kind === 'agent') return new BerthClient([agentEndpoint(asked.socket)]);
  refuseUnsafe(asked);
  const { targets, authorities, serverName: name, token, cert, key } = asked;
  if (authorities === undefined) return new BerthClient(targets.map((target) => aggregatorEndpoint(target)));
  const paths = { authorities, ...(cert && key ? { identity: { cert, key } } : {}) };
  const material = materialOf(paths);
  const channel = tlsCredentials({
    material,
    identified: cert !== undefined,
    ...(token === undefined ? {} : { token: () => readToken(token) }),
  });
  const endpoints = targets.map((target) => aggregatorEndpoint(target, channel, name));
  return new BerthClient(endpoints, () => material[Symbol.dispose]());
}

/** Throws for files that cannot be used now; when they are replaced later by such, those that were good stay in use. */
function materialOf(paths: ConstructorParameters<typeof ChannelFiles>[0]): ChannelFiles {
  const errors: Error[] = [];
  const material = new ChannelFiles(paths, (error) => errors.push(error));
  const [error] = errors;
  if (error === undefined) return material;
  material[Symbol.dispose]();
  throw error;
}
