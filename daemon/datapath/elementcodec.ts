/**
 * One set element as the bytes of its netlink attributes (nf_tables.h: NFTA_SET_ELEM_*) and back. Writing is strict (only
 * what `layout.ts` can read is ever encoded); reading is total, since a foreign element must be seen to be removed.
 */
import type { Element, SetName } from '../../rules/element.ts';
import {
  CATCH_ALL,
  deviceText,
  elementParts,
  type FieldType,
  isComment,
  keyParts,
  LAYOUTS,
  type Part,
  protocolName,
  SEPARATOR,
} from '../../rules/layout.ts';
import { addressText } from '../core/iptext.ts';
import { type AttributeWriter, attributeLength, attributeText, findAttribute } from '../native/attributes.ts';

const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_SET_ELEM_USERDATA = 6;
const NFTA_SET_ELEM_KEY_END = 10;
const NFTA_DATA_VALUE = 1;
const NFT_SET_ELEM_CATCHALL = 2;
/** libnftnl's udata.h: type, length, text with its NUL. */
const NFTNL_UDATA_SET_ELEM_COMMENT = 0;

interface Field {
  /** Bytes that count; in a concatenation each field begins at a multiple of 4. */
  readonly size: number;
  text(bytes: Buffer, offset: number): string;
}

const FIELDS: Readonly<Record<FieldType, Field>> = {
  protocol: { size: 1, text: (bytes, offset) => protocolName(bytes.readUInt8(offset)) },
  port: { size: 2, text: (bytes, offset) => String(bytes.readUInt16BE(offset)) },
  address4: { size: 4, text: (bytes, offset) => addressText(bytes.subarray(offset, offset + 4)) ?? '' },
  address6: { size: 16, text: (bytes, offset) => addressText(bytes.subarray(offset, offset + 16)) ?? '' },
  device: { size: 16, text: deviceAt },
};

/** Bytes up to the NUL padding. */
function deviceAt(bytes: Buffer, offset: number): string {
  return deviceText(bytes.toString('latin1', offset, offset + 16).replace(/\0+$/, ''));
}

const align = (size: number): number => (size + 3) & ~3;

/** The length in bytes of a key or value of these fields. A single field is not padded. */
export function fieldsLength(types: readonly FieldType[]): number {
  if (types.length === 1) return FIELDS[types[0] as FieldType].size;
  return types.reduce((sum, type) => sum + align(FIELDS[type].size), 0);
}

/** The attributes of an element to add. Throws MalformedElement when it is not of its set's form. */
export function writeElement(writer: AttributeWriter, element: Element): void {
  const { key, value } = elementParts(element);
  writeKeyParts(writer, element.set, key);
  if (value.length > 0) {
    const bytes = encoded(LAYOUTS[element.set].value, value, 'first');
    writer.nest(NFTA_SET_ELEM_DATA, (data) => data.bytes(NFTA_DATA_VALUE, bytes));
  }
  if (element.comment !== '') writer.bytes(NFTA_SET_ELEM_USERDATA, commentBytes(element.comment));
}

/** The attributes by which the kernel finds an element to delete. Throws MalformedElement when the key is not of its set's form. */
export function writeKey(writer: AttributeWriter, element: { readonly set: SetName; readonly key: string }): void {
  if (element.key === CATCH_ALL) writer.be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_CATCHALL);
  else writeKeyParts(writer, element.set, keyParts(element));
}

function writeKeyParts(writer: AttributeWriter, set: SetName, key: readonly Part[]): void {
  const { key: types, interval } = LAYOUTS[set];
  writer.nest(NFTA_SET_ELEM_KEY, (data) => data.bytes(NFTA_DATA_VALUE, encoded(types, key, 'first')));
  if (!interval) return;
  writer.nest(NFTA_SET_ELEM_KEY_END, (data) => data.bytes(NFTA_DATA_VALUE, encoded(types, key, 'last')));
}

function commentBytes(comment: string): Buffer {
  const bytes = Buffer.alloc(comment.length + 3);
  bytes.writeUInt8(NFTNL_UDATA_SET_ELEM_COMMENT, 0);
  bytes.writeUInt8(comment.length + 1, 1);
  bytes.write(comment, 2, 'latin1');
  return bytes;
}

