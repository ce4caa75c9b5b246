/**
 * The values that options are made of, parsed from their text. Each parser throws CONFIG_INVALID with what is wrong and
 * what would be right; the caller adds where it stood.
 */
import { isAbsolute } from 'node:path';
import { classifyAddress, parseAddress, parseCidr } from '../core/address.ts';
import { BerthError } from '../core/errors.ts';
import type { PortRange } from '../core/pool.ts';
import { quoted } from '../core/text.ts';
import type { Cidr } from '../core/vocabulary.ts';
import { amongWords } from './optiontable.ts';

export function invalid(message: string, cause?: unknown): BerthError {
  return new BerthError('CONFIG_INVALID', message, cause === undefined ? undefined : { cause });
}

/** A mapping of YAML or JSON. */
export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A whole number in decimal digits, `min` and `max` included. */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw invalid(`${quoted(text)} is not a whole number from ${min} to ${max}`);
  };
}

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `500ms`, `60s`, `1m30s`, `2h`, to ms; a number without a unit is refused. `min` and `max` as durations, included. */
export function duration(min: string, max: string): (text: string) => number {
  return (text) => {
    const value = milliseconds(text);
    if (value >= milliseconds(min) && value <= milliseconds(max)) return value;
    throw invalid(`${quoted(text)} is not a duration from ${min} to ${max}, such as 500ms, 60s or 1m30s`);
  };
}

/** NaN for what is not a duration, so that no comparison with it holds. */
function milliseconds(text: string): number {
  if (!/^(\d{1,9}(ms|s|m|h))+$/.test(text)) return Number.NaN;
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g))
    sum += Number(count) * UNITS[unit as keyof typeof UNITS];
  return sum;
}

export function oneOf<const T extends string>(words: readonly T[]): (text: string) => T {
  return amongWords(words, (text) => {
    const word = words.find((one) => one === text);
    if (word !== undefined) return word;
    throw invalid(`${quoted(text)} is none of ${words.join(', ')}`);
  });
}

export function truth(text: string): boolean {
  return oneOf(['true', 'false'])(text) === 'true';
}

/** An absolute path of at most `maxBytes` bytes. */
export function absolutePath(maxBytes = 4095): (text: string) => string {
  return (text) => {
    if (!isAbsolute(text)) throw invalid(`${quoted(text)} is not an absolute path: write one that begins with /`);
    if (text.includes('\0')) throw invalid(`${quoted(text)} holds a NUL byte`);
    if (Buffer.byteLength(text) <= maxBytes) return text;
    throw invalid(`${quoted(text)} is longer than ${maxBytes} bytes`);
  };
}

/** `7000-7999` or `7000`; port numbers from 1 to 65535. */
export function portRange(text: string): PortRange {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text.trim()) ?? [];
  const range = { first: Number(first), last: Number(last) };
  if (range.first >= 1 && range.last <= 65_535 && range.first <= range.last) return range;
  throw invalid(`${quoted(text)} is not a range of ports: write FIRST-LAST or one number, from 1 to 65535`);
}

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:9465` or `[::]:9465`. Port 0 lets the kernel choose. */
export function socketAddress(text: string): SocketAddress & { readonly loopback: boolean } {
  const [, v6, v4, digits = ''] = /^(?:\[([^\]]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = parseAddress(v6 ?? v4 ?? '');
  const port = Number(digits);
  if (address === undefined || port > 65_535) {
    throw invalid(`${quoted(text)} is not ADDRESS:PORT, such as 127.0.0.1:9464 or [::1]:9464`);
  }
  return { host: address.text, port, loopback: classifyAddress(address) === 'loopback' };
}

export interface Target extends SocketAddress {
  /** It is an IP address, and no name. */
  readonly literal: boolean;
}

const MAX_TARGETS = 16;

/** Each `HOST:PORT`, with or without gRPC's `dns:///` in front of it. */
export function reportTargets(items: readonly string[]): readonly Target[] {
  if (items.length > MAX_TARGETS) throw invalid(`there are ${items.length} of them: at most ${MAX_TARGETS}`);
  return items.map((item) => {
    const [, v6, name, digits = ''] = /^(?:dns:\/\/\/)?(?:\[([^\]]+)\]|([^:/[\]]+)):(\d{1,5})$/.exec(item) ?? [];
    const host = v6 ?? name ?? '';
    const port = Number(digits);
    const address = parseAddress(host);
    const named = v6 === undefined && /^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$/.test(host) && /[A-Za-z]/.test(host);
    if ((address === undefined && !named) || port < 1 || port > 65_535) {
      throw invalid(
        `${quoted(item)} is not HOST:PORT, such as dns:///berth-aggregator.berth.svc:9465, 192.0.2.1:9465 or [2001:db8::1]:9465`,
      );
    }
    return { host: address?.text ?? host, port, literal: address !== undefined };
  });
}

