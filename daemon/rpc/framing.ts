/**
 * The messages of a request as gRPC frames them (a flag, a length in four bytes, and so many bytes), counted while they come. It keeps
 * no byte of them.
 */
import { status } from '@grpc/grpc-js';
import { Refusal } from './refusal.ts';

const HEAD = 5;

export class Framing {
  readonly #maxLength: number;
  /** How many bytes of the head have come, of the message that is under way. */
  #head = 0;
  #length = 0;
  #left = 0;
  #whole = 0;
  #compressed = 0;

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  /** Messages of which everything has come. */
  get whole(): number {
    return this.#whole;
  }

  /** Messages that have begun and are compressed. */
  get compressed(): number {
    return this.#compressed;
  }

  /** Something of a message is missing. */
  get within(): boolean {
    return this.#head > 0;
  }

  /** Throws a Refusal (RESOURCE_EXHAUSTED) as soon as a message says that it is longer than is allowed. */
  take(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#head < HEAD) {
        this.#takeHead(chunk[at] as number);
        at += 1;
      } else {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
      }
      if (this.#head < HEAD || this.#left > 0) continue;
      this.#whole += 1;
      this.#head = 0;
    }
  }

  #takeHead(byte: number): void {
    if (this.#head === 0) {
      this.#compressed += byte & 1;
      this.#length = 0;
    } else {
      this.#length = this.#length * 256 + byte;
    }
    this.#head += 1;
    if (this.#head < HEAD) return;
    if (this.#length > this.#maxLength) {
      throw new Refusal(status.RESOURCE_EXHAUSTED, `the message is longer than ${this.#maxLength} bytes`);
    }
    this.#left = this.#length;
  }
}
