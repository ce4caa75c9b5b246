/** Time limits that a signal carries, and waiting that a signal ends: both on the clock that is given, never on their own. */
import type { Clock } from '../../reconcile/ports.ts';

export { pause } from '../../reconcile/pause.ts';

/** A signal that aborts when its parent does, or when `ms` went by without `restart`. To be disposed of: it hangs on its parent. */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #parent: AbortSignal | undefined;
  readonly #follow = () => this.#controller.abort();
  #cancel: () => void = () => {};
  #expired = false;

  constructor(clock: Clock, ms: number, parent?: AbortSignal) {
    this.#clock = clock;
    this.#parent = parent;
    if (parent?.aborted) this.#controller.abort();
    parent?.addEventListener('abort', this.#follow, { once: true });
    this.restart(ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The time went by: it was not the parent that aborted. */
  get expired(): boolean {
    return this.#expired;
  }

  restart(ms: number): void {
    this.#cancel();
    if (this.#controller.signal.aborted) return;
    this.#cancel = this.#clock.after(ms, () => {
      this.#expired = true;
      this.#controller.abort();
    });
  }

  [Symbol.dispose](): void {
    this.#cancel();
    this.#parent?.removeEventListener('abort', this.#follow);
  }
}
