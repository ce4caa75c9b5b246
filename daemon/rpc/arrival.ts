/**
 * One request as it comes, byte by byte: whether it is complete, and what of it is held in memory. It is read only after `begin`. It
 * never looks into a message.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { Framing } from './framing.ts';
import type { Inbox } from './inbox.ts';
import { Refusal } from './refusal.ts';

export interface ArrivalOptions {
  readonly stream: ServerHttp2Stream;
  /** It may have any number of messages. */
  readonly streaming: boolean;
  readonly refuse: (refusal: Refusal) => void;
}

/** What Node and grpc-js have for each piece of a message, besides its bytes. */
const PIECE = 256;

export class Arrival {
  readonly #options: ArrivalOptions;
  #inbox: Inbox | undefined;
  #key: string | undefined;
  #framing = new Framing(0);
  #leave = () => {};
  /** Says that the message that is awaited has come. */
  #came = () => {};
  /** Which message is awaited: the one after so many. */
  #awaited: number | undefined;
  #held = 0;
  /** Of what is held: of the message that is under way, and what came with its first byte. */
  #heldOfLast = 0;
  #lastBuffer: ArrayBufferLike | undefined;
  #delivered = 0;
  #complete = false;
  #refused = false;
  #gone = false;

  constructor(options: ArrivalOptions) {
    this.#options = options;
  }

  /** Everything of it has come. */
  get complete(): boolean {
    return this.#complete;
  }

  /** It may be read from now on. Throws a Refusal when there is no place for it. */
  begin(inbox: Inbox, key: string | undefined): void {
    if (this.#gone) return;
    const { stream, streaming } = this.#options;
    const refuse = (refusal: Refusal) => this.#refuse(refusal);
    if (!streaming) {
      this.#leave = inbox.enter(key, refuse);
      this.#came = inbox.await(inbox.limits.single, refuse);
    }
    this.#inbox = inbox;
    this.#key = key;
    this.#framing = new Framing(inbox.limits[streaming ? 'streamed' : 'single'].bytes);
    // grpc-js gets what passes here, and nothing of what is refused: it would decode it, and end the call once more.
    const decoders = stream.listeners('data');
    stream.removeAllListeners('data');
    stream.on('data', (chunk: Buffer) => {
      if (this.#passes(chunk)) for (const decode of decoders) decode.call(stream, chunk);
    });
  }

  /** The handler gets the next message. */
  delivered(): void {
    this.#delivered += 1;
    if (!this.#options.streaming || this.#delivered < this.#framing.whole) return;
    this.#drop(this.#framing.within ? this.#heldOfLast : 0);
  }

  /** The client has said its last word. */
  completed(): void {
    this.#complete = true;
    this.#came();
  }

  /** It is answered, or refused: nothing more of it is to be waited for. */
  settled(): void {
    this.#leave();
    if (!this.#options.streaming) this.#drop(0);
  }

  gone(): void {
    this.#gone = true;
    this.#came();
    this.#leave();
    this.#drop(0);
  }

  #passes(chunk: Buffer): boolean {
    if (this.#gone || this.#refused) return false;
    try {
      this.#count(chunk);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      this.#refuse(thrown);
      return false;
    }
  }

  #refuse(refusal: Refusal): void {
    const { stream, refuse } = this.#options;
    this.#refused = true;
    this.#came();
    refuse(refusal);
    // What still comes is let go.
    stream.resume();
  }

  #count(chunk: Buffer): void {
    const { streaming } = this.#options;
    const inbox = this.#inbox as Inbox;
    const framing = this.#framing;
    const { compressed, whole } = framing;
    framing.take(chunk);
    // grpc-js decodes every one, and then says the same.
    if (!streaming && framing.whole > 2) throw new Refusal(status.UNIMPLEMENTED, 'a request has one message');
    // A piece keeps alive what was read from the socket together with it, and grpc-js inflates messages as they come.
    const read = chunk.buffer === this.#lastBuffer ? 0 : chunk.buffer.byteLength;
    const bytes = PIECE + read + (framing.compressed - compressed) * inbox.limits.streamed.bytes;
    inbox.hold(this.#key, bytes);
    this.#held += bytes;
    this.#heldOfLast = framing.whole === whole ? this.#heldOfLast + bytes : bytes;
    this.#lastBuffer = chunk.buffer;
    if (streaming) this.#await(inbox);
  }

  #await(inbox: Inbox): void {
    const { whole, within } = this.#framing;
    if (within && this.#awaited === whole) return;
    this.#came();
    this.#awaited = within ? whole : undefined;
    this.#came = within ? inbox.await(inbox.limits.streamed, (refusal) => this.#refuse(refusal)) : () => {};
  }

  #drop(left: number): void {
    if (this.#held <= left) return;
    this.#inbox?.release(this.#key, this.#held - left);
    this.#held = left;
    if (left === 0) this.#lastBuffer = undefined;
  }
}
