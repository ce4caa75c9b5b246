/**
 * The mappings that the kernel refused: each is left alone for a while, so that one guilty pod does not make every pass
 * slow (I8). Pure memory; it never decides what stands.
 */
import { type Element, elementId } from '../../rules/element.ts';
import type { Mapping } from '../core/vocabulary.ts';
import { elementsOnce, mappingKey } from './plan.ts';

/** A refused mapping is left alone for so long, doubling, in ms. */
const WAIT_MS = { first: 1_000, cap: 60_000 } as const;

interface Refusal {
  readonly mapping: Mapping;
  readonly error: Error;
  readonly wait: number;
  readonly until: number;
}

export class Refusals {
  readonly #refused = new Map<string, Refusal>();

  /** Why the mapping could not be installed; undefined when it was not refused, or has changed since. */
  get(mapping: Mapping): Error | undefined {
    if (this.#refused.size === 0) return undefined;
    const refusal = this.#refused.get(mappingKey(mapping));
    return refusal?.mapping === mapping ? refusal.error : undefined;
  }

  /** Its time to be tried again has not come. */
  waits(mapping: Mapping, now: number): boolean {
    if (this.#refused.size === 0) return false;
    const refusal = this.#refused.get(mappingKey(mapping));
    return refusal !== undefined && refusal.mapping === mapping && refusal.until > now;
  }

  /** The earliest monotonic time at which a mapping is to be tried again. */
  get retryAt(): number | undefined {
    let earliest: number | undefined;
    for (const { until } of this.#refused.values()) earliest = Math.min(until, earliest ?? until);
    return earliest;
  }

  /** Forgets what is not wanted any more, and what stands after all (somebody else took the obstacle away). */
  forget(wanted: readonly Mapping[], stands: (mapping: Mapping) => boolean): void {
    if (this.#refused.size === 0) return;
    const present = new Set(wanted);
    for (const [key, { mapping }] of this.#refused) {
      if (!present.has(mapping) || stands(mapping)) this.#refused.delete(key);
    }
  }

  /**
   * Notes the mappings of which an element was refused (`refused`: by elementId), forgets those that were tried and went
   * through. Returns the errors of what belongs to no wanted mapping: removals, and elements of the node.
   */
  note(refused: ReadonlyMap<string, Error>, wanted: readonly Mapping[], now: number): ReadonlyMap<string, Error> {
    const others = new Map(refused);
    for (const mapping of wanted) {
      const key = mappingKey(mapping);
      const before = this.#refused.get(key);
      const guilty = elementsOnce(mapping)
        .map(idOf)
        .filter((id) => refused.has(id));
      for (const id of guilty) others.delete(id);
      const error = refused.get(guilty[0] ?? '');
      if (error !== undefined) {
        const wait = before?.mapping === mapping ? Math.min(before.wait * 2, WAIT_MS.cap) : WAIT_MS.first;
        this.#refused.set(key, { mapping, error, wait, until: now + wait });
      } else if (before !== undefined && before.until <= now) {
        this.#refused.delete(key);
      }
    }
    return others;
  }
}

function idOf(element: Element): string {
  return elementId(element);
}
