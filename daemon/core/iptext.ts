/**
 * IP addresses as text and as the bytes that netlink carries (network order, 4 or 16 of them). Pure; it must never guess:
 * a text that two programs could read differently (`010.0.0.1`, `1.2.3`, `fe80::1%eth0`) is no address.
 */

/** The longest text form: an IPv6 address with six groups of four digits and an IPv4 address at its end. */
const MAX_TEXT = 45;
const HEX_GROUP = /^[0-9a-fA-F]{1,4}$/;
const V4_MAPPED_PREFIX = [0, 0, 0, 0, 0, 0xffff];

/** The bytes of an address, undefined when the text is none. Any form of RFC 4291 section 2.2, no zone. */
export function addressBytes(text: string): Uint8Array | undefined {
  if (text.length > MAX_TEXT) return undefined;
  return text.includes(':') ? parseIPv6(text) : parseIPv4(text);
}

/** The canonical text of 4 or 16 bytes (RFC 5952; v4-mapped in mixed notation), undefined for any other length. */
export function addressText(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  return bytes.length === 16 ? formatIPv6(bytes) : undefined;
}

/** Leading zeros are refused: inet_aton(3) reads them as octal, others as decimal (CVE-2021-29923). */
function parseIPv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let octets = 0;
  let value = -1; // no digit yet
  for (let index = 0; index <= text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit >= 0 && digit <= 9) {
      if (value === 0) return undefined;
      value = Math.max(value, 0) * 10 + digit;
      if (value > 255) return undefined;
    } else {
      const isEnd = index === text.length;
      if (value < 0 || octets === 4 || !(isEnd || text[index] === '.')) return undefined;
      bytes[octets++] = value;
      value = -1;
    }
  }
  return octets === 4 ? bytes : undefined;
}

function parseIPv6(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  let end = 0;
  /** Where in the bytes `::` stands. */
  let gap = text.startsWith('::') ? 0 : -1;
  let index = gap < 0 ? 0 : 2;
  while (index < text.length) {
    const colon = text.indexOf(':', index);
    const word = colon < 0 ? text.slice(index) : text.slice(index, colon);
    // Only the very end may be written as IPv4.
    const part = HEX_GROUP.test(word) ? groupBytes(word) : colon < 0 ? parseIPv4(word) : undefined;
    if (part === undefined || end + part.length > 16) return undefined;
    bytes.set(part, end);
    end += part.length;
    if (colon < 0) break;
    index = colon + 1;
    if (index === text.length) return undefined;
    if (text[index] !== ':') continue;
    if (gap >= 0) return undefined;
    gap = end;
    index++;
  }
  if (gap < 0) return end === 16 ? bytes : undefined;
  // `::` stands for one group at least.
  if (end === 16) return undefined;
  const tail = 16 - (end - gap);
  bytes.copyWithin(tail, gap, end).fill(0, gap, tail);
  return bytes;
}

function groupBytes(word: string): readonly [high: number, low: number] {
  const group = Number.parseInt(word, 16);
  return [group >> 8, group & 0xff];
}

function formatIPv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  if (V4_MAPPED_PREFIX.every((group, index) => groups[index] === group)) return `::ffff:${bytes.slice(12).join('.')}`;
  const { start, length } = longestZeros(groups);
  // RFC 5952 section 4.2.2: a single zero group is never written as `::`.
  if (length < 2) return joined(groups, 0, 8);
  return `${joined(groups, 0, start)}::${joined(groups, start + length, 8)}`;
}

function joined(groups: readonly number[], start: number, end: number): string {
  let text = '';
  for (let index = start; index < end; index++) text += `${index > start ? ':' : ''}${groups[index]?.toString(16)}`;
  return text;
}

/** The longest run of zero groups, the first of several (RFC 5952 section 4.2.3). */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let longest = { start: 0, length: 0 };
  let length = 0;
  for (let index = 0; index < groups.length; index++) {
    length = groups[index] === 0 ? length + 1 : 0;
    if (length > longest.length) longest = { start: index - length + 1, length };
  }
  return longest;
}
