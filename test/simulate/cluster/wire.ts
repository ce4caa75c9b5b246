/**
 * One direction of a stream, as TCP gives it: bytes in order, late, held back while the path is broken or nobody reads, never
 * lost but with the stream. A writer is told that its message was taken while few wait.
 */
import type { ClusterStage } from './stage.ts';

/** Messages that are taken before a writer has to wait: the flow-control window. */
const WINDOW = 4;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly at: number;
  written: (() => void) | undefined;
}

export class Wire {
  readonly #stage: ClusterStage;
  readonly #open: () => boolean;
  readonly #deliver: (bytes: Uint8Array) => void;
  #queue: Waiting[] = [];
  #busy = false;
  #closed = false;

  /** `open`: the path is whole and the other end reads. */
  constructor(stage: ClusterStage, open: () => boolean, deliver: (bytes: Uint8Array) => void) {
    this.#stage = stage;
    this.#open = open;
    this.#deliver = deliver;
  }

  write(bytes: Uint8Array, written: () => void): void {
    const { time, random } = this.#stage;
    this.#queue.push({ bytes, at: time.now + random.between(0.1, 20), written });
    this.#take();
    this.pump();
  }

  /** The path may be whole again. */
  pump(): void {
    const next = this.#queue[0];
    if (this.#closed || this.#busy || next === undefined || !this.#open()) return;
    this.#busy = true;
    this.#stage.time.after(next.at - this.#stage.time.now, () => {
      this.#busy = false;
      if (this.#closed) return;
      if (!this.#open()) return;
      this.#queue.shift();
      this.#take();
      this.#deliver(next.bytes);
      this.pump();
    });
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
  }

  /** Never in the call that wrote. */
  #take(): void {
    for (const waiting of this.#queue.slice(0, WINDOW)) {
      const { written } = waiting;
      waiting.written = undefined;
      if (written !== undefined) this.#stage.time.after(0, () => this.#closed || written());
    }
  }
}
