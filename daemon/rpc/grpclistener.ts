/**
 * A gRPC server on a listener of its own, since grpc-js bounds neither the number of connections nor the mode of its socket, and
 * its end: first politely, then not. What is served and where is its caller's business.
 */
import { createServer, type Server as Listener, type Socket } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServerOptions,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';

export interface GrpcListenerOptions {
  readonly services: readonly (readonly [definition: object, handlers: object])[];
  /** Begins to listen. Resolves to what is to be undone first when it stops. */
  readonly listen: (listener: Listener) => Promise<() => void>;
  readonly limits: ServerOptions;
  readonly maxConnections: number;
  /** Makes the listener, which hands over what is ready to speak HTTP/2; plaintext unless given. */
  readonly createListener?: (take: (connection: Socket) => void) => Listener;
  readonly onConnection?: (connection: Socket) => void;
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
  /** Cuts the connection of the peer, as `getPeer` of its calls names it. */
  disconnect(peer: string): void;
}

/** Resolves once clients can connect. */
export async function listenGrpc(options: GrpcListenerOptions): Promise<GrpcListening> {
  const { services, limits, report, signal, graceMs } = options;
  const grpc = new Server(limits);
  for (const [definition, handlers] of services) {
    grpc.addService(definition as ServiceDefinition, handlers as UntypedServiceImplementation);
  }
  // What encrypts stands in front of it: to grpc-js the connection is a plain one.
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Set<Socket>();
  const { createListener = createServer } = options;
  const listener = createListener((connection) => {
    options.onConnection?.(connection);
    injector.injectConnection(connection);
  });
  // Those whose handshake is under way count too.
  listener.on('connection', (connection: Socket) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
  });
  listener.maxConnections = options.maxConnections;
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
  const disconnect = (peer: string) => {
    for (const connection of connections) {
      if (`${connection.remoteAddress}:${connection.remotePort}` === peer) connection.destroy();
    }
  };
  return { closed, disconnect };
}
