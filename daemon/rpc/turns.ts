/**
 * Work in pieces, few of them in one turn of the event loop and in the order in which they were asked for: a call that comes meanwhile
 * waits for a few pieces and not for all. What comes alone is done at once.
 */
import type { Clock } from '../reconcile/ports.ts';

export class Turns implements Disposable {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #pieces: number;
  readonly #waiting: (() => void)[] = [];
  /** How many pieces this turn may still have. */
  #left: number;
  #cancel: (() => void) | undefined;

  /** So many pieces in a turn. */
  constructor(clock: Pick<Clock, 'after'>, pieces: number) {
    this.#clock = clock;
    this.#pieces = pieces;
    this.#left = pieces;
  }

  add(piece: () => void): void {
    this.#waiting.push(piece);
    if (this.#left > 0) this.#work();
  }

  /** Resolves when it is the caller's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => this.add(resolve));
  }

  /** Everybody's turn has come: whoever waits can see that it is over. */
  [Symbol.dispose](): void {
    this.#cancel?.();
    this.#left = Number.POSITIVE_INFINITY;
    this.#work();
  }

  #work(): void {
    const now = this.#waiting.splice(0, this.#left);
    this.#left -= now.length;
    if (now.length > 0 && Number.isFinite(this.#left)) this.#cancel ??= this.#clock.after(0, () => this.#turn());
    for (const piece of now) piece();
  }

  #turn(): void {
    this.#cancel = undefined;
    this.#left = this.#pieces;
    this.#work();
  }
}
