/**
 * The plan: what is wanted, what stands in the kernel and what was announced, turned into the steps of one pass. Pure
 * and total; a change of the kernel by anybody else is healed by the same difference as a change of a pod.
 */
import { mappingOfElement } from '../../rules/adoption.ts';
import { diff } from '../../rules/change.ts';
import type { Element, ElementChange } from '../../rules/element.ts';
import { elementId } from '../../rules/element.ts';
import { elementsOf } from '../../rules/elements.ts';
import type { FormerTarget } from '../core/flow.ts';
import { portKey } from '../core/ledger.ts';
import type { Mapping } from '../core/vocabulary.ts';
import type { FlowPorts } from './ports.ts';

const keyOfMapping = new WeakMap<Mapping, string>();

/** The identity of a mapping over its changes. Made once an object: it is asked for some ten times a pass. */
export function mappingKey(mapping: Mapping): string {
  let key = keyOfMapping.get(mapping);
  if (key === undefined) {
    key = `${mapping.pod.uid}/${portKey(mapping)}`;
    keyOfMapping.set(mapping, key);
  }
  return key;
}

export interface Plan {
  /** Announced mappings that are not wanted any more, or not in this form. First of all they are un-announced. */
  readonly unannounce: readonly Mapping[];
  readonly change: ElementChange;
  /** Host ports whose tracked flows may disagree once the change is committed: those of the change and of `announce`. */
  readonly ports: readonly FlowPorts[] | 'all';
  /** Where the flows of removed elements were sent. */
  readonly former: readonly FormerTarget[];
  /** Wanted mappings that are not announced yet in this form. Last of all they are announced. */
  readonly announce: readonly Mapping[];
}

const elementsOfMapping = new WeakMap<Mapping, readonly Element[]>();

/** Mappings are immutable: the same object's elements are made once. */
export function elementsOnce(mapping: Mapping): readonly Element[] {
  let elements = elementsOfMapping.get(mapping);
  if (elements === undefined) {
    elements = elementsOf(mapping);
    elementsOfMapping.set(mapping, elements);
  }
  return elements;
}

const idsOfMapping = new WeakMap<Mapping, readonly string[]>();

/** The elementId of each of the mapping's elements, likewise made once: most of a pass is to look them up. */
export function idsOnce(mapping: Mapping): readonly string[] {
  let ids = idsOfMapping.get(mapping);
  if (ids === undefined) {
    ids = elementsOnce(mapping).map(elementId);
    idsOfMapping.set(mapping, ids);
  }
  return ids;
}

/**
 * `wanted`: mappings with an address. `environment`: elements that belong to no mapping (the node's addresses, devices).
 * `installed` and `live`: what was announced, by elementId and mappingKey.
 */
export function plan(
  wanted: readonly Mapping[],
  environment: readonly Element[],
  installed: ReadonlyMap<string, Element>,
  live: ReadonlyMap<string, Mapping>,
): Plan {
  const desired = new Map<string, Element>();
  for (const element of environment) desired.set(elementId(element), element);
  for (const mapping of wanted) {
    const ids = idsOnce(mapping);
    for (const [index, element] of elementsOnce(mapping).entries()) desired.set(ids[index] as string, element);
  }
  const change = diff(desired, installed);

  const changed = new Set([...change.remove, ...change.add].map(elementId));
  const ports = new Map<string, FlowPorts>();
  const touch = ({ protocol, hostPort, size }: { protocol: FlowPorts['protocol']; hostPort: number; size: number }) =>
    ports.set(`${protocol}/${hostPort}/${size}`, { protocol, port: hostPort, size });
  if (changed.size > 0) {
    for (const mapping of wanted) if (idsOnce(mapping).some((id) => changed.has(id))) touch(mapping);
  }
  const keys = new Map(wanted.map((mapping) => [mappingKey(mapping), mapping]));
  const announce = [...keys].filter(([key, mapping]) => !same(live.get(key), mapping)).map(([, mapping]) => mapping);
  announce.forEach(touch);
  const former: FormerTarget[] = [];
  for (const element of change.remove) {
    const was = mappingOfElement(element);
    if (was === undefined) continue;
    touch(was);
    former.push(was);
  }

  return {
    unannounce: [...live].filter(([key, mapping]) => !same(keys.get(key), mapping)).map(([, mapping]) => mapping),
    change,
    // A new address of the node: every port may have flows that were not translated there.
    ports: change.add.some(({ set }) => set === 'nodeaddr4' || set === 'nodeaddr6') ? 'all' : [...ports.values()],
    former,
    announce,
  };
}

function same(one: Mapping | undefined, other: Mapping): boolean {
  return one === other || (one !== undefined && JSON.stringify(one) === JSON.stringify(other));
}
