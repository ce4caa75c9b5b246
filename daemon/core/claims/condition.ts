/** Conditions: what is said of an object, when that began, and whether anything about it would be news. */
import { printable } from '../text.ts';
import type { Condition } from './objects.ts';

/** The API server takes more; people do not. */
const MAX_MESSAGE = 1_024;

export type Saying = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/**
 * What stands, with what is said now in place of what was said before under the same type. The types in `silent` go, and what others
 * wrote under types of their own stays. `time`: ISO, without fractions of a second (metav1.Time).
 */
export function withConditions(
  standing: readonly Condition[],
  said: readonly Saying[],
  silent: readonly string[],
  generation: number,
  time: string,
): readonly Condition[] {
  const now = new Map(said.map((one) => [one.type, one]));
  const kept = standing.filter(({ type }) => now.has(type) || !silent.includes(type));
  const types = [...new Set([...kept, ...said].map(({ type }) => type))];
  return types.flatMap((type) => {
    const before = kept.find((one) => one.type === type);
    const saying = now.get(type);
    if (saying === undefined) return before ?? [];
    // Looking at every character of what stands there already would be most of the work of a pass.
    const message = before?.message === saying.message ? before.message : printable(saying.message, MAX_MESSAGE);
    const lastTransitionTime = before?.status === saying.status ? before.lastTransitionTime : time;
    return { ...saying, message, lastTransitionTime, observedGeneration: generation };
  });
}

export function conditionOf(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find((one) => one.type === type);
}
