/** What happened in a run, as a hash of every line and the last lines as text. Two runs of one seed must have the same hash. */

export class Trace {
  readonly #lines: string[] = [];
  readonly #keep: number;
  #count = 0;
  // Two 32-bit FNV-1a states, of which one runs over the lines backwards: 64 bits without big integers.
  #high = 0x811c9dc5;
  #low = 0x01000193;

  /** `keep`: how many of the last lines stay readable. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  add(line: string): void {
    let high = this.#high;
    let low = this.#low;
    for (let index = 0, back = line.length - 1; back >= 0; index++, back--) {
      high = Math.imul(high ^ line.charCodeAt(index), 0x01000193);
      low = Math.imul(low ^ line.charCodeAt(back), 0x01000193);
    }
    this.#high = Math.imul(high ^ 10, 0x01000193);
    this.#low = Math.imul(low ^ 13, 0x01000193);
    if (this.#keep === 0) return;
    this.#lines[this.#count++ % this.#keep] = line;
  }

  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  /** The last lines, oldest first. */
  get lines(): readonly string[] {
    if (this.#count <= this.#keep) return this.#lines.slice();
    const start = this.#count % this.#keep;
    return [...this.#lines.slice(start), ...this.#lines.slice(0, start)];
  }
}
