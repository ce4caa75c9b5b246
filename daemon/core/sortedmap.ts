/**
 * A map whose keys are in order, for hundreds of thousands of them: they stand in blocks, so that a change moves a few hundred entries
 * and not all that follow: of 90,000 mappings that 1,500 nodes told, each cost 3 µs to put here and 50 µs in one sorted array, where V8 has to
 * look at each reference that it moves while it collects garbage.
 *
 * It keeps no keys: a value tells its own. They would be as large as what they lead to.
 *
 *   blocks   [a c d] [f g k m] [p q]      none is empty, but for the only one of an empty map
 *                       ^-- split in two once it has more than MAX_BLOCK
 */

/** How the keys of values are known. */
export interface Keyed<T> {
  keyOf(value: T): string;
  /** Compares the key of a value with this one: negative when it comes before. In the order of strings. */
  comparing(key: string): (value: T) => number;
}

interface Place<T> {
  readonly index: number;
  readonly block: T[];
  /** Where the key stands in the block, or would stand. */
  readonly at: number;
  readonly found: boolean;
}

const MAX_BLOCK = 256;

export class SortedMap<T> {
  readonly #keyed: Keyed<T>;
  readonly #blocks: T[][] = [[]];
  #size = 0;

  constructor(keyed: Keyed<T>) {
    this.#keyed = keyed;
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): T | undefined {
    const { block, at, found } = this.#find(key);
    return found ? block[at] : undefined;
  }

  has(key: string): boolean {
    return this.#find(key).found;
  }

  /** The key must be that of the value. */
  set(key: string, value: T): void {
    this.update(key, () => value);
  }

  /** As `set`, of what `change` makes of the value that was there, if any. */
  update(key: string, change: (before: T | undefined) => T): void {
    const { index, block, at, found } = this.#find(key);
    const value = change(found ? block[at] : undefined);
    if (found) {
      block[at] = value;
      return;
    }
    block.splice(at, 0, value);
    this.#size += 1;
    if (block.length > MAX_BLOCK) this.#blocks.splice(index + 1, 0, block.splice(block.length >>> 1));
  }

  /** Gives what was there; deleting what is not there is no error. */
  delete(key: string): T | undefined {
    const { index, block, at, found } = this.#find(key);
    if (!found) return undefined;
    const [value] = block.splice(at, 1);
    this.#size -= 1;
    if (block.length === 0 && this.#blocks.length > 1) this.#blocks.splice(index, 1);
    return value;
  }

  /** Those whose keys are `start` or come after it. The map must not change meanwhile. */
  *from(start: string): Generator<T> {
    const { index, at } = this.#find(start);
    for (let block = index, next = at; block < this.#blocks.length; block += 1, next = 0) {
      const values = this.#blocks[block] as T[];
      for (; next < values.length; next += 1) yield values[next] as T;
    }
  }

  /** All of them, as they are now. */
  keys(): string[] {
    return this.#blocks.flatMap((block) => block.map((value) => this.#keyed.keyOf(value)));
  }

  /** In the last block that begins with the key or before it: what is new at the end of a block is put there. */
  #find(key: string): Place<T> {
    const compare = this.#keyed.comparing(key);
    let [low, high] = [0, this.#blocks.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (compare((this.#blocks[middle] as T[])[0] as T) <= 0) low = middle;
      else high = middle - 1;
    }
    const block = this.#blocks[low] as T[];
    const at = placeIn(block, compare);
    return { index: low, block, at, found: at < block.length && compare(block[at] as T) === 0 };
  }
}

/** Where the first one stands that is not before what is compared with. */
function placeIn<T>(block: readonly T[], compare: (value: T) => number): number {
  let [low, high] = [0, block.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(block[middle] as T) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