const MAX_NAMES = 64;

/** DNS names, one `*.` in front allowed, and IP addresses: what a certificate is made for. */
export function serverNames(items: readonly string[]): readonly string[] {
  if (items.length > MAX_NAMES) throw invalid(`there are ${items.length} of them: at most ${MAX_NAMES}`);
  return items.map((item) => {
    const address = parseAddress(item);
    return address?.text ?? serverName(item);
  });
}

export function serverName(text: string): string {
  const name = text.toLowerCase();
  if (name.length <= 253 && /^(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name))
    return name;
  throw invalid(`${quoted(text)} is neither a DNS name nor an IP address`);
}

/** Ranges of addresses; a bare address is a range of one. */
export function cidrs(items: readonly string[]): readonly Cidr[] {
  return items.map((item) => {
    const result = parseCidr(item);
    if (result.kind === 'ok') return result.cidr;
    if (result.kind === 'invalid')
      throw invalid(`${quoted(item)} is neither an IP address nor a range such as 192.0.2.0/24`);
    const { address, range } = result;
    throw invalid(
      `${quoted(item)} has bits set behind its prefix: write ${range.text} for the range or ${address.text} for the address`,
    );
  });
}

/** A label of DNS (RFC 1123): the names of pools and namespaces. */
export function dnsLabel(text: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw invalid(
    `${quoted(text)} is not a DNS label: at most 63 of a-z, 0-9 and -, with a letter or digit at both ends`,
  );
}

/** A DNS subdomain (RFC 1123): the name of a node. */
export function nodeName(text: string): string {
  if (text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text)) return text;
  throw invalid(
    `${quoted(text)} is not the name of a node: at most 253 of a-z, 0-9, - and ., as kubectl get nodes prints it`,
  );
}

const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** Labels of a node, checked as Kubernetes checks them. */
export function labels(pairs: Iterable<readonly [string, unknown]>): Readonly<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const [key, value] of pairs) {
    if (!LABEL_KEY.test(key)) throw invalid(`${quoted(key)} is not the key of a label`);
    if (typeof value !== 'string')
      throw invalid(`the label ${key} has no text as its value: write it in quotes, ${key}: "${value}"`);
    if (!LABEL_VALUE.test(value)) throw invalid(`${quoted(value)} is not the value of a label (${key})`);
    if (Object.hasOwn(result, key)) throw invalid(`the label ${key} is given twice`);
    result[key] = value;
  }
  return result;
}

/** `zone=a,disk=ssd`, already split at the commas. */
export function labelList(items: readonly string[]): Readonly<Record<string, string>> {
  return labels(
    items.map((item) => {
      const at = item.indexOf('=');
      if (at < 0) throw invalid(`${quoted(item)} is not KEY=VALUE`);
      return [item.slice(0, at), item.slice(at + 1)] as const;
    }),
  );
}

/** Labels as a mapping of YAML. */
export function labelMap(value: unknown): Readonly<Record<string, string>> {
  if (isMapping(value)) return labels(Object.entries(value));
  throw invalid('it must hold labels, such as disk: ssd');
}
