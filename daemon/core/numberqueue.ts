/**
 * The numbers of a pool in the order in which they were last used, least recently used first.
 *
 *   head -> 20417 -> 20418 -> … -> 20416 -> 20009 (released last) -> tail
 *
 * A doubly linked list in two arrays: `touch` is O(1), so that giving out and releasing cost the same in a pool of ten
 * and of ten thousand.
 */
import type { PortRange } from './pool.ts';

export class NumberQueue {
  readonly #next = new Map<number, number>();
  readonly #previous = new Map<number, number>();
  #head = 0;
  #tail = 0;

  /** `start` in [0, 1): the place of the pool at which the order begins when nothing is remembered. */
  constructor(ranges: readonly PortRange[], start: number) {
    const numbers: number[] = [];
    for (const { first, last } of ranges) {
      for (let number = first; number <= last; number++) numbers.push(number);
    }
    const offset = Math.floor(start * numbers.length);
    for (let index = 0; index < numbers.length; index++) {
      this.#append(numbers[(offset + index) % numbers.length] as number);
    }
  }

  get size(): number {
    return this.#next.size;
  }

  has(number: number): boolean {
    return this.#next.has(number);
  }

  /** The number was used just now: it becomes the last to be given out again. Unknown numbers are ignored. */
  touch(number: number): void {
    if (!this.#next.has(number) || number === this.#tail) return;
    const next = this.#next.get(number) as number;
    const previous = this.#previous.get(number) as number;
    if (previous === 0) this.#head = next;
    else this.#next.set(previous, next);
    this.#previous.set(next, previous);
    this.#next.delete(number);
    this.#append(number);
  }

  /** Least recently used first. `touch` during the walk is allowed for the number at hand. */
  *[Symbol.iterator](): Generator<number> {
    let number = this.#head;
    for (let left = this.#next.size; number !== 0 && left > 0; left--) {
      const next = this.#next.get(number) as number;
      yield number;
      number = next;
    }
  }

  #append(number: number): void {
    this.#next.set(number, 0);
    this.#previous.set(number, this.#tail);
    if (this.#tail === 0) this.#head = number;
    else this.#next.set(this.#tail, number);
    this.#tail = number;
  }
}
