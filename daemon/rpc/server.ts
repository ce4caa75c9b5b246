/**
 * The agent's gRPC server on a unix socket: MappingService and the standard services of health and reflection, with bounds on everything
 * that a client can make it hold. Who may connect is the file mode's business (0660); nothing that is served can change anything.
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { HealthService, MappingService, OldReflectionService, ReflectionService } from '../../proto/service.ts';
import type { MappingRegistry } from '../core/registry.ts';
import type { Clock } from '../reconcile/ports.ts';
import { toTimestamp } from './convert.ts';
import { ChangeFeed } from './feed.ts';
import { listenGrpc } from './grpclistener.ts';
import { HealthAnswers } from './health.ts';
import { MappingAnswers, type MappingSource } from './mappingservice.ts';
import { type Peer, peerOf } from './peer.ts';
import { ReflectionAnswers, servicesOf } from './reflection.ts';
import { listenAt } from './socketfile.ts';
import { EncodedMappingService } from './watcher.ts';

export interface ServeOptions extends Pick<MappingSource, 'report'> {
  readonly registry: MappingRegistry;
  /** The node that is answered for; `addresses` is asked for every answer. */
  readonly node: { readonly name: string; addresses(): readonly string[] };
  /** Absolute. A socket that stands there is replaced: call with the agent's lock held. */
  readonly socketPath: string;
  /** Stops the server when it aborts. */
  readonly signal: AbortSignal;
  /** Whether the registry already holds what the kernel holds; true unless given. Until then calls are UNAVAILABLE. */
  readonly serving?: boolean;
  /** Told of every client that connects. */
  readonly onClient?: (peer: Peer) => void;
  /** ms since the epoch; the system's clock unless given. */
  readonly now?: () => number;
  /** How long calls may take to end once the signal aborts: 1,000 ms unless given. */
  readonly graceMs?: number;
}

export interface Served {
  setServing(serving: boolean): void;
  /** Resolves once every connection is closed and the socket is gone; keep the agent's lock until then. */
  readonly closed: Promise<void>;
}

const MAX_CONNECTIONS = 128;
const MAX_WATCHERS = 64;
/** A node has few changes, and few who watch: each change is told in the turn that it is made. */
const AT_ONCE: Pick<Clock, 'monotonic' | 'after'> = {
  monotonic: () => 0,
  after: (ms, callback) => {
    if (ms > 0) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    }
    const handle = setImmediate(callback);
    return () => clearImmediate(handle);
  },
};
const OPTIONS = {
  // No request needs 4 KiB; grpc-js holds decompressed bytes to it too.
  'grpc.max_receive_message_length': 64 * 1024,
  'grpc.max_concurrent_streams': 100,
  // In MiB, for everything that one connection makes Node hold.
  'grpc-node.max_session_memory': 10,
  // It remembers calls and connections for an API that is not served.
  'grpc.enable_channelz': 0,
};

/** Resolves once clients can connect. Rejects with CONFIG_INVALID or SYSCALL_FAILED. */
export async function serve(options: ServeOptions): Promise<Served> {
  const { registry, node, report, socketPath, signal, now = Date.now, graceMs = 1_000 } = options;
  const health = new HealthAnswers(options.serving ?? true, ['berth.v1.MappingService']);
  const feed = new ChangeFeed(registry, AT_ONCE, 0);
  const starting = 'the agent is starting or stopping and does not know the state of its node';
  const mappings = new MappingAnswers({
    feed,
    addresses: () => node.addresses(),
    freshness: () => ({ lastHeard: toTimestamp(now()), complete: { nodesHeard: 1, nodesKnown: 1 } }),
    instance: randomUUID(),
    unready: () => (health.serving ? undefined : starting),
    report,
    maxWatchers: MAX_WATCHERS,
  });
  const definitions = [MappingService, HealthService, ReflectionService, OldReflectionService];
  const reflection = new ReflectionAnswers({ services: servicesOf(definitions) });
  const tell = (connection: Socket) => {
    try {
      const peer = options.onClient && peerOf(connection);
      if (peer !== undefined) options.onClient?.(peer);
    } catch (error) {
      report(error as Error);
    }
  };
  const { closed } = await listenGrpc({
    services: [
      [EncodedMappingService, mappings.handlers],
      [HealthService, health.handlers],
      [ReflectionService, reflection.handlers],
      [OldReflectionService, reflection.handlers],
    ],
    listen: (listener) => listenAt(listener, socketPath),
    limits: OPTIONS,
    maxConnections: MAX_CONNECTIONS,
    onConnection: tell,
    onStop: () => {
      health.set(false);
      mappings.stop();
      reflection.stop();
      health.stop();
      feed[Symbol.dispose]();
    },
    report,
    signal,
    graceMs,
  });
  return { setServing: (serving) => health.set(serving), closed };
}
