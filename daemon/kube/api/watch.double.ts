/** One open watch of a transport in memory: lines in their order, each after its time on the way. */
import type { WatchLine } from './apiserver.double.ts';
import type { TransportDoubleOptions } from './transport.double.ts';

export interface WatchDoubleOptions extends Pick<TransportDoubleOptions, 'deliver' | 'lag'> {
  readonly onLine: (line: object) => void;
  readonly signal: AbortSignal;
}

/** What is on its way. */
type Item = { readonly line: WatchLine } | { readonly text: string } | { readonly end: Error | 'end' };

export class WatchDouble implements AsyncIterable<Uint8Array> {
  readonly #options: WatchDoubleOptions;
  /** Called once, whichever side ended it. */
  onClose: () => void = () => {};
  /** Half-open: nothing comes any more, not even the end. */
  silent = false;
  readonly #underway: Item[] = [];
  readonly #arrived: Item[] = [];
  #wake: () => void = () => {};
  #closed = false;
  #last: WatchLine | undefined;

  constructor(options: WatchDoubleOptions) {
    this.#options = options;
  }

  say(line: WatchLine): void {
    this.#send({ line });
  }

  /** The last line comes once more. */
  repeat(): boolean {
    if (this.#last === undefined) return false;
    this.#send({ line: this.#last });
    return true;
  }

  /** Whatever text; no line feed is added. */
  babble(text: string): void {
    this.#send({ text });
  }

  /** As when the server's own time limit ends it. */
  end(): void {
    this.#send({ end: 'end' });
  }

  /** What is on its way is lost. */
  break(): void {
    if (this.silent) return;
    this.#underway.length = 0;
    this.#arrive({ end: new Error('other side closed') });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onClose();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { signal } = this.#options;
    const wake = () => this.#wake();
    signal.addEventListener('abort', wake, { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        const item = this.#arrived.shift();
        if (item === undefined) await this.#arrival();
        else if ('end' in item) {
          if (item.end === 'end') return;
          throw item.end;
        } else yield this.#bytesOf(item);
      }
    } finally {
      signal.removeEventListener('abort', wake);
      this.close();
    }
  }

  #bytesOf(item: Exclude<Item, { end: unknown }>): Uint8Array {
    if ('text' in item) return Buffer.from(item.text);
    this.#last = item.line;
    this.#options.onLine(item.line);
    return Buffer.from(`${JSON.stringify(item.line)}\n`);
  }

  #arrival(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #send(item: Item): void {
    if (this.#closed) return;
    this.#underway.push(item);
    // As many arrivals as items: each brings the next one, so that none overtakes another.
    this.#options.deliver(this.#options.lag(), () => {
      const next = this.#underway.shift();
      if (next !== undefined) this.#arrive(next);
    });
  }

  #arrive(item: Item): void {
    if (this.silent || this.#closed) return;
    this.#arrived.push(item);
    this.#wake();
  }
}
