/**
 * Mappings, the node's addresses and its bridges as elements of the table's sets. Pure and total: a mapping that could
 * not be written down exactly gives no element at all, and nothing of its text ever reaches nftables.
 */
import { classifyAddress, parseAddress, splitCidr } from '../daemon/core/address.ts';
import type { Cidr, Family, Mapping, NodeAddress } from '../daemon/core/vocabulary.ts';
import type { Element, SetName } from './element.ts';
import { isComment, isDevice, SEPARATOR } from './layout.ts';

/**
 * The elements of one mapping. No two mappings share an element, and every element carries the comment
 * `<pod uid>/<port name>`, so that each can be taken away by itself. Empty while the pod has no address of the family
 * that is meant.
 */
export function elementsOf(mapping: Mapping): Element[] {
  if (!isExact(mapping)) return [];
  const pods = mapping.podIPs.map((ip) => parseAddress(ip)).filter((pod) => pod !== undefined);
  const host = mapping.hostIP === undefined ? undefined : parseAddress(mapping.hostIP);
  const elements: Element[] = [];
  const comment = commentOf(mapping);
  const add = (set: SetName, key: readonly string[], value: readonly string[] = []) =>
    elements.push({ set, key: key.join(SEPARATOR), value: value.join(SEPARATOR), comment });

  const protocol = mapping.protocol.toLowerCase();
  const numbers = Array.from({ length: mapping.size }, (_, index) => String(mapping.hostPort + index));
  const ports = mapping.size === 1 ? `${mapping.hostPort}` : `${mapping.hostPort}-${lastPort(mapping)}`;
  const at = host === undefined ? [] : [host.text];
  const scope = host === undefined ? 'any' : 'host';
  const limited = host === undefined ? 'limited' : (`limitedhost${host.family}` as const);
  const allow = host === undefined ? 'allow' : 'allowhost';
  const udp = host === undefined ? 'udpany' : (`udphost${host.family}` as const);

  for (const { family, text: pod } of pods) {
    if (host !== undefined && host.family !== family) continue;
    if (mapping.size > 1) add(`${scope}block${family}`, [...at, protocol, ports], [pod]);
    else add(`${scope}${family}`, [...at, protocol, ports], [pod, String(mapping.containerPort)]);
    for (const number of numbers) add(`hairpin${family}`, [protocol, number, pod, pod]);
    for (const cidr of mapping.allowFrom ?? []) {
      if (cidr.family === family) add(`${allow}${family}`, [...at, protocol, ports, sourceText(cidr)]);
    }
  }
  if (elements.length === 0) return elements;
  if (mapping.allowFrom !== undefined) for (const number of numbers) add(limited, [...at, protocol, number]);
  if (mapping.protocol === 'UDP') for (const number of numbers) add(udp, [...at, number]);
  return elements;
}

/** The mapping can be written down exactly: the grammar, the pool and the API server promise it, nftables relies on it. */
function isExact(mapping: Mapping): boolean {
  const { hostPort, containerPort, size, hostIP, podIPs } = mapping;
  const families = podIPs.map(canonicalFamily);
  return (
    isComment(commentOf(mapping)) &&
    [hostPort, lastPort(mapping), containerPort].every(isPort) &&
    Number.isInteger(size) &&
    size >= 1 &&
    // A block keeps its numbers: its map holds no port.
    (size === 1 || containerPort === hostPort) &&
    (hostIP === undefined || canonicalFamily(hostIP) !== undefined) &&
    !families.includes(undefined) &&
    new Set(families).size === families.length
  );
}

/** Who an element belongs to, as its comment says it. */
export function commentOf(mapping: Pick<Mapping, 'pod' | 'name'>): string {
  return `${mapping.pod.uid}/${mapping.name}`;
}

function lastPort(mapping: Mapping): number {
  return mapping.hostPort + mapping.size - 1;
}

function isPort(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= 65_535;
}

function canonicalFamily(text: string): Family | undefined {
  const address = parseAddress(text);
  return address?.text === text ? address.family : undefined;
}

/** A range of one address is written as the address: so the kernel gives it back. */
function sourceText(cidr: Cidr): string {
  const { network, length } = splitCidr(cidr);
  return length === 8 * network.bytes.length ? network.text : cidr.text;
}

/**
 * The node's addresses at which mappings are served. Left out are those that need no element (127.0.0.0/8 stands in the
 * rules) and those that cannot work: `::1` (the kernel routes it nowhere else, so it is refused at once) and IPv6
 * link-local ones (a packet from such a source is never forwarded, RFC 4291 section 2.5.6).
 */
export function nodeElements(addresses: readonly NodeAddress[]): Element[] {
  const elements = new Map<string, Element>();
  for (const { address } of addresses) {
    const parsed = parseAddress(address);
    if (parsed === undefined) continue;
    const scope = classifyAddress(parsed);
    if (scope === 'loopback' || (scope === 'link-local' && parsed.family === 6)) continue;
    elements.set(parsed.text, { set: `nodeaddr${parsed.family}`, key: parsed.text, value: '', comment: '' });
  }
  return [...elements.values()];
}

/** Bridges with pods behind them: what comes in and goes out of the same one is neighbour to neighbour. */
export function sameDeviceElements(devices: readonly string[]): Element[] {
  return [...new Set(devices)]
    .filter(isDevice)
    .map((device) => ({ set: 'samedev', key: [device, device].join(SEPARATOR), value: '', comment: '' }));
}
