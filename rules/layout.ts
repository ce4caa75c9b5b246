/**
 * What the keys and values of each set are made of, and the strict reading of an element's text into those parts. Whatever
 * an encoder writes has passed through here: a text that is not exactly of the set's form is refused, never guessed at.
 */
import { parseAddress } from '../daemon/core/address.ts';
import type { Family } from '../daemon/core/vocabulary.ts';
import { type Element, SETS, type SetName } from './element.ts';

export type FieldType = 'protocol' | 'port' | 'address4' | 'address6' | 'device';

export interface Layout {
  readonly key: readonly FieldType[];
  /** Empty: a set. Otherwise a map. */
  readonly value: readonly FieldType[];
  /** The fields of a key may be ranges, and no two keys may overlap. */
  readonly interval: boolean;
}

/** The skeleton's text declares exactly these (checked by a test). */
export const LAYOUTS: Readonly<Record<SetName, Layout>> = {
  any4: hash(['protocol', 'port'], ['address4', 'port']),
  any6: hash(['protocol', 'port'], ['address6', 'port']),
  host4: hash(['address4', 'protocol', 'port'], ['address4', 'port']),
  host6: hash(['address6', 'protocol', 'port'], ['address6', 'port']),
  anyblock4: interval(['protocol', 'port'], ['address4']),
  anyblock6: interval(['protocol', 'port'], ['address6']),
  hostblock4: interval(['address4', 'protocol', 'port'], ['address4']),
  hostblock6: interval(['address6', 'protocol', 'port'], ['address6']),
  limited: hash(['protocol', 'port']),
  limitedhost4: hash(['address4', 'protocol', 'port']),
  limitedhost6: hash(['address6', 'protocol', 'port']),
  allow4: interval(['protocol', 'port', 'address4']),
  allow6: interval(['protocol', 'port', 'address6']),
  allowhost4: interval(['address4', 'protocol', 'port', 'address4']),
  allowhost6: interval(['address6', 'protocol', 'port', 'address6']),
  udpany: hash(['port']),
  udphost4: hash(['address4', 'port']),
  udphost6: hash(['address6', 'port']),
  hairpin4: hash(['protocol', 'port', 'address4', 'address4']),
  hairpin6: hash(['protocol', 'port', 'address6', 'address6']),
  samedev: hash(['device', 'device']),
  nodeaddr4: hash(['address4']),
  nodeaddr6: hash(['address6']),
};

function hash(key: readonly FieldType[], value: readonly FieldType[] = []): Layout {
  return { key, value, interval: false };
}

function interval(key: readonly FieldType[], value: readonly FieldType[] = []): Layout {
  return { key, value, interval: true };
}

/** What stands between the fields of a key or value. */
export const SEPARATOR = ' . ';

/** The key of the element that matches every packet (NFT_SET_ELEM_CATCHALL). Berth never makes one, but removes it. */
export const CATCH_ALL = '*';

/** IP protocol numbers with a name in element texts; every other one is written as its number. */
export const PROTOCOL_NUMBERS: ReadonlyMap<string, number> = new Map([
  ['tcp', 6],
  ['udp', 17],
  ['sctp', 132],
]);

/** A text that is not of its set's form: a bug, or an attempt. It never reaches nftables. */
export class MalformedElement extends RangeError {
  override readonly name = 'MalformedElement';
}

/** One field of an element: a name, or the first and the last of a range (equal for a single value). */
export type Part =
  | { readonly kind: 'protocol' | 'port'; readonly first: number; readonly last: number }
  | {
      readonly kind: 'address';
      readonly family: Family;
      /** Network order. */
      readonly first: Uint8Array;
      readonly last: Uint8Array;
    }
  | { readonly kind: 'device'; readonly name: string };

const isSetName: ReadonlySet<string> = new Set(SETS);

/** The parts of an element's key; the catch-all key has none. Throws MalformedElement for what is not of the set's form. */
export function keyParts(element: { readonly set: SetName; readonly key: string }): readonly Part[] {
  const layout = layoutOf(element.set);
  if (element.key === CATCH_ALL) return [];
  return parts(layout.key, element.key, layout.interval);
}

/** The parts of an element's value; none in a set. Throws MalformedElement for what is not of the map's form. */
export function valueParts(element: { readonly set: SetName; readonly value: string }): readonly Part[] {
  const layout = layoutOf(element.set);
  if (layout.value.length === 0 && element.value === '') return [];
  return parts(layout.value, element.value, false);
}

/** An element taken apart. */
export interface ElementParts {
  readonly key: readonly Part[];
  /** Empty in a set. */
  readonly value: readonly Part[];
}

/**
 * The parts of an element that may be added: key, value and comment are of its set's form, and it is not the catch-all.
 * Throws MalformedElement.
 */
export function elementParts(element: Element): ElementParts {
  const key = keyParts(element);
  if (key.length === 0) throw malformed('key', element.key);
  for (const one of key) if (one.kind === 'device' && !isDevice(one.name)) throw malformed('device', one.name);
  if (element.comment !== '' && !isComment(element.comment)) throw malformed('comment', element.comment);
  return { key, value: valueParts(element) };
}

