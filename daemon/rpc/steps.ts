/** What whoever follows a registry must be told of its changes. Pure. */
import { type LiveMapping, type MappingFilter, matches } from '../core/livemapping.ts';
import { type Change, keyOfChange } from '../core/registry.ts';

/** What a client must be told of one mapping, given that it knows `before` or nothing. */
export interface Step {
  readonly kind: 'set' | 'deleted';
  readonly live: LiveMapping;
}

/** The changes with only the last state of each mapping, in the order of the last changes. */
export function latestOf(changes: readonly Change[]): Change[] {
  const latest = new Map<string, Change>();
  for (const change of changes) {
    const key = keyOfChange(change);
    const earlier = latest.get(key);
    // Deleting first moves the key to the end.
    latest.delete(key);
    latest.set(key, earlier === undefined ? change : { before: earlier.before, after: change.after });
  }
  return [...latest.values()];
}

/** What `latestOf` gave, as far as the filter lets it show. */
export function stepsOf(latest: readonly Change[], filter: MappingFilter): Step[] {
  return latest.flatMap((change) => stepOf(change, filter));
}

function stepOf({ before, after }: Change, filter: MappingFilter): Step[] {
  if (after !== undefined && matches(filter, after)) return [{ kind: 'set', live: after }];
  return before !== undefined && matches(filter, before) ? [{ kind: 'deleted', live: before }] : [];
}
