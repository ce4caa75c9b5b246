/**
 * Answers of the API server that count for a while, so that who calls often does not make it work often. Bounded: what was
 * remembered first is forgotten first, refusals apart from the rest, so that a flood of bad tokens drives out nothing good.
 */
import type { Clock } from '../reconcile/ports.ts';

export interface Verdict<T> {
  readonly good: boolean;
  readonly value: T;
  /** For how long it may be used, in ms. */
  readonly forMs: number;
}

interface Entry<T> {
  readonly value: T;
  readonly until: number;
}

export class Remembered<T> {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #good = new Map<string, Entry<T>>();
  readonly #bad = new Map<string, Entry<T>>();
  readonly #asking = new Map<string, Promise<T>>();
  readonly #max: { readonly good: number; readonly bad: number; readonly asking: number };
  readonly #onFull: () => Error;

  /** `onFull` makes what `get` rejects with when too many questions are under way. */
  constructor(
    clock: Pick<Clock, 'monotonic'>,
    max: { readonly good: number; readonly bad: number; readonly asking: number },
    onFull: () => Error,
  ) {
    this.#clock = clock;
    this.#max = max;
    this.#onFull = onFull;
  }

  /** What is remembered under the key, or else what `ask` finds out: once, however many want to know. */
  get(key: string, ask: () => Promise<Verdict<T>>): Promise<T> {
    for (const entries of [this.#good, this.#bad]) {
      const entry = entries.get(key);
      if (entry === undefined) continue;
      if (entry.until > this.#clock.monotonic()) return Promise.resolve(entry.value);
      entries.delete(key);
    }
    const asking = this.#asking.get(key);
    if (asking !== undefined) return asking;
    if (this.#asking.size >= this.#max.asking) return Promise.reject(this.#onFull());
    const answer = this.#find(key, ask).finally(() => this.#asking.delete(key));
    this.#asking.set(key, answer);
    return answer;
  }

  get size(): number {
    return this.#good.size + this.#bad.size;
  }

  async #find(key: string, ask: () => Promise<Verdict<T>>): Promise<T> {
    const began = this.#clock.monotonic();
    const { good, value, forMs } = await ask();
    const entries = good ? this.#good : this.#bad;
    if (forMs > 0) entries.set(key, { value, until: began + forMs });
    const [oldest] = entries.keys();
    if (oldest !== undefined && entries.size > (good ? this.#max.good : this.#max.bad)) entries.delete(oldest);
    return value;
  }
}
