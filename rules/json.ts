/**
 * Element changes as nftables JSON (libnftables-json(5)). Pure. Every field is taken apart and written anew, so that
 * nothing but protocols, numbers, addresses, device names and checked comments can stand in the result.
 */
import { addressText } from '../daemon/core/iptext.ts';
import type { Element, ElementChange, SetName } from './element.ts';
import { CATCH_ALL, elementParts, isDevice, keyParts, MalformedElement, type Part, protocolName } from './layout.ts';
import { FAMILY, TABLE } from './skeleton.ts';

type Json = string | number | readonly Json[] | { readonly [key: string]: Json };

/**
 * The commands of one transaction: all removals before all additions, since an interval that overlaps one that is still
 * there is refused. Throws MalformedElement when an element is not of its set's form.
 */
export function changeJson(change: ElementChange): string {
  const commands = [
    ...bySet(change.remove).map(([set, elements]) => ({ delete: { element: list(set, elements.map(keyJson)) } })),
    ...bySet(change.add).map(([set, elements]) => ({ add: { element: list(set, elements.map(elementJson)) } })),
  ];
  return JSON.stringify({ nftables: commands });
}

/** The elements of each set, sets and elements in the order in which they first come. */
export function bySet(elements: readonly Element[]): readonly (readonly [SetName, readonly Element[]])[] {
  const groups = new Map<SetName, Element[]>();
  for (const element of elements) {
    const group = groups.get(element.set);
    if (group === undefined) groups.set(element.set, [element]);
    else group.push(element);
  }
  return [...groups];
}

function list(name: SetName, elem: readonly Json[]): Json {
  return { family: FAMILY, table: TABLE, name, elem };
}

function keyJson(element: Element): Json {
  return element.key === CATCH_ALL ? CATCH_ALL : joined(keyParts(element));
}

function elementJson(element: Element): Json {
  const { key, value } = elementParts(element);
  const elem = element.comment === '' ? joined(key) : { elem: { val: joined(key), comment: element.comment } };
  return value.length === 0 ? elem : [elem, joined(value)];
}

function joined(parts: readonly Part[]): Json {
  const fields = parts.map(partJson);
  return fields.length === 1 ? (fields[0] ?? '') : { concat: fields };
}

function partJson(part: Part): Json {
  if (part.kind === 'device') {
    // Over netlink any bytes are possible; in JSON a trailing `*` would be a wildcard.
    if (!isDevice(part.name)) throw new MalformedElement('a device name that nftables JSON cannot hold');
    return part.name;
  }
  const [first, last] =
    part.kind === 'address'
      ? [addressText(part.first) ?? '', addressText(part.last) ?? '']
      : part.kind === 'protocol'
        ? [protocolName(part.first), protocolName(part.last)]
        : [part.first, part.last];
  return first === last ? first : { range: [first, last] };
}
