/**
 * Answers that are framed as gRPC sends them (see `framing.ts`) once for all who get them. grpc-js has no way to be given such: it copies each
 * message behind a head of its own, for 100 watchers 100 times.
 */
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

const HEAD_BYTES = 5;

/** How a method is defined whose answers come framed. */
export function asFramed(answer: Buffer): Buffer {
  return answer;
}

/** The pieces of one message, not compressed. */
export function framed(...pieces: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(
    pieces.reduce((sum, { length }) => sum + length, 0),
    1,
  );
  return Buffer.concat([head, ...pieces]);
}

/** Has grpc-js send what it is given as it is. There is no public name for where it frames. */
export function sendFramed(call: ServerInterceptingCallInterface): void {
  const framing = call as ServerInterceptingCallInterface & { serializeMessage?: (message: Buffer) => Buffer };
  if (typeof framing.serializeMessage !== 'function') {
    throw new TypeError('the call of grpc-js frames no messages: it must be that of the first interceptor');
  }
  framing.serializeMessage = asFramed;
}
