/**
 * One item of `berth.dev/ports`: its syntax alone, without a look at the pod. Pure, total and linear: whatever stands there
 * becomes an item or a fault, and it must never accept a text that could mean something else.
 *
 *   item      = name | number [ "/" protocols ] | name "=" numbers [ "/" protocols ]
 *   numbers   = count | first "-" last | "same"
 *   protocols = protocol *( "+" protocol )        ; tcp, udp, sctp, or in capitals
 */
import { type Fault, fault } from './fault.ts';
import type { Protocol, Target } from './vocabulary.ts';

export type Item =
  /** A port that the pod declares. */
  | { readonly kind: 'name'; readonly name: string }
  /** A container port, declared or not. Without protocols: those of the declaration. */
  | { readonly kind: 'number'; readonly number: number; readonly protocols?: readonly Protocol[] }
  /** Ports under a name that the pod does not declare. */
  | { readonly kind: 'own'; readonly name: string; readonly target: Target; readonly protocols: readonly Protocol[] };

/** How many numbers a block has at most. */
export const MAX_BLOCK = 256;

const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map([
  ['tcp', 'TCP'],
  ['udp', 'UDP'],
  ['sctp', 'SCTP'],
  ['TCP', 'TCP'],
  ['UDP', 'UDP'],
  ['SCTP', 'SCTP'],
]);

const FORMS = 'NUMBER[/PROTO], name=COUNT[/PROTO], name=FIRST-LAST[/PROTO] or name=same[/PROTO]';

/** What an item may look like, for messages. */
export const ITEM_FORMS = `the name of a declared port, ${FORMS}`;

/** IANA_SVC_NAME (RFC 6335 section 5.1), as Kubernetes demands of port names. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(text) && /[a-z]/.test(text);
}

/** A port number in decimal digits, 1 … 65535, without leading zeros; undefined for everything else. */
export function parsePortNumber(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= 65535 ? number : undefined;
}

/** `text` is one item, not empty and without blanks. The fault's `at` is an index into it. */
export function parseItem(text: string): Item | Fault {
  const equals = text.indexOf('=');
  if (equals >= 0) return parseOwn(text, equals);
  const slash = text.indexOf('/');
  const head = slash < 0 ? text : text.slice(0, slash);
  if (/^[0-9]+$/.test(head)) return parseNumber(text, head, slash);
  if (/^[0-9]+-[0-9]+$/.test(head)) return fault(text, 'is a block without a name', 'write name=FIRST-LAST', 0);
  if (!isPortName(head)) return fault(text, 'is no port request', `write ${ITEM_FORMS}`, 0);
  if (slash < 0) return { kind: 'name', name: head };
  return fault(text.slice(slash), 'adds a protocol to a declared port, which has one', `write ${head}`, slash);
}

function parseNumber(text: string, head: string, slash: number): Item | Fault {
  const number = parsePortNumber(head);
  if (number === undefined) return fault(head, 'is not a port number', 'write 1 to 65535 without leading zeros', 0);
  if (slash < 0) return { kind: 'number', number };
  const protocols = parseProtocols(text, slash + 1);
  return protocols.kind === 'fault' ? protocols : { kind: 'number', number, protocols: protocols.list };
}

function parseOwn(text: string, equals: number): Item | Fault {
  const name = text.slice(0, equals);
  if (!isPortName(name)) {
    const rule = 'write 1 to 15 of a-z, 0-9 and -, with a letter, and - only singly and inside';
    return fault(name, 'is not a port name', rule, 0);
  }
  const slash = text.indexOf('/', equals);
  const target = parseTarget(slash < 0 ? text.slice(equals + 1) : text.slice(equals + 1, slash), equals + 1);
  if (target.kind === 'fault') return target;
  if (slash < 0) return { kind: 'own', name, target, protocols: ['TCP'] };
  const protocols = parseProtocols(text, slash + 1);
  return protocols.kind === 'fault' ? protocols : { kind: 'own', name, target, protocols: protocols.list };
}

function parseTarget(text: string, at: number): Target | Fault {
  if (text === 'same') return { kind: 'same' };
  if (/^[0-9]+-[0-9]+$/.test(text)) return parseNumbers(text, at);
  if (!/^[0-9]+$/.test(text)) {
    return fault(text, 'does not say which ports', 'write a count, FIRST-LAST, or same', at);
  }
  const size = parsePortNumber(text);
  if (size !== undefined && size <= MAX_BLOCK) return { kind: 'block', size };
  return fault(text, 'is not the size of a block', `write a count from 1 to ${MAX_BLOCK}, or FIRST-LAST`, at);
}

function parseNumbers(text: string, at: number): Target | Fault {
  const dash = text.indexOf('-');
  const first = parsePortNumber(text.slice(0, dash));
  const last = parsePortNumber(text.slice(dash + 1));
  if (first === undefined || last === undefined) {
    return fault(text, 'is not a range of port numbers', 'write two numbers from 1 to 65535 without leading zeros', at);
  }
  if (first > last) return fault(text, 'runs backwards', `write ${last}-${first}`, at);
  const size = last - first + 1;
  if (size <= MAX_BLOCK) return { kind: 'numbers', first, last };
  return fault(text, `are ${size} ports`, `a block has at most ${MAX_BLOCK}: write several`, at);
}

interface Protocols {
  readonly kind: 'protocols';
  readonly list: readonly Protocol[];
}

function parseProtocols(text: string, start: number): Protocols | Fault {
  const list: Protocol[] = [];
  let at = start;
  for (const word of text.slice(start).split('+')) {
    const protocol = PROTOCOLS.get(word);
    if (protocol === undefined) return fault(word, 'is no protocol', 'write tcp, udp or sctp, joined by +', at);
    if (list.includes(protocol)) return fault(word, 'stands there twice', 'write each protocol once', at);
    list.push(protocol);
    at += word.length + 1;
  }
  return { kind: 'protocols', list };
}
