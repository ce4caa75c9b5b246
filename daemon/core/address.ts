/** IP addresses and ranges of them, canonical, and the questions asked of them. Pure; nothing here looks at the node. */
import { addressBytes, addressText } from './iptext.ts';
import type { Cidr, Family } from './vocabulary.ts';

/** An address that was parsed. Two are equal exactly when their texts are. */
export interface Address {
  readonly family: Family;
  /** Canonical: RFC 5952 for IPv6. */
  readonly text: string;
  /** Network order, 4 or 16. */
  readonly bytes: Uint8Array;
}

/** What an address is good for. Only an `ordinary` one can be a pod's or be chosen as a host address. */
export type AddressScope =
  | 'ordinary'
  | 'unspecified'
  | 'loopback'
  | 'link-local'
  | 'multicast'
  | 'broadcast'
  /** `::ffff:0:0/96`: the kernel treats it as the IPv4 address inside, so it would get around a check of that one. */
  | 'v4-mapped'
  /** Where clouds serve a node its credentials. */
  | 'metadata';

/** AWS, Azure, Google and others at the first; AWS over IPv6 at the second. */
const METADATA: ReadonlySet<string> = new Set(['169.254.169.254', 'fd00:ec2::254']);

/** Undefined when the text is no address: strict, no zone, no leading zeros in IPv4. */
export function parseAddress(text: string): Address | undefined {
  const bytes = addressBytes(text);
  return bytes && addressOf(bytes);
}

/** The address of these 4 or 16 bytes; undefined for any other length. */
export function addressOf(bytes: Uint8Array): Address | undefined {
  const text = addressText(bytes);
  return text === undefined ? undefined : { family: bytes.length === 4 ? 4 : 6, text, bytes };
}

export function classifyAddress(address: Address): AddressScope {
  if (METADATA.has(address.text)) return 'metadata';
  return address.family === 4 ? classifyIPv4(address) : classifyIPv6(address);
}

function classifyIPv4({ text, bytes }: Address): AddressScope {
  const [a = 0, b = 0] = bytes;
  if (text === '0.0.0.0') return 'unspecified';
  if (text === '255.255.255.255') return 'broadcast';
  if (a === 127) return 'loopback';
  if (a === 169 && b === 254) return 'link-local';
  return a >= 224 && a <= 239 ? 'multicast' : 'ordinary';
}

function classifyIPv6({ text, bytes }: Address): AddressScope {
  const [a = 0, b = 0] = bytes;
  if (text === '::') return 'unspecified';
  if (text === '::1') return 'loopback';
  if (text.startsWith('::ffff:') && text.includes('.')) return 'v4-mapped';
  if (a === 0xfe && (b & 0xc0) === 0x80) return 'link-local';
  return a === 0xff ? 'multicast' : 'ordinary';
}

export type CidrResult =
  | { readonly kind: 'ok'; readonly cidr: Cidr }
  /** Bits behind the prefix are set: it is not said whether the address or the range is meant. */
  | { readonly kind: 'host-bits'; readonly address: Address; readonly range: Cidr }
  | { readonly kind: 'invalid' };

/** A range, or a bare address, which is a range of one. */
export function parseCidr(text: string): CidrResult {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return { kind: 'invalid' };
  const bits = 8 * address.bytes.length;
  const suffix = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(suffix) || Number(suffix) > bits) return { kind: 'invalid' };
  const network = masked(address.bytes, Number(suffix));
  const cidr: Cidr = { family: address.family, text: `${addressText(network)}/${suffix}` };
  const exact = network.every((byte, index) => byte === address.bytes[index]);
  return exact ? { kind: 'ok', cidr } : { kind: 'host-bits', address, range: cidr };
}

/** What was made of a range's text: flows are held against the same ranges again and again. */
const splits = new WeakMap<Cidr, CidrParts>();

