/**
 * Carries a change of elements into the kernel so that one refused element delays no other pod (I8): all in one
 * transaction; refused, the table is read again and the difference made anew; refused twice, one transaction a pod.
 */

import { type Element, type ElementChange, elementId } from '../../rules/element.ts';
import { BerthError } from '../core/errors.ts';
import type { Mapping } from '../core/vocabulary.ts';
import { elementsOnce } from './plan.ts';
import type { Datapath } from './ports.ts';

export interface Commit {
  /** What was carried out. */
  readonly change: ElementChange;
  /** The table was read anew on the way: the model of the caller is that of `reread`. */
  readonly reread: boolean;
  /** Elements that the kernel refused, by elementId, with its reason. */
  readonly refused: ReadonlyMap<string, Error>;
}

/**
 * `replan` reads the table and makes the difference anew. Rejects only with what is not the fault of an element
 * (NFT_UNAVAILABLE).
 */
export async function commit(
  datapath: Datapath,
  change: ElementChange,
  wanted: readonly Mapping[],
  replan: () => Promise<ElementChange>,
): Promise<Commit> {
  const none: ReadonlyMap<string, Error> = new Map();
  if ((await attempt(datapath, change)) === undefined) return { change, reread: false, refused: none };
  const second = await replan();
  if ((await attempt(datapath, second)) === undefined) return { change: second, reread: true, refused: none };
  const refused = new Map<string, Error>();
  const done: { remove: Element[]; add: Element[] } = { remove: [], add: [] };
  for (const batch of batches(second, wanted)) {
    const error = await attempt(datapath, batch);
    if (error === undefined) {
      done.remove.push(...batch.remove);
      done.add.push(...batch.add);
    } else {
      for (const element of [...batch.remove, ...batch.add]) refused.set(elementId(element), error);
    }
  }
  return { change: done, reread: true, refused };
}

/** Undefined when it was committed, the refusal when the kernel refused it. */
export async function attempt(datapath: Datapath, change: ElementChange): Promise<Error | undefined> {
  if (change.add.length === 0 && change.remove.length === 0) return undefined;
  try {
    await datapath.apply(change);
    return undefined;
  } catch (error) {
    if (error instanceof BerthError && error.code === 'NFT_REFUSED') return error;
    throw error;
  }
}

/**
 * One batch a pod; a removal that makes room for an addition goes with it, and all else of the mapping that makes room: what is left of
 * that could be open to whom it does not allow. What belongs to no pod goes first.
 */
export function batches(change: ElementChange, wanted: readonly Mapping[]): readonly ElementChange[] {
  const owners = new Map<string, string>();
  for (const mapping of wanted) {
    for (const element of elementsOnce(mapping)) owners.set(elementId(element), mapping.pod.uid);
  }
  const heirs = new Map<string, string>();
  for (const element of change.remove) {
    const heir = owners.get(elementId(element));
    if (heir !== undefined) heirs.set(element.comment, heir);
  }
  const ownerOf = (element: Element) =>
    owners.get(elementId(element)) ?? heirs.get(element.comment) ?? element.comment.split('/')[0] ?? '';
  const groups = new Map<string, { remove: Element[]; add: Element[] }>([['', { remove: [], add: [] }]]);
  const group = (owner: string) => {
    let found = groups.get(owner);
    if (found === undefined) {
      found = { remove: [], add: [] };
      groups.set(owner, found);
    }
    return found;
  };
  for (const element of change.remove) group(ownerOf(element)).remove.push(element);
  for (const element of change.add) group(ownerOf(element)).add.push(element);
  return [...groups.values()];
}