/** NFTNL_UDATA_COMMENT_MAXLEN: with its terminating NUL. */
const MAX_COMMENT = 128;
const COMMENT = /^[A-Za-z0-9][A-Za-z0-9-]*\/[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** The form of all comments that Berth writes: `<pod uid>/<port name>`. Neither part can hold a slash. */
export function isComment(text: string): boolean {
  return text.length < MAX_COMMENT && COMMENT.test(text);
}

/** IFNAMSIZ is 16 with the NUL. nft reads a trailing `*` as a wildcard; names with anything unusual are left alone. */
export function isDevice(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._@-]{0,14}$/.test(text);
}

/** How a device is written in an element: its name, or the bytes in hexadecimal of one that no interface of Berth's has. */
export function deviceText(name: string): string {
  if (isDevice(name)) return name;
  return `hex:${Array.from(name, (character) => character.charCodeAt(0).toString(16).padStart(2, '0')).join('')}`;
}

/** Each character of the name is one byte. */
function deviceName(text: string): string {
  if (isDevice(text)) return text;
  if (!/^hex:([0-9a-f]{2}){0,16}$/.test(text)) throw malformed('device', text);
  const name = text.slice(4).replace(/../g, (digits) => String.fromCharCode(Number.parseInt(digits, 16)));
  if (deviceText(name) !== text) throw malformed('device', text);
  return name;
}

function layoutOf(set: SetName): Layout {
  if (!isSetName.has(set)) throw malformed('set', set);
  return LAYOUTS[set];
}

function parts(types: readonly FieldType[], text: string, ranges: boolean): readonly Part[] {
  const fields = text.split(SEPARATOR);
  if (fields.length !== types.length) throw malformed('element', text);
  return types.map((type, index) => part(type, fields[index] ?? '', ranges));
}

function part(type: FieldType, text: string, ranges: boolean): Part {
  switch (type) {
    case 'protocol':
      return range('protocol', text, ranges, protocolNumber);
    case 'port':
      return range('port', text, ranges, (word) => integer(word, 65_535));
    case 'address4':
      return addresses(4, text, ranges);
    case 'address6':
      return addresses(6, text, ranges);
    case 'device':
      return { kind: 'device', name: deviceName(text) };
  }
}

function range(kind: 'protocol' | 'port', text: string, ranges: boolean, read: (word: string) => number): Part {
  const dash = ranges ? text.indexOf('-') : -1;
  const first = read(dash < 0 ? text : text.slice(0, dash));
  const last = dash < 0 ? first : read(text.slice(dash + 1));
  if (dash >= 0 && last <= first) throw malformed(kind, text);
  return { kind, first, last };
}

function protocolNumber(word: string): number {
  const number = PROTOCOL_NUMBERS.get(word) ?? integer(word, 255);
  if (protocolName(number) !== word) throw malformed('protocol', word);
  return number;
}

/** The name that element texts use for an IP protocol number. */
export function protocolName(number: number): string {
  for (const [name, known] of PROTOCOL_NUMBERS) if (known === number) return name;
  return String(number);
}

function integer(word: string, max: number): number {
  if (!/^(0|[1-9][0-9]{0,4})$/.test(word) || Number(word) > max) throw malformed('number', word);
  return Number(word);
}

function addresses(family: Family, text: string, ranges: boolean): Part {
  const single = canonical(family, text);
  if (single !== undefined) return { kind: 'address', family, first: single, last: single };
  const slash = text.indexOf('/');
  const dash = text.indexOf('-');
  if (ranges && slash > 0) {
    const first = canonical(family, text.slice(0, slash));
    const length = integer(text.slice(slash + 1), family === 4 ? 31 : 127);
    const last = first && withHostBits(first, length);
    if (first !== undefined && last !== undefined) return { kind: 'address', family, first, last };
  }
  if (ranges && dash > 0) {
    const first = canonical(family, text.slice(0, dash));
    const last = canonical(family, text.slice(dash + 1));
    if (first !== undefined && last !== undefined) return { kind: 'address', family, first, last };
  }
  throw malformed('address', text);
}

/** The bytes, undefined when the text is not the one way in which this address is written. */
function canonical(family: Family, text: string): Uint8Array | undefined {
  const address = parseAddress(text);
  return address !== undefined && address.family === family && address.text === text ? address.bytes : undefined;
}

/** The last address of the prefix; undefined when `first` has host bits. */
function withHostBits(first: Uint8Array, length: number): Uint8Array | undefined {
  const free = first.map((_, index) => 0xff >> Math.min(8, Math.max(0, length - 8 * index)));
  if (first.some((byte, index) => (byte & (free[index] ?? 0)) !== 0)) return undefined;
  return first.map((byte, index) => byte | (free[index] ?? 0));
}

function malformed(what: string, text: string): MalformedElement {
  return new MalformedElement(`not a valid ${what} of a set element: ${JSON.stringify(text.slice(0, 64))}`);
}
