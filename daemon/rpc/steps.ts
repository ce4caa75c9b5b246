/** What whoever follows a registry must be told of its changes. Pure. */
import { type LiveMapping, type MappingFilter, matches } from '../core/livemapping.ts';
import type { Change } from '../core/registry.ts';

/** What a client must be told of one mapping, given that it knows `before` or nothing. */
export interface Step {
  readonly kind: 'set' | 'deleted';
  readonly live: LiveMapping;
}

/** The changes with only the last state of each mapping, as far as the filter lets it show; in the order of the last changes. */
export function stepsOf(changes: readonly Change[], filter: MappingFilter): Step[] {
  const latest = new Map<string, Change>();
  for (const change of changes) {
    const before = latest.has(change.key) ? latest.get(change.key)?.before : change.before;
    // Deleting first moves the key to the end.
    latest.delete(change.key);
    latest.set(change.key, { ...change, before });
  }
  return [...latest.values()].flatMap((change) => stepOf(change, filter));
}

function stepOf({ before, after }: Change, filter: MappingFilter): Step[] {
  if (after !== undefined && matches(filter, after)) return [{ kind: 'set', live: after }];
  return before !== undefined && matches(filter, before) ? [{ kind: 'deleted', live: before }] : [];
}
