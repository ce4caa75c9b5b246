/** The kernel's elements read as rules, and where the kernel sends a packet by them. Written from the skeleton's chains. */

import { containsAddress } from '../../daemon/core/address.ts';
import type { Protocol } from '../../daemon/core/vocabulary.ts';
import type { Element } from '../../rules/element.ts';

/** One element of a map: host port, or block, to pod. */
export interface Rule {
  readonly element: Element;
  readonly uid: string;
  readonly name: string;
  readonly protocol: Protocol;
  readonly family: 4 | 6;
  readonly first: number;
  readonly last: number;
  /** Empty: any address. */
  readonly hostIP: string;
  readonly podIP: string;
  /** Absent in a block: the number stays. */
  readonly podPort: number | undefined;
}

const rules = new WeakMap<Element, Rule | null>();

/** Undefined for an element of another kind. */
export function ruleOf(element: Element): Rule | undefined {
  let rule = rules.get(element);
  if (rule === undefined) {
    rule = readRule(element);
    rules.set(element, rule);
  }
  return rule ?? undefined;
}

export function rulesOf(elements: readonly Element[]): readonly Rule[] {
  const found: Rule[] = [];
  for (const element of elements) {
    const rule = ruleOf(element);
    if (rule !== undefined) found.push(rule);
  }
  return found;
}

function readRule(element: Element): Rule | null {
  const scope = /^(any|host)(block)?([46])$/.exec(element.set);
  if (scope === null) return null;
  const fields = element.key.split(' . ');
  const hostIP = scope[1] === 'host' ? (fields.shift() ?? '') : '';
  const [first = 0, last = first] = (fields[1] ?? '').split('-').map(Number);
  const [podIP = '', podPort] = element.value.split(' . ');
  const [uid = '', name = ''] = element.comment.split('/');
  return {
    element,
    uid,
    name,
    protocol: (fields[0] ?? '').toUpperCase() as Protocol,
    family: scope[3] === '4' ? 4 : 6,
    first,
    last,
    hostIP,
    podIP,
    podPort: podPort === undefined ? undefined : Number(podPort),
  };
}

/** The owner of a rule, and the port that it is for. */
export function ownerOf({ uid, name, protocol }: Pick<Rule, 'uid' | 'name' | 'protocol'>): string {
  return `${uid}/${name}/${protocol}`;
}

export interface Packet {
  readonly protocol: Protocol;
  readonly source: string;
  readonly destination: string;
  readonly port: number;
}

export interface Destination {
  readonly address: string;
  readonly port: number;
  /** Undefined: the packet is not translated. */
  readonly rule: Rule | undefined;
}

/** Chains pre, out, gate and hostports. `isLocal`: the address is one of the node's, as `fib daddr type local` says. */
export function destinationOf(
  packet: Packet,
  elements: readonly Element[],
  isLocal: (address: string) => boolean,
): Destination {
  const { protocol, source, destination, port } = packet;
  const untouched: Destination = { address: destination, port, rule: undefined };
  const family = destination.includes(':') ? 6 : 4;
  const fromNode = isLocal(source);
  const loopback = destination.startsWith('127.');
  if (!isLocal(destination) || (loopback && !fromNode)) return untouched;
  const has = (set: string, key: string) => elements.some((element) => element.set === set && element.key === key);
  if (!loopback && !has(`nodeaddr${family}`, destination)) return untouched;
  const proto = protocol.toLowerCase();
  if (!fromNode) {
    if (has('limited', `${proto} . ${port}`) && !isAllowed(elements, `allow${family}`, '', packet)) return untouched;
    const limitedHere = has(`limitedhost${family}`, `${destination} . ${proto} . ${port}`);
    if (limitedHere && !isAllowed(elements, `allowhost${family}`, destination, packet)) return untouched;
  }
  // In the order of the chain: addresses before any, ports before blocks.
  let best: Rule | undefined;
  let rank = 4;
  for (const element of elements) {
    const rule = ruleOf(element);
    if (rule === undefined || rule.family !== family || rule.protocol !== protocol) continue;
    if (port < rule.first || port > rule.last || (rule.hostIP !== '' && rule.hostIP !== destination)) continue;
    const mine = (rule.podPort === undefined ? 2 : 0) + (rule.hostIP === '' ? 1 : 0);
    if (mine < rank) {
      best = rule;
      rank = mine;
    }
  }
  return best === undefined ? untouched : { address: best.podIP, port: best.podPort ?? port, rule: best };
}

function isAllowed(elements: readonly Element[], set: string, destination: string, packet: Packet): boolean {
  const { protocol, port, source } = packet;
  return elements.some((element) => {
    if (element.set !== set) return false;
    const fields = element.key.split(' . ');
    if (destination !== '' && fields.shift() !== destination) return false;
    const [first = 0, last = first] = (fields[1] ?? '').split('-').map(Number);
    const range = fields[2] ?? '';
    const text = range.includes('/') ? range : `${range}/${range.includes(':') ? 128 : 32}`;
    return (
      fields[0] === protocol.toLowerCase() &&
      first <= port &&
      port <= last &&
      containsAddress({ family: text.includes(':') ? 6 : 4, text }, source)
    );
  });
}
