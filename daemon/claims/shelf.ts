/**
 * The objects of one kind as they were last seen, in whichever answer was the newest: a watch tells later than the answer to one's own
 * write, and must not take that back.
 */

/** Writes are few at a time, and their answers late by seconds. */
const MAX_GONE = 1_000;

interface Shelved {
  readonly meta: {
    readonly name: string;
    readonly uid: string;
    readonly revision: string;
    readonly namespace?: string;
  };
}

export class Shelf<T extends Shelved> {
  #objects = new Map<string, T>();
  /** The last uids that are gone for good: a late answer to a write of one's own must not bring one back. */
  readonly #gone = new Set<string>();
  #listed = false;

  /** False until the first list: nothing is known of any object. */
  get listed(): boolean {
    return this.#listed;
  }

  values(): readonly T[] {
    return [...this.#objects.values()];
  }

  replace(objects: readonly T[]): void {
    this.#objects = new Map(objects.map((one) => [keyOf(one), one]));
    this.#gone.clear();
    this.#listed = true;
  }

  /** False when as new a one is known. */
  put(object: T): boolean {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    if (this.#gone.has(object.meta.uid)) return false;
    if (before !== undefined && !isNewer(object.meta.revision, before.meta.revision)) return false;
    this.#objects.set(key, object);
    return true;
  }

  /** This life of the object has ended. */
  delete(object: T): void {
    const key = keyOf(object);
    this.#gone.add(object.meta.uid);
    const [oldest] = this.#gone;
    if (this.#gone.size > MAX_GONE && oldest !== undefined) this.#gone.delete(oldest);
    if (this.#objects.get(key)?.meta.uid === object.meta.uid) this.#objects.delete(key);
  }
}

function keyOf({ meta }: Shelved): string {
  return meta.namespace === undefined ? meta.name : `${meta.namespace}/${meta.name}`;
}

/** Revisions are decimal numbers that grow (KEP-5504; etcd's revision before that); of others the later seen is taken. */
function isNewer(one: string, other: string): boolean {
  if (!/^\d+$/.test(one) || !/^\d+$/.test(other)) return one !== other;
  return BigInt(one) > BigInt(other);
}
