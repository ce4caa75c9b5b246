/** A call as bytes and headers, whatever they are, that no client of gRPC would send. */
import { type ClientHttp2Session, connect } from 'node:http2';

/** The gRPC status of the answer, as text; `reset` and the code of HTTP/2 where there is none. */
export async function rawCall(
  address: string,
  path: string,
  body: Buffer,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const session = connect(`http://${address}`);
  session.on('error', () => {});
  try {
    return await rawCallOn(session, path, body, { headers });
  } finally {
    session.destroy();
  }
}

export interface RawOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Reads no message; only a call that ends without one has a status then. */
  readonly unread?: boolean;
}

export function rawCallOn(
  session: ClientHttp2Session,
  path: string,
  body: Buffer,
  { headers = {}, unread = false }: RawOptions = {},
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const grpc = { 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request({ ':method': 'POST', ':path': path, ...grpc, ...headers });
  const note = (received: Readonly<Record<string, unknown>>) => {
    if (received['grpc-status'] !== undefined) resolve(String(received['grpc-status']));
  };
  stream.on('response', note).on('trailers', note);
  if (!unread) stream.resume();
  stream.on('error', () => {});
  stream.on('close', () => resolve(`reset ${stream.rstCode}`));
  stream.end(body);
  return promise;
}

/** A message as gRPC has it on the wire. */
export function framed(message: Uint8Array, compressed = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

/** A call that says as much as the test wants, when it wants. */
export interface OpenCall {
  /** As of `rawCall`. */
  readonly status: Promise<string>;
  /** The code of HTTP/2 that the stream ended with. */
  readonly closed: Promise<number>;
  write(bytes: Buffer): void;
  end(): void;
  reset(): void;
}

export function openCall(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): OpenCall {
  const status = Promise.withResolvers<string>();
  const closed = Promise.withResolvers<number>();
  const grpc = { 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request({ ':method': 'POST', ':path': path, ...grpc, ...headers });
  const note = (received: Readonly<Record<string, unknown>>) => {
    if (received['grpc-status'] !== undefined) status.resolve(String(received['grpc-status']));
  };
  stream.on('response', note).on('trailers', note).resume();
  stream.on('error', () => {});
  stream.on('close', () => {
    status.resolve(`reset ${stream.rstCode}`);
    closed.resolve(stream.rstCode ?? 0);
  });
  return {
    status: status.promise,
    closed: closed.promise,
    write: (bytes) => void stream.write(bytes),
    end: () => void stream.end(),
    reset: () => stream.close(8),
  };
}