function encoded(types: readonly FieldType[], parts: readonly Part[], end: 'first' | 'last'): Buffer {
  const bytes = Buffer.alloc(fieldsLength(types));
  let offset = 0;
  for (const [index, part] of parts.entries()) {
    if (part.kind === 'device') bytes.write(part.name, offset, 'latin1');
    else if (part.kind === 'address') bytes.set(part[end], offset);
    else bytes.writeUIntBE(part[end], offset, part.kind === 'port' ? 2 : 1);
    offset += align(FIELDS[types[index] as FieldType].size);
  }
  return bytes;
}

/**
 * The element in `bytes[start, end)`, the attributes of one NFTA_LIST_ELEM. Its text is canonical, so it equals what
 * `rules/elements.ts` writes. A comment that Berth cannot have written is `?`.
 */
export function readElement(set: SetName, bytes: Buffer, start: number, end: number): Element {
  const layout = LAYOUTS[set];
  const comment = commentAt(bytes, findAttribute(bytes, NFTA_SET_ELEM_USERDATA, start, end));
  const value = dataAt(bytes, NFTA_SET_ELEM_DATA, start, end);
  const key = dataAt(bytes, NFTA_SET_ELEM_KEY, start, end);
  const keyEnd = layout.interval ? dataAt(bytes, NFTA_SET_ELEM_KEY_END, start, end) : -1;
  return {
    set,
    key: key < 0 ? CATCH_ALL : decoded(layout.key, bytes, key, keyEnd),
    value: layout.value.length === 0 || value < 0 ? '' : decoded(layout.value, bytes, value, -1),
    comment,
  };
}

/** The offset of the value in a nest of type `type`, -1 when there is none. */
function dataAt(bytes: Buffer, type: number, start: number, end: number): number {
  const nest = findAttribute(bytes, type, start, end);
  return nest < 0 ? -1 : findAttribute(bytes, NFTA_DATA_VALUE, nest, nest + attributeLength(bytes, nest));
}

/** `last` is the offset of the upper end, -1 for a key that is no range. */
function decoded(types: readonly FieldType[], bytes: Buffer, first: number, last: number): string {
  let text = '';
  let offset = 0;
  for (const type of types) {
    const field = FIELDS[type];
    if (offset > 0) text += SEPARATOR;
    text += field.text(bytes, first + offset);
    if (last >= 0) text += rangeSuffix(field, type, bytes, first + offset, last + offset);
    offset += align(field.size);
  }
  return text;
}

/** What follows the first value of a range: nothing, a prefix length, or the last value. */
function rangeSuffix(field: Field, type: FieldType, bytes: Buffer, first: number, last: number): string {
  if (bytes.compare(bytes, last, last + field.size, first, first + field.size) === 0) return '';
  const length = type === 'address4' || type === 'address6' ? prefixLength(bytes, first, last, field.size) : undefined;
  return length === undefined ? `-${field.text(bytes, last)}` : `/${length}`;
}

/** How many leading bits two addresses share, if the rest is all zeros in the first and all ones in the last. */
function prefixLength(bytes: Buffer, first: number, last: number, size: number): number | undefined {
  let length = 0;
  let ended = false;
  for (let index = 0; index < size; index++) {
    const low = bytes.readUInt8(first + index);
    const high = bytes.readUInt8(last + index);
    if (!ended && low === high) {
      length += 8;
      continue;
    }
    const free = low ^ high;
    // All differing bits at the end of the byte, zeros below, ones above.
    if ((free & (free + 1)) !== 0 || (low & free) !== 0 || (ended && free !== 0xff)) return undefined;
    if (!ended) length += Math.clz32(free) - 24;
    ended = true;
  }
  return length;
}

function commentAt(bytes: Buffer, offset: number): string {
  if (offset < 0) return '';
  const end = offset + attributeLength(bytes, offset);
  for (let at = offset; at + 2 <= end; at += 2 + bytes.readUInt8(at + 1)) {
    if (bytes.readUInt8(at) !== NFTNL_UDATA_SET_ELEM_COMMENT) continue;
    const text = attributeText(bytes.subarray(at + 2, Math.min(end, at + 2 + bytes.readUInt8(at + 1))));
    return isComment(text) ? text : '?';
  }
  return '';
}
