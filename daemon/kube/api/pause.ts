/** Waiting that a signal ends, and time limits that a signal carries: both on the clock that is given, never on their own. */
import type { Clock } from '../../reconcile/ports.ts';

/** Resolves after `ms`, or as soon as the signal aborts. Never rejects. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const cancel = clock.after(ms, end);
  signal.addEventListener('abort', end, { once: true });
  await promise;
  cancel();
  signal.removeEventListener('abort', end);
}

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
