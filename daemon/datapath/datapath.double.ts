/**
 * The table in memory, for tests: `RulesetDouble` stands for the kernel, with nftables' own rules of what is refused and with ways to
 * tamper and to fail; `DatapathDouble` is one agent's adapter to it. The contract test runs the same cases against the kernel.
 */
import { type Element, type ElementChange, elementId } from '../../rules/element.ts';
import { CATCH_ALL, elementParts, keyParts, LAYOUTS, MalformedElement, type Part } from '../../rules/layout.ts';
import { BerthError } from '../core/errors.ts';
import type { Datapath, Installed } from '../reconcile/ports.ts';

/** The kernel's side. It outlives the agents that look at it. */
export class RulesetDouble {
  /** By elementId; undefined: there is no table. */
  #elements: Map<string, Element> | undefined;
  #damage: string[] = [];
  readonly #listeners = new Set<() => void>();
  /** Own and foreign commits that changed something, as the kernel counts them. */
  generation = 0;
  /** Foreign changes are not noticed while this is set, as when notifications are lost. */
  deaf = false;

  get hasTable(): boolean {
    return this.#elements !== undefined;
  }

  /** What is installed, in the order in which it came; empty without a table. */
  elements(): readonly Element[] {
    return [...(this.#elements?.values() ?? [])];
  }

  /** Foreign: `nft flush ruleset`, or another program deletes the table. */
  flush(): void {
    this.#elements = undefined;
    this.#changed();
  }

  /** Foreign: takes elements away. Returns how many there were. */
  remove(isMeant: (element: Element) => boolean): number {
    const meant = this.elements().filter(isMeant);
    for (const element of meant) this.#elements?.delete(elementId(element));
    this.#changed();
    return meant.length;
  }

  /** Foreign: puts an element in place of whatever has its key. Nothing is checked. */
  put(element: Element): void {
    this.#elements ??= new Map();
    this.#elements.set(elementId(element), element);
    this.#changed();
  }

  /** Foreign: changes chains or rules. `what` comes back as `repaired`. */
  damage(what: string): void {
    this.#damage.push(what);
    this.#changed();
  }

  /** Foreign: something in another table. */
  touch(): void {
    this.#changed();
  }

  /** As nft's redeclaration: makes the table if need be, keeps elements. Returns what had to be put right. */
  repair(known: boolean): string {
    const missing = known && this.#elements === undefined ? ['the table was deleted'] : [];
    const repaired = [...missing, ...this.#damage].join('; ');
    if (this.#elements === undefined || this.#damage.length > 0) this.generation++;
    this.#elements ??= new Map();
    this.#damage = [];
    return repaired;
  }

  /** One transaction. Throws NFT_REFUSED and changes nothing when any part of it is refused. */
  commit(change: ElementChange): void {
    if (this.#elements === undefined) throw refused('ENOENT', 'there is no table inet berth');
    const after = new Map(this.#elements);
    for (const element of change.remove) this.#delete(after, element);
    let changed = change.remove.length > 0;
    for (const element of change.add) changed = this.#add(after, element) || changed;
    this.#elements = after;
    if (changed) this.generation++;
  }

  watch(onForeignChange: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    const listener = () => onForeignChange();
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }

  /** The kernel finds a range by its beginning alone: any range that holds it is deleted. */
  #delete(elements: Map<string, Element>, element: Element): void {
    const id = [...holders(elements, element, 'first')][0];
    if (id === undefined) throw refused('ENOENT', elementId(element));
    elements.delete(id);
  }

  /** True when it was new. The same key and value again is no error, and the old comment stays. */
  #add(elements: Map<string, Element>, element: Element): boolean {
    checked(() => elementParts(element));
    const known = elements.get(elementId(element));
    if (known !== undefined && known.value === element.value) return false;
    // Not a full test for overlapping, but the kernel's own: a range around another one is accepted.
    const taken = [...holders(elements, element, 'first'), ...holders(elements, element, 'last')];
    if (taken.length > 0) throw refused('EEXIST', elementId(element));
    elements.set(elementId(element), element);
    return true;
  }

  #changed(): void {
    this.generation++;
    if (this.deaf) return;
    for (const listener of [...this.#listeners]) listener();
  }
}

type Fault = { readonly when: 'before' | 'after'; readonly error: Error };

export class DatapathDouble implements Datapath {
  readonly ruleset: RulesetDouble;
  /** Every change that was committed through this adapter. */
  readonly applied: ElementChange[] = [];
  /** How often the table was read. */
  reads = 0;
  /** Elements that the kernel refuses, whatever the reason. */
  refuses: (element: Element) => boolean = () => false;
  readonly #faults: Fault[] = [];
  #known = false;

  constructor(ruleset = new RulesetDouble()) {
    this.ruleset = ruleset;
  }

  /** The next read or apply fails with this error: before it did anything, or after it did everything (its answer was lost). */
  failNext(when: 'before' | 'after', error: Error = new BerthError('NFT_UNAVAILABLE', 'injected')): void {
    this.#faults.push({ when, error });
  }

  async read(): Promise<Installed> {
    return this.#faulty(() => {
      this.reads++;
      const repaired = this.ruleset.repair(this.#known);
      this.#known = true;
      return { elements: this.ruleset.elements(), repaired };
    });
  }

  async apply(change: ElementChange): Promise<void> {
    if (change.add.length === 0 && change.remove.length === 0) return;
    this.#faulty(() => {
      const guilty = [...change.remove, ...change.add].find(this.refuses);
      if (guilty !== undefined) throw refused('EINVAL', elementId(guilty));
      this.ruleset.commit(change);
      this.applied.push(change);
    });
  }

  watch(onForeignChange: () => void, signal: AbortSignal): void {
    this.ruleset.watch(onForeignChange, signal);
  }

  #faulty<T>(operation: () => T): T {
    const fault = this.#faults.shift();
    if (fault?.when === 'before') throw fault.error;
    const result = operation();
    if (fault !== undefined) throw fault.error;
    return result;
  }
}

/** The ids of the elements whose key holds the given end of this one's key. */
function* holders(elements: ReadonlyMap<string, Element>, element: Element, end: 'first' | 'last'): Generator<string> {
  const key = checked(() => keyParts(element));
  if (!LAYOUTS[element.set].interval || element.key === CATCH_ALL) {
    if (elements.has(elementId(element))) yield elementId(element);
    return;
  }
  for (const [id, other] of elements) {
    if (other.set !== element.set || other.key === CATCH_ALL) continue;
    if (keyParts(other).every((part, index) => holds(part, key[index], end))) yield id;
  }
}

function holds(range: Part, part: Part | undefined, end: 'first' | 'last'): boolean {
  if (range.kind === 'device' || part === undefined || part.kind === 'device') return false;
  if (range.kind !== 'address' && part.kind !== 'address') {
    return range.first <= part[end] && part[end] <= range.last;
  }
  if (range.kind !== 'address' || part.kind !== 'address') return false;
  return Buffer.compare(range.first, part[end]) <= 0 && Buffer.compare(part[end], range.last) <= 0;
}

/** What the transports refuse before the kernel sees it. */
function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof MalformedElement) throw refused('EINVAL', error.message);
    throw error;
  }
}

function refused(errno: string, what: string): BerthError {
  return new BerthError('NFT_REFUSED', `nf_tables: ${errno} for ${what}`);
}
