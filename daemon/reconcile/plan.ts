/**
 * The plan: what is wanted, what stands in the kernel and what was announced, turned into the steps of one pass. Pure
 * and total; a change of the kernel by anybody else is healed by the same difference as a change of a pod.
 */
import { mappingOfElement } from '../../rules/adoption.ts';
import { diff, isSame } from '../../rules/change.ts';
import type { Element, ElementChange } from '../../rules/element.ts';
import { elementId } from '../../rules/element.ts';
import { elementsOf } from '../../rules/elements.ts';
import type { FormerTarget } from '../core/flow.ts';
import { portKey } from '../core/ledger.ts';
import type { Mapping } from '../core/vocabulary.ts';
import type { FlowPorts } from './ports.ts';

/** What follows from a mapping alone. Mappings are immutable, and all of it is asked for several times a pass. */
interface Derived {
  readonly key: string;
  readonly elements: readonly Element[];
  /** The elementId of each of the elements. */
  readonly ids: readonly string[];
}

const derivedOf = new WeakMap<Mapping, Derived>();

function derive(mapping: Mapping): Derived {
  let derived = derivedOf.get(mapping);
  if (derived === undefined) {
    const elements = elementsOf(mapping);
    derived = { key: `${mapping.pod.uid}/${portKey(mapping)}`, elements, ids: elements.map(elementId) };
    derivedOf.set(mapping, derived);
  }
  return derived;
}

/** The identity of a mapping over its changes. */
export function mappingKey(mapping: Mapping): string {
  return derive(mapping).key;
}

/** The mapping's elements, made once. */
export function elementsOnce(mapping: Mapping): readonly Element[] {
  return derive(mapping).elements;
}

/** The elementId of each of the mapping's elements, made once. */
export function idsOnce(mapping: Mapping): readonly string[] {
  return derive(mapping).ids;
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
  const change = difference(wanted, environment, installed);

  const changed = new Set([...change.remove, ...change.add].map(elementId));
  const ports = new Map<string, FlowPorts>();
  const touch = ({ protocol, hostPort, size }: { protocol: FlowPorts['protocol']; hostPort: number; size: number }) =>
    ports.set(`${protocol}/${hostPort}/${size}`, { protocol, port: hostPort, size });
  if (changed.size > 0) {
    for (const mapping of wanted) if (idsOnce(mapping).some((id) => changed.has(id))) touch(mapping);
  }
  const announce = wanted.filter((mapping) => !sameMapping(live.get(mappingKey(mapping)), mapping));
  announce.forEach(touch);
  const former: FormerTarget[] = [];
  for (const element of change.remove) {
    const was = mappingOfElement(element);
    if (was === undefined) continue;
    touch(was);
    former.push(was);
  }

  return {
    unannounce: wanted.length - announce.length === live.size ? [] : ended(wanted, live),
    change,
    // A new address of the node: every port may have flows that were not translated there.
    ports: change.add.some(({ set }) => set === 'nodeaddr4' || set === 'nodeaddr6') ? 'all' : [...ports.values()],
    former,
    announce,
  };
}

/**
 * What must change. In most passes everything that stands is wanted: that is known by counting, and the two sides need not be
 * written out to be compared.
 */
function difference(
  wanted: readonly Mapping[],
  environment: readonly Element[],
  installed: ReadonlyMap<string, Element>,
): ElementChange {
  const around = new Map(environment.map((element) => [elementId(element), element]));
  const add: Element[] = [];
  let standing = 0;
  let twice = false;
  const look = (id: string, element: Element) => {
    if (isSame(installed.get(id), element)) standing++;
    else add.push(element);
  };
  for (const [id, element] of around) look(id, element);
  const shared = new Set<string>();
  for (const mapping of wanted) {
    const { elements, ids } = derive(mapping);
    for (let index = 0; index < ids.length; index++) {
      const id = ids[index] as string;
      if (isRepeated(mapping, id, shared)) continue;
      twice ||= around.has(id);
      look(id, elements[index] as Element);
    }
  }
  if (standing === installed.size && !twice) return { remove: [], add };
  const desired = around;
  shared.clear();
  for (const mapping of wanted) {
    const { elements, ids } = derive(mapping);
    for (const [index, element] of elements.entries()) {
      const id = ids[index] as string;
      if (!isRepeated(mapping, id, shared)) desired.set(id, element);
    }
  }
  return diff(desired, installed);
}

/**
 * A pod may have one static number on several addresses of the node: its connections to itself stand in the table once, for the
 * first of them. `shared` gathers the elements by which that is known.
 */
function isRepeated({ hostIP }: Mapping, id: string, shared: Set<string>): boolean {
  if (hostIP === undefined) return false;
  const repeated = shared.has(id);
  shared.add(id);
  return repeated;
}

/** All of the mapping stands; what the pod has in common with another port of its own stands in the name of either. */
export function allStand(mapping: Mapping, installed: ReadonlyMap<string, Element>): boolean {
  return ownElements(mapping, installed).every((element) => isSame(installed.get(elementId(element)), element));
}

/** The mapping's elements but for those that stand already in the name of another port of the pod. */
export function ownElements(mapping: Mapping, installed: ReadonlyMap<string, Element>): readonly Element[] {
  const { elements, ids } = derive(mapping);
  return elements.filter((element, index) => {
    const found = installed.get(ids[index] as string);
    return found === undefined || isSame(found, element) || !isShared(mapping, found);
  });
}

/** It lets the pod reach itself, which is the same from every address of the node. */
function isShared({ hostIP, pod }: Mapping, { set, comment }: Element): boolean {
  return hostIP !== undefined && set.startsWith('hairpin') && comment.startsWith(`${pod.uid}/`);
}

/** What is announced and not wanted any more, or not in this form. */
function ended(wanted: readonly Mapping[], live: ReadonlyMap<string, Mapping>): readonly Mapping[] {
  const keys = new Map(wanted.map((mapping) => [mappingKey(mapping), mapping]));
  return [...live].filter(([key, mapping]) => !sameMapping(keys.get(key), mapping)).map(([, mapping]) => mapping);
}

export function sameMapping(one: Mapping | undefined, other: Mapping): boolean {
  return one === other || (one !== undefined && JSON.stringify(one) === JSON.stringify(other));
}
