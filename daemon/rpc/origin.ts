/**
 * Where a call comes from: its connection, as the listener counted it. grpc-js tells of a connection no more than two texts, which are
 * the same for every unix socket.
 */
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

export interface Origin {
  /** Connections of one group are counted together: those of an IP address, or of a user of this host. */
  readonly group: string;
  /** How much has come over it so far. */
  readonly bytesRead: number;
  /** Nothing else takes back what HTTP/2 has been given. */
  disconnect(): void;
}

const ORIGIN = Symbol('origin');
type Marked = Socket & { [ORIGIN]?: Origin };

/** Call before HTTP/2 has the connection. */
export function markOrigin(connection: Marked, group: string): void {
  connection[ORIGIN] = {
    group,
    get bytesRead() {
      return connection.bytesRead;
    },
    disconnect: () => connection.destroy(),
  };
}

/** Undefined once the connection is closed. */
export function originOf(stream: ServerHttp2Stream): Origin | undefined {
  // HTTP/2 stands in front of the socket for everything but what belongs to others.
  return stream.session?.destroyed === false ? (stream.session.socket as Marked)[ORIGIN] : undefined;
}

/** The stream of HTTP/2 that the call comes over. grpc-js has no public name for it, and none for the bytes of a message that comes. */
export function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  const { stream } = call as ServerInterceptingCallInterface & { readonly stream?: ServerHttp2Stream };
  if (stream === undefined)
    throw new TypeError('the call of grpc-js has no stream: it must be that of the first interceptor');
  return stream;
}
