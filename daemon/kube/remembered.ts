/**
 * Answers of the API server that count for a while, so that who calls often does not make it work often. Bounded: what was
 * remembered first is forgotten first, refusals apart from the rest, so that a flood of bad tokens drives out nothing good. Questions
 * beyond so many at once wait, up to a number: thousands of agents come together when a replica was restarted, and each that is sent away
 * costs another handshake.
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

export interface RememberedLimits {
  readonly good: number;
  readonly bad: number;
  /** Questions that are under way, and those that wait for one of them to be answered. */
  readonly asking: number;
  readonly waiting: number;
}

export class Remembered<T> {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #good = new Map<string, Entry<T>>();
  readonly #bad = new Map<string, Entry<T>>();
  readonly #asking = new Map<string, Promise<T>>();
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  readonly #max: RememberedLimits;
  readonly #onFull: () => Error;

  /** `onFull` makes what `get` rejects with when too many questions wait. */
  constructor(clock: Pick<Clock, 'monotonic'>, max: RememberedLimits, onFull: () => Error) {
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
    if (this.#waiting.length >= this.#max.waiting) return Promise.reject(this.#onFull());
    const answer = this.#find(key, ask).finally(() => this.#asking.delete(key));
    this.#asking.set(key, answer);
    return answer;
  }

  get size(): number {
    return this.#good.size + this.#bad.size;
  }

  async #find(key: string, ask: () => Promise<Verdict<T>>): Promise<T> {
    if (this.#underWay >= this.#max.asking) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#underWay += 1;
    try {
      return await this.#ask(key, ask);
    } finally {
      // Whoever waits has the place from now on.
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay -= 1;
      else next();
    }
  }

  async #ask(key: string, ask: () => Promise<Verdict<T>>): Promise<T> {
    const began = this.#clock.monotonic();
    const { good, value, forMs } = await ask();
    const entries = good ? this.#good : this.#bad;
    if (forMs > 0) entries.set(key, { value, until: began + forMs });
    const [oldest] = entries.keys();
    if (oldest !== undefined && entries.size > (good ? this.#max.good : this.#max.bad)) entries.delete(oldest);
    return value;
  }
}
