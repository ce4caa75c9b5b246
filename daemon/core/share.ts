/**
 * Room that callers share: so much in all, and so much of it for each of them, so that no one can have all of it. Pure; a caller
 * without a key has no share of its own, and only the whole counts.
 */
export interface ShareLimits {
  readonly ofAll: number;
  readonly ofOne: number;
}

/** Whose limit is reached. */
export type Lacking = keyof ShareLimits;

export class Share {
  readonly limits: ShareLimits;
  readonly #used = new Map<string, number>();
  #total = 0;

  constructor(limits: ShareLimits) {
    this.limits = limits;
  }

  get total(): number {
    return this.#total;
  }

  of(key: string): number {
    return this.#used.get(key) ?? 0;
  }

  /** Which limit stands in the way of so much more; undefined: none does. */
  lacking(key: string | undefined, amount = 1): Lacking | undefined {
    const { ofAll, ofOne } = this.limits;
    if (key !== undefined && this.of(key) + amount > ofOne) return 'ofOne';
    return this.#total + amount > ofAll ? 'ofAll' : undefined;
  }

  /** Whatever the limits say. A negative amount is given back. */
  add(key: string | undefined, amount = 1): void {
    this.#total += amount;
    if (key === undefined) return;
    const used = this.of(key) + amount;
    if (used > 0) this.#used.set(key, used);
    else this.#used.delete(key);
  }
}
