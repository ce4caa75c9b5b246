/** The elements that a mapping must have, written from the description of the table and not from the agent's code. */

import type { Protocol } from '../../daemon/core/vocabulary.ts';
import { type Element, elementId, type SetName } from '../../rules/element.ts';

export interface ExpectedMapping {
  readonly uid: string;
  readonly name: string;
  readonly protocol: Protocol;
  readonly first: number;
  readonly size: number;
  readonly hostIP: string | undefined;
  /** Absent: the host port's own number. */
  readonly containerPort: number | undefined;
  readonly podIPs: readonly string[];
  readonly allowFrom: readonly string[] | undefined;
}

export function expectedElements(mapping: ExpectedMapping): readonly Element[] {
  const { uid, name, first, size, hostIP, containerPort, podIPs, allowFrom } = mapping;
  const protocol = mapping.protocol.toLowerCase();
  const comment = `${uid}/${name}`;
  const found: Element[] = [];
  const add = (set: string, key: readonly (string | number)[], value = '') =>
    found.push({ set: set as SetName, key: key.join(' . '), value, comment });
  const at = hostIP === undefined ? [] : [hostIP];
  const scope = hostIP === undefined ? 'any' : 'host';
  const ofHost = hostIP === undefined ? '' : `host${hostIP.includes(':') ? 6 : 4}`;
  const range = size === 1 ? `${first}` : `${first}-${first + size - 1}`;
  const numbers = Array.from({ length: size }, (_, index) => first + index);
  for (const podIP of podIPs) {
    const family = podIP.includes(':') ? 6 : 4;
    if (hostIP !== undefined && hostIP.includes(':') !== podIP.includes(':')) continue;
    if (size > 1) add(`${scope}block${family}`, [...at, protocol, range], podIP);
    else add(`${scope}${family}`, [...at, protocol, range], `${podIP} . ${containerPort ?? first}`);
    for (const number of numbers) add(`hairpin${family}`, [protocol, number, podIP, podIP]);
    for (const source of allowFrom ?? []) {
      if (source.includes(':') !== podIP.includes(':')) continue;
      add(hostIP === undefined ? `allow${family}` : `allowhost${family}`, [
        ...at,
        protocol,
        range,
        source.replace(/\/(32|128)$/, ''),
      ]);
    }
  }
  if (found.length === 0) return found;
  if (allowFrom !== undefined) for (const number of numbers) add(`limited${ofHost}`, [...at, protocol, number]);
  if (protocol === 'udp') for (const number of numbers) add(`udp${ofHost || 'any'}`, [...at, number]);
  return found;
}

/** Key, value and owner as one text. */
export function textOf(element: Element): string {
  return `${elementId(element)} = ${element.value} (${element.comment})`;
}
