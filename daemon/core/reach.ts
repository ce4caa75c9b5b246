/**
 * Where and for whom a pod's ports are opened: `berth.dev/pool`, `berth.dev/host-ip` and `berth.dev/allow-from`. Pure and
 * total; it must never widen what was written (CVE-2020-8554: an address that a user chose took other people's traffic).
 */
import { classifyAddress, mergeCidrs, parseCidr, splitCidr } from './address.ts';
import { type Fault, fault, within } from './fault.ts';
import { itemFault, type ListItem, splitList, trim } from './list.ts';
import type { Cidr, HostIPSelector } from './vocabulary.ts';

/** How many ranges `berth.dev/allow-from` may have when merged. */
export const MAX_SOURCES = 64;

const SYNTAX = 'IPv4 without leading zeros, or IPv6 without a zone; behind / the length of the prefix';

export type Parsed<T> = { readonly kind: 'ok'; readonly value: T } | Fault;

/** A pool's name is a DNS label (RFC 1123). */
export function parsePoolName(value: string): Parsed<string> {
  const { at, text } = trim(value);
  if (text.length <= 63 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text)) return { kind: 'ok', value: text };
  return fault(text, 'is not the name of a pool', 'write 1 to 63 of a-z, 0-9 and -, with - only inside', at);
}

/** One address, or the range in which the node's address lies. Whether the node has it is not known here. */
export function parseHostIP(value: string): Parsed<HostIPSelector> {
  const { at, text } = trim(value);
  const range = parseRange(text, at);
  if (range.kind === 'fault') return range;
  const { network, length } = splitCidr(range.value);
  const scope = classifyAddress(network);
  if (scope !== 'ordinary') {
    return fault(
      text,
      `begins with the ${scope} address ${network.text}`,
      "write an address of the node's own or its range",
      at,
    );
  }
  const { family, text: address } = network;
  if (length === 8 * network.bytes.length) return { kind: 'ok', value: { kind: 'address', family, address } };
  return { kind: 'ok', value: { kind: 'cidr', cidr: range.value } };
}

/** The sources that may connect, merged and sorted. */
export function parseAllowFrom(value: string): Parsed<readonly Cidr[]> {
  if (trim(value).text === '') {
    const remedy = 'write ranges, such as 203.0.113.0/24, or remove the annotation to allow every source';
    return fault('', 'allows nobody', remedy, 0);
  }
  const ranges: Cidr[] = [];
  for (const item of splitList(value)) {
    const range = parseSource(item);
    if (range.kind === 'fault') return range;
    ranges.push(range.value);
  }
  const merged = mergeCidrs(ranges);
  if (merged.length <= MAX_SOURCES) return { kind: 'ok', value: merged };
  const what = `are ${merged.length} separate ranges`;
  return fault(value, what, `write at most ${MAX_SOURCES}, by joining some to a larger range`, 0);
}

function parseSource(item: ListItem): Parsed<Cidr> {
  const mistake = itemFault(item);
  if (mistake !== undefined) return mistake;
  const range = parseRange(item.text, 0);
  if (range.kind === 'fault') return within(range, item);
  const { network, length } = splitCidr(range.value);
  if (classifyAddress(network) !== 'v4-mapped') return range;
  const inner = `${network.text.slice('::ffff:'.length)}/${length - 96}`;
  return within(fault(item.text, 'is an IPv4 range in IPv6 form, which no packet carries', `write ${inner}`), item);
}

function parseRange(text: string, at: number): Parsed<Cidr> {
  const result = parseCidr(text);
  if (result.kind === 'ok') return { kind: 'ok', value: result.cidr };
  if (result.kind === 'invalid') return fault(text, 'is neither an address nor a range', `write ${SYNTAX}`, at);
  const { address, range } = result;
  return fault(
    text,
    'has bits behind its prefix',
    `write ${range.text} for the range or ${address.text} for the address`,
    at,
  );
}
