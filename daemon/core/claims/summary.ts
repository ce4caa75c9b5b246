/** What of claims and classes is counted. Pure. */
import { overlapsOf } from './classsteps.ts';
import { countOf, membership, numberOfName } from './numbers.ts';
import type { ClaimStatus, HostPortStatus } from './objects.ts';
import type { ClaimView } from './view.ts';

export interface ClassSummary {
  readonly name: string;
  /** Numbers in its pools. */
  readonly ports: number;
  /** Those that the next claims can get. */
  readonly free: number;
  /** Agents give some of its numbers to other pods. */
  readonly overlapping: boolean;
}

export interface ClaimSummary {
  readonly phases: Readonly<Record<NonNullable<ClaimStatus['phase']>, number>>;
  /** HostPorts by phase. */
  readonly hostPorts: Readonly<Record<NonNullable<HostPortStatus['phase']>, number>>;
  readonly classes: readonly ClassSummary[];
}

export function summaryOf({ claims, classes, hostPorts, nodePools }: ClaimView): ClaimSummary {
  const phases = { Pending: 0, Bound: 0, Deleting: 0 };
  for (const { status } of claims) phases[status.phase ?? 'Pending']++;
  const ofHostPorts = { Available: 0, Allocated: 0, Released: 0, Deleting: 0 };
  for (const { status } of hostPorts) if (status.phase !== undefined) ofHostPorts[status.phase]++;
  const taken = hostPorts.flatMap(({ meta, className, claimRef }) => {
    const number = numberOfName(meta.name);
    const freeFor = claimRef === undefined && !meta.deleting ? className : undefined;
    return number === undefined ? [] : { number, freeFor };
  });
  return {
    phases,
    hostPorts: ofHostPorts,
    classes: classes.map((found) => {
      const { name } = found.meta;
      const ports = countOf(found.pools);
      const holds = membership(found);
      const used = taken.filter(({ number, freeFor }) => freeFor !== name && holds(number)).length;
      return { name, ports, free: ports - used, overlapping: overlapsOf(found, nodePools ?? []).length > 0 };
    }),
  };
}
