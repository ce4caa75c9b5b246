/**
 * What must never be, looked for by the agent itself at the end of a full pass. Pure. A finding is a bug of Berth's: nothing that
 * other programs do can bring it about, as the table was read and put right in the same pass.
 */
import type { Element } from '../../rules/element.ts';
import { type Mapping, podLabel } from '../core/vocabulary.ts';
import { allStand } from './plan.ts';

/** The invariants that are looked at. */
export const WATCHED = ['I1', 'I2'] as const;

export interface Finding {
  readonly invariant: (typeof WATCHED)[number];
  readonly detail: string;
}

/** `announced`: every live mapping; `installed`: what stands in the table, by elementId. */
export function brokenInvariants(
  announced: Iterable<Mapping>,
  installed: ReadonlyMap<string, Element>,
): readonly Finding[] {
  const findings: Finding[] = [];
  const holders = new Map<string, Mapping[]>();
  for (const mapping of announced) {
    const { protocol, hostPort, size } = mapping;
    for (let port = hostPort; port < hostPort + size; port++) {
      const key = `${protocol}/${port}`;
      const others = holders.get(key) ?? [];
      holders.set(key, [...others, mapping]);
      const other = others.find((one) => overlaps(one, mapping));
      if (other === undefined) continue;
      findings.push({ invariant: 'I1', detail: `${key} leads to ${label(other)} and to ${label(mapping)}` });
    }
    if (!allStand(mapping, installed))
      findings.push({ invariant: 'I2', detail: `${label(mapping)} is announced and its rule does not stand` });
  }
  return findings;
}

/** Any address overlaps with every address. */
function overlaps(one: Mapping, other: Mapping): boolean {
  return one.hostIP === undefined || other.hostIP === undefined || one.hostIP === other.hostIP;
}

function label({ pod, name, protocol, hostPort }: Mapping): string {
  return `pod ${podLabel(pod)} (port "${name}" at ${hostPort}/${protocol})`;
}
