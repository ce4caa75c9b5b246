/**
 * One string in place of many that are equal: whoever decodes messages makes a new one each time, and of a hundred thousand mappings
 * most are in the same namespaces and of the same pool.
 */

/** Forgets everything when it knows `limit` strings: what nobody can foresee must not fill it (I10), and the next ones are shared again. */
export class Interned {
  readonly #known = new Map<string, string>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A string that is equal. */
  of(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= this.#limit) this.#known.clear();
    this.#known.set(text, text);
    return text;
  }
}
