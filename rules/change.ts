/** The difference between the elements that are wanted and those that are installed. Pure. */
import type { Element, ElementChange } from './element.ts';

/**
 * What must be removed and added so that `installed` becomes `desired` (both by elementId). The kernel cannot change an
 * element: another value or comment means to remove it and to add it anew, in the same transaction.
 */
export function diff(desired: ReadonlyMap<string, Element>, installed: ReadonlyMap<string, Element>): ElementChange {
  const remove: Element[] = [];
  const add: Element[] = [];
  for (const [id, element] of installed) if (!isSame(desired.get(id), element)) remove.push(element);
  for (const [id, element] of desired) if (!isSame(installed.get(id), element)) add.push(element);
  return { remove, add };
}

/** The element stands as it should, its comment included. */
export function isSame(one: Element | undefined, other: Element): boolean {
  return one === other || (one !== undefined && one.value === other.value && one.comment === other.comment);
}
