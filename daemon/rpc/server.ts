/**
 * The agent's gRPC server on a unix socket: MappingService and the standard services of health and reflection, with bounds on everything
 * that a client can make it hold. Who may connect is the file mode's business (0660); nothing that is served can change anything.
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { HealthService, MappingService, OldReflectionService, ReflectionService } from '../../proto/service.ts';
import type { MappingRegistry } from '../core/registry.ts';
import type { ShareLimits } from '../core/share.ts';
import type { Clock } from '../reconcile/ports.ts';
import { Admission } from './admission.ts';
import { neighbourly } from './caller.ts';
import { toTimestamp } from './convert.ts';
import { ChangeFeed } from './feed.ts';
import { listenGrpc } from './grpclistener.ts';
import { Guard } from './guard.ts';
import { HealthAnswers } from './health.ts';
import { Inbox, type InboxLimits } from './inbox.ts';
import { MappingAnswers, type MappingSource } from './mappingservice.ts';
import { Outbox, type OutboxLimits } from './outbox.ts';
import { type Peer, peerOf } from './peer.ts';
import { ReflectionAnswers, servicesOf } from './reflection.ts';
import { listenAt } from './socketfile.ts';
import { Strangers } from './strangers.ts';
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
  readonly limits?: Partial<AgentLimits>;
}

/** Of one: of a user of this host. Root is one too: whatever asks from a container is mostly root. */
export interface AgentLimits {
  readonly connections: ShareLimits;
  readonly watchers: ShareLimits;
  readonly inbox: InboxLimits;
  readonly outbox: OutboxLimits;
}

export interface Served {
  setServing(serving: boolean): void;
  /** Resolves once every connection is closed and the socket is gone; keep the agent's lock until then. */
  readonly closed: Promise<void>;
}

const MB = 1024 * 1024;
// No request needs 4 KiB; grpc-js holds decompressed bytes to it too.
const MESSAGE = { bytes: 64 * 1024, ms: 10_000 } as const;
export const AGENT_LIMITS: AgentLimits = {
  connections: { ofAll: 128, ofOne: 64 },
  watchers: { ofAll: 64, ofOne: 32 },
  inbox: {
    requests: { ofAll: 200, ofOne: 100 },
    bytes: { ofAll: 8 * MB, ofOne: 4 * MB },
    single: MESSAGE,
    streamed: MESSAGE,
  },
  // Of a page, which has a megabyte, the next ones can be had while it is read.
  outbox: { ofConnection: 2 * MB, ofCaller: 8 * MB, ofAll: 16 * MB, takenMs: 30_000 },
};
const CLOCK: Pick<Clock, 'after'> = {
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
/** A node has few changes, and few who watch: each change is told in the turn that it is made. */
const AT_ONCE: Pick<Clock, 'monotonic' | 'after'> = {
  monotonic: () => 0,
  after: (ms, callback) => {
    if (ms > 0) return CLOCK.after(ms, callback);
    const handle = setImmediate(callback);
    return () => clearImmediate(handle);
  },
};
const OPTIONS = {
  'grpc.max_receive_message_length': MESSAGE.bytes,
  'grpc.max_concurrent_streams': 100,
  // In MiB, for everything that one connection makes Node hold.
  'grpc-node.max_session_memory': 10,
  // Who asks nothing keeps no place from others.
  'grpc.max_connection_idle_ms': 300_000,
  // It remembers calls and connections for an API that is not served.
  'grpc.enable_channelz': 0,
};

/** Resolves once clients can connect. Rejects with CONFIG_INVALID or SYSCALL_FAILED. */
export async function serve(options: ServeOptions): Promise<Served> {
  const { registry, node, report, socketPath, signal, now = Date.now, graceMs = 1_000 } = options;
  const limits = { ...AGENT_LIMITS, ...options.limits };
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
    watchers: limits.watchers,
  });
  const definitions = [MappingService, HealthService, ReflectionService, OldReflectionService];
  const reflection = new ReflectionAnswers({ services: servicesOf(definitions) });
  const peers = new WeakMap<Socket, Peer>();
  const groupOf = (connection: Socket) => {
    try {
      const peer = peers.get(connection) ?? peerOf(connection);
      if (peer === undefined) return undefined;
      peers.set(connection, peer);
      return `uid ${peer.uid}`;
    } catch (error) {
      report(error as Error);
      return undefined;
    }
  };
  const tell = (connection: Socket) => {
    const peer = peers.get(connection);
    if (peer !== undefined) options.onClient?.(peer);
  };
  const inbox = new Inbox({ limits: limits.inbox, clock: CLOCK });
  const admission = new Admission({
    authenticator: neighbourly,
    inbox: { known: inbox, anybody: inbox },
    strangers: new Strangers({ calls: limits.inbox.requests, bytes: limits.inbox.bytes }, CLOCK),
    report,
  });
  const guard = new Guard(admission, new Outbox({ limits: limits.outbox, clock: CLOCK }), report);
  const { closed } = await listenGrpc({
    services: [
      guard.guarded(EncodedMappingService, mappings.handlers, MappingService),
      guard.guarded(HealthService, health.handlers),
      guard.guarded(ReflectionService, reflection.handlers),
      guard.guarded(OldReflectionService, reflection.handlers),
    ],
    interceptor: admission.interceptor,
    listen: (listener) => listenAt(listener, socketPath),
    limits: OPTIONS,
    connections: limits.connections,
    groupOf,
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
