/**
 * From elements that stand in the kernel back to who had which number: what an agent without memory goes by. Pure; it
 * believes only what Berth itself could have written, everything else is as if it were not there.
 */
import type { Protocol } from '../daemon/core/vocabulary.ts';
import type { Element } from './element.ts';
import { isComment, keyParts, MalformedElement, SEPARATOR, valueParts } from './layout.ts';

/** A mapping as far as the kernel remembers it. */
export interface Adopted {
  readonly uid: string;
  readonly name: string;
  readonly protocol: Protocol;
  readonly hostPort: number;
  readonly size: number;
  /** Absent: any address. */
  readonly hostIP?: string;
  readonly containerPort: number;
  /** At most one a family, IPv4 first. */
  readonly podIPs: readonly string[];
}

const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map([
  ['tcp', 'TCP'],
  ['udp', 'UDP'],
  ['sctp', 'SCTP'],
]);
const MAP = /^(any|host)(block)?[46]$/;

/** Undefined for an element that is no mapping (another set, or nothing that Berth could have written). */
export function mappingOfElement(element: Element): Adopted | undefined {
  const scope = MAP.exec(element.set);
  if (scope === null || !isComment(element.comment) || !isReadable(element)) return undefined;
  const fields = element.key.split(SEPARATOR);
  const hostIP = scope[1] === 'host' ? fields.shift() : undefined;
  const protocol = PROTOCOLS.get(fields[0] ?? '');
  const [first = 0, last = first] = (fields[1] ?? '').split('-').map(Number);
  const [podIP = '', port = String(first)] = element.value.split(SEPARATOR);
  if (protocol === undefined || first === 0) return undefined;
  const [uid = '', name = ''] = element.comment.split('/');
  return {
    uid,
    name,
    protocol,
    hostPort: first,
    size: last - first + 1,
    ...(hostIP === undefined ? {} : { hostIP }),
    containerPort: Number(port),
    podIPs: [podIP],
  };
}

/** One entry for the two families of a dual-stack pod. */
export function adopt(elements: readonly Element[]): Adopted[] {
  const found = new Map<string, Adopted>();
  for (const element of elements) {
    const one = mappingOfElement(element);
    if (one === undefined) continue;
    const { uid, name, protocol, hostPort, size, hostIP = '', containerPort } = one;
    const key = [uid, name, protocol, hostPort, size, hostIP, containerPort].join(' ');
    const other = found.get(key);
    found.set(key, other === undefined ? one : { ...one, podIPs: [...other.podIPs, ...one.podIPs].sort(ipv4First) });
  }
  return [...found.values()];
}

function ipv4First(one: string, other: string): number {
  return Number(one.includes(':')) - Number(other.includes(':'));
}

function isReadable(element: Element): boolean {
  try {
    return keyParts(element).length > 0 && valueParts(element).length > 0;
  } catch (error) {
    if (error instanceof MalformedElement) return false;
    throw error;
  }
}
