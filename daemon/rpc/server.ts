/**
 * The agent's gRPC server on a unix socket: MappingService and the standard health service, with bounds on everything that a client
 * can make it hold. Who may connect is the file mode's business (0660); nothing that is served can change anything.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthService, MappingService } from '../../proto/service.ts';
import { HealthAnswers } from './health.ts';
import { MappingAnswers, type MappingSource } from './mappingservice.ts';
import { type Peer, peerOf } from './peer.ts';
import { listenAt } from './socketfile.ts';

export interface ServeOptions extends Pick<MappingSource, 'registry' | 'node' | 'report'> {
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
  const health = new HealthAnswers(options.serving ?? true);
  const mappings = new MappingAnswers({
    registry,
    node,
    report,
    now,
    instance: randomUUID(),
    ready: () => health.serving,
  });
  const grpc = new Server(OPTIONS);
  grpc.addService(MappingService, mappings.handlers);
  grpc.addService(HealthService, health.handlers);

  // Its own listener, since grpc-js bounds neither the number of connections nor the mode of its socket.
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Set<Socket>();
  const tell = (connection: Socket) => {
    try {
      const peer = options.onClient && peerOf(connection);
      if (peer !== undefined) options.onClient?.(peer);
    } catch (error) {
      report(error as Error);
    }
  };
  const listener = createServer((connection) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
    tell(connection);
    injector.injectConnection(connection);
  });
  listener.maxConnections = MAX_CONNECTIONS;
  const unlink = await listenAt(listener, socketPath);
  listener.on('error', report);

  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const stop = () => {
    health.set(false);
    try {
      unlink();
    } catch (error) {
      report(error as Error);
    }
    mappings.stop();
    health.stop();
    const force = setTimeout(() => {
      grpc.forceShutdown();
      for (const connection of connections) connection.destroy();
    }, graceMs);
    listener.close(() => {
      clearTimeout(force);
      resolve();
    });
    grpc.tryShutdown(() => {});
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return { setServing: (serving) => health.set(serving), closed };
}