export interface CidrParts {
  /** The first address. */
  readonly network: Address;
  /** Of the prefix, in bits. */
  readonly length: number;
}

/** Throws RangeError for a range that `parseCidr` did not make. */
export function splitCidr(cidr: Cidr): CidrParts {
  let parts = splits.get(cidr);
  if (parts === undefined) {
    const [text = '', length = ''] = cidr.text.split('/');
    const network = parseAddress(text);
    if (network === undefined) throw new RangeError(`"${cidr.text}" is not a canonical range`);
    parts = { network, length: Number(length) };
    splits.set(cidr, parts);
  }
  return parts;
}

/** False for an address of the other family, and for a text that is no address. */
export function containsAddress(cidr: Cidr, address: string): boolean {
  const bytes = addressBytes(address);
  const { network, length } = splitCidr(cidr);
  if (bytes === undefined || bytes.length !== network.bytes.length) return false;
  for (let index = 0; 8 * index < length; index++) {
    if (((bytes[index] ?? 0) ^ (network.bytes[index] ?? 0)) & prefixMask(length, index)) return false;
  }
  return true;
}

/**
 * The fewest ranges that hold the same addresses, IPv4 first, ascending. They never overlap, as an nftables interval set
 * demands (an overlap is EEXIST for the whole transaction).
 */
export function mergeCidrs(cidrs: readonly Cidr[]): Cidr[] {
  const merged: Block[] = [];
  for (const block of cidrs.map(blockOf).sort(byPosition)) {
    const last = merged.at(-1);
    if (last !== undefined && holds(last, block)) continue;
    merged.push(block);
    // Two halves become the range that they fill; that one may be the other half of the range before it.
    for (let parent = parentOf(merged); parent !== undefined; parent = parentOf(merged)) merged.splice(-2, 2, parent);
  }
  return merged.map(cidrOf);
}

/** A range as numbers: `first` of 32 or 128 bits. */
interface Block {
  readonly family: Family;
  readonly first: bigint;
  /** How many of the low bits are free. */
  readonly free: number;
}

function blockOf(cidr: Cidr): Block {
  const { network, length } = splitCidr(cidr);
  const first = network.bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return { family: cidr.family, first, free: 8 * network.bytes.length - length };
}

function cidrOf({ family, first, free }: Block): Cidr {
  const size = family === 4 ? 4 : 16;
  const bytes = Uint8Array.from({ length: size }, (_, index) =>
    Number((first >> BigInt(8 * (size - 1 - index))) & 0xffn),
  );
  return { family, text: `${addressText(bytes)}/${8 * size - free}` };
}

/** By family and first address, the larger of two ranges with one first address before the smaller. */
function byPosition(one: Block, other: Block): number {
  if (one.family !== other.family) return one.family - other.family;
  if (one.first !== other.first) return one.first < other.first ? -1 : 1;
  return other.free - one.free;
}

/** `inner` begins at or behind the beginning of `outer`. */
function holds(outer: Block, inner: Block): boolean {
  return outer.family === inner.family && outer.first >> BigInt(outer.free) === inner.first >> BigInt(outer.free);
}

/** The range of which the last two blocks are the halves. */
function parentOf(blocks: readonly Block[]): Block | undefined {
  const [low, high] = blocks.slice(-2);
  if (low === undefined || high === undefined || low.family !== high.family || low.free !== high.free) return undefined;
  const parent: Block = { family: low.family, first: low.first, free: low.free + 1 };
  const isLowHalf = (low.first >> BigInt(low.free)) % 2n === 0n;
  return isLowHalf && holds(parent, high) ? parent : undefined;
}

/** The bytes with all but the first `length` bits zero. */
function masked(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, index) => byte & prefixMask(length, index));
}

/** The bits of byte `index` that belong to a prefix of `length` bits. */
function prefixMask(length: number, index: number): number {
  return (0xff00 >> Math.min(8, Math.max(0, length - 8 * index))) & 0xff;
}
