/**
 * Requests as they come off the wire, checked and turned into the terms of the registry. Everything that breaks a bound is
 * refused with INVALID_ARGUMENT; nothing of a request is trusted before.
 */
import { status } from '@grpc/grpc-js';
import type { berth } from '../../proto/service.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import { protocolOf } from './convert.ts';
import { Refusal } from './refusal.ts';

type WireFilter = Omit<berth.v1.Filter.$Properties, '$unknowns'>;

const MAX_TEXT = 253;
const MAX_PORT = 65_535;
/** Longer than any key can become: 6 parts of at most 253 characters, of which base64 makes 4 for 3. */
const MAX_PAGE_TOKEN = 2_048;
const KEY_PARTS = 6;
const DEFAULT_PAGE_SIZE = 500;
const MAX_PAGE_SIZE = 1_000;

/** The port name is asked for by Get alone. */
export function filterOf(wire: WireFilter & { readonly name?: string | null }): MappingFilter {
  const protocol = protocolCondition(wire.protocol ?? 0);
  const hostPort = wire.hostPort ?? 0;
  if (hostPort > MAX_PORT) throw invalid(`host_port: at most ${MAX_PORT}`);
  return {
    ...textCondition('namespace', wire.namespace),
    ...textCondition('pod', wire.pod),
    ...textCondition('node', wire.node),
    ...textCondition('pool', wire.pool),
    ...textCondition('name', wire.name),
    ...(protocol === undefined ? {} : { protocol }),
    ...(hostPort === 0 ? {} : { hostPort }),
  };
}

export function podFilterOf(wire: Omit<berth.v1.GetRequest.$Properties, '$unknowns'>): MappingFilter {
  const filter = filterOf(wire);
  if (filter.namespace === undefined) throw invalid('namespace: required');
  if (filter.pod === undefined) throw invalid('pod: required');
  return filter;
}

export function pageSizeOf(size: number): number {
  if (size < 0) throw invalid('page_size: at least 0');
  return size === 0 ? DEFAULT_PAGE_SIZE : Math.min(size, MAX_PAGE_SIZE);
}

/** A page token is the key of the last mapping of its page. */
export function pageTokenOf(key: string): string {
  return Buffer.from(key).toString('base64url');
}

export function keyOfPageToken(token: string): string {
  if (token === '') return '';
  const key = token.length > MAX_PAGE_TOKEN ? '' : Buffer.from(token, 'base64url').toString();
  // Any other key is a place in the order as good as any, but no server has made it.
  if (key.split('\0').length !== KEY_PARTS || pageTokenOf(key) !== token) {
    throw invalid('page_token: not the next_page_token of an answer');
  }
  return key;
}

/** A revision token names the process too: the numbers of another one mean nothing here. */
export function revisionToken(instance: string, revision: number): string {
  return `${instance}.${revision}`;
}

/**
 * Undefined when there is no token. Any token that is not of this process is refused with OUT_OF_RANGE, whatever it looks
 * like: an older or newer server may write it otherwise, and the client's remedy is the same.
 */
export function revisionOfToken(token: string, instance: string): number | undefined {
  if (token === '') return undefined;
  if (token.length > MAX_TEXT) throw invalid(`revision: at most ${MAX_TEXT} characters`);
  const dot = token.lastIndexOf('.');
  const digits = token.slice(dot + 1);
  if (token.slice(0, dot) !== instance || !/^[0-9]{1,15}$/.test(digits)) throw outdated();
  return Number(digits);
}

/** The remedy is in the text: the client forgets its revision. */
export function outdated(): Refusal {
  return new Refusal(status.OUT_OF_RANGE, 'revision: too old, or of another process; watch again without a revision');
}

function protocolCondition(value: number) {
  if (value === 0) return undefined;
  const protocol = protocolOf(value);
  if (protocol === undefined) throw invalid('protocol: not a known value');
  return protocol;
}

function textCondition<K extends string>(key: K, text: string | null | undefined): { readonly [P in K]?: string } {
  if (!text) return {};
  if (text.length > MAX_TEXT) throw invalid(`${key}: at most ${MAX_TEXT} characters`);
  // It would reach into the keys of other mappings: the parts of a key are separated by it.
  if (text.includes('\0')) throw invalid(`${key}: holds a NUL character`);
  return { [key]: text } as { readonly [P in K]?: string };
}

function invalid(details: string): Refusal {
  return new Refusal(status.INVALID_ARGUMENT, details);
}
