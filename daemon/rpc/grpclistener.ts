/**
 * A gRPC server on a listener of its own, since grpc-js bounds neither the number of connections nor the mode of its socket, and
 * its end: first politely, then not. What is served and where is its caller's business.
 */
import { createServer, type Server as Listener, type Socket } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServerInterceptor,
  type ServerOptions,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { Share, type ShareLimits } from '../core/share.ts';
import { markOrigin } from './origin.ts';

export interface GrpcListenerOptions {
  readonly services: readonly (readonly [definition: object, handlers: object])[];
  /** Sees every call before it is read. */
  readonly interceptor: ServerInterceptor;
  /** Begins to listen. Resolves to what is to be undone first when it stops. */
  readonly listen: (listener: Listener) => Promise<() => void>;
  readonly limits: ServerOptions;
  /** Connections; of one: of those that have one group. */
  readonly connections: ShareLimits;
  /** Undefined: it is gone already. The address of the other end unless given. */
  readonly groupOf?: (connection: Socket) => string | undefined;
  /** Makes what takes connections and hands over what is ready to speak HTTP/2; they are plaintext unless given. It need not listen. */
  readonly createListener?: (take: (connection: Socket) => void) => Listener;
  readonly onConnection?: (connection: Socket) => void;
  /** Told of a connection too many from one group. */
  readonly onRefused?: (reason: string) => void;
  /** Ends what streams. */
  readonly onStop: () => void;
  readonly report: (error: Error) => void;
  readonly signal: AbortSignal;
  /** How long calls may take to end once the signal aborts. */
  readonly graceMs: number;
}

export interface GrpcListening {
  /** Resolves once every connection is closed. */
  readonly closed: Promise<void>;
}

/** Resolves once clients can connect. */
export async function listenGrpc(options: GrpcListenerOptions): Promise<GrpcListening> {
  const { services, interceptor, limits, report, signal, graceMs } = options;
  const grpc = new Server({ ...limits, interceptors: [interceptor] });
  for (const [definition, handlers] of services) {
    grpc.addService(definition as ServiceDefinition, handlers as UntypedServiceImplementation);
  }
  // What encrypts stands in front of it: to grpc-js the connection is a plain one.
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const { createListener, groupOf = ({ remoteAddress }) => remoteAddress } = options;
  const take = (connection: Socket) => {
    const group = groupOf(connection);
    if (group === undefined) {
      connection.destroy();
      return;
    }
    markOrigin(connection, group);
    options.onConnection?.(connection);
    injector.injectConnection(connection);
  };
  const encrypting = createListener?.(take);
  const connections = new Set<Socket>();
  const counted = counting(options, connections);
  // Nothing of TLS is begun with a connection that is one too many.
  const listener = createServer((connection) => {
    if (!counted(connection)) return;
    if (encrypting === undefined) take(connection);
    else encrypting.emit('connection', connection);
  });
  listener.maxConnections = options.connections.ofAll;
  const unlisten = await options.listen(listener);
  listener.on('error', report);

  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const stop = () => {
    try {
      unlisten();
    } catch (error) {
      report(error as Error);
    }
    options.onStop();
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
  return { closed };
}

/** Puts connections into the set as long as they live; false, and the connection is closed, when its group has too many. */
function counting(
  { connections: limits, groupOf = ({ remoteAddress }) => remoteAddress, onRefused = () => {} }: GrpcListenerOptions,
  connections: Set<Socket>,
): (connection: Socket) => boolean {
  const share = new Share(limits);
  return (connection) => {
    const group = groupOf(connection);
    if (group === undefined || share.of(group) >= limits.ofOne) {
      connection.destroy();
      if (group !== undefined) onRefused(`more than ${limits.ofOne} connections from ${group}`);
      return false;
    }
    share.add(group);
    connections.add(connection);
    connection.once('close', () => {
      share.add(group, -1);
      connections.delete(connection);
    });
    return true;
  };
}
