/** A watch whose client takes from the connection what it is asked for, and no more: what is left stays with the server. */
import { connect } from 'node:http2';
import type { ExecutionContext } from 'ava';
import { type berth, MappingService } from '../../proto/service.ts';
import { framed } from './rawcall.ts';

export type Answer = berth.v1.WatchResponse.$Shape;

/** Its status, such as `8 the client reads too slowly`; `reset` and the code of HTTP/2 where it has none. */
export class Ended extends Error {}

export interface SlowWatch {
  /** Rejects with Ended. */
  next(): Promise<Answer>;
  /** Everything up to the answer that says synced. */
  synced(): Promise<Answer[]>;
  /** Reads until the end. */
  end(): Promise<string>;
  close(): void;
}

export function slowWatch(
  t: ExecutionContext,
  address: string,
  filter: berth.v1.Filter.$Properties = {},
  window = 65_535,
): SlowWatch {
  const session = connect(`http://${address}`, { settings: { initialWindowSize: window } });
  session.on('error', () => {});
  t.teardown(() => session.destroy());
  const { path, requestSerialize, responseDeserialize } = MappingService.watch;
  const grpc = { 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request({ ':method': 'POST', ':path': path, ...grpc });
  stream.on('error', () => {});
  stream.end(framed(requestSerialize({ filter })));
  let status: string | undefined;
  const note = (headers: Readonly<Record<string, unknown>>) => {
    if (headers['grpc-status'] !== undefined) status = `${headers['grpc-status']} ${headers['grpc-message'] ?? ''}`;
  };
  stream.on('response', note).on('trailers', note);
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  let held = Buffer.alloc(0);
  const read = async (): Promise<void> => {
    const chunk = await chunks.next().catch(() => ({ value: undefined }));
    if (chunk.value === undefined) throw new Ended(decodeURI(status ?? `reset ${stream.rstCode}`));
    held = Buffer.concat([held, chunk.value]);
  };
  const next = async (): Promise<Answer> => {
    while (held.length < 5 || held.length < 5 + held.readUInt32BE(1)) await read();
    const length = 5 + held.readUInt32BE(1);
    const answer = responseDeserialize(held.subarray(5, length));
    held = held.subarray(length);
    return answer;
  };
  return {
    next,
    synced: async () => {
      const seen: Answer[] = [];
      do seen.push(await next());
      while (!seen.at(-1)?.synced);
      return seen;
    },
    end: async () => {
      for (;;) {
        try {
          await next();
        } catch (error) {
          if (error instanceof Ended) return error.message;
          throw error;
        }
      }
    },
    close: () => session.destroy(),
  };
}
