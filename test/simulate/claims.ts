/** The claims of a run: their numbers, which never change, and whether the cluster says at the moment that they are bound. */
import type { ClaimStatus, Handover } from '../../daemon/core/claim.ts';
import type { ContainerPort } from '../../daemon/core/vocabulary.ts';
import type { Request } from './asked.ts';
import { CLAIM } from './asked.ts';

/** Where all pods of claims run. */
export const CLAIMS_NAMESPACE = 'games';

export interface SimClaim {
  readonly name: string;
  readonly number: number;
  readonly handover: Handover;
  bound: boolean;
  /** Since when it is bound, or is not, in virtual ms. */
  since: number;
}

const PORTS: readonly ContainerPort[] = [
  { container: 'app', sidecar: false, name: 'web', containerPort: 80, protocol: 'TCP' },
];

export class SimClaims {
  /** Outside of every pool, as they should be. */
  readonly all: readonly SimClaim[] = [
    { name: 'lobby', number: 25_001, handover: 'OnReady', bound: true, since: 0 },
    { name: 'arena', number: 25_002, handover: 'OnReady', bound: false, since: 0 },
    { name: 'vault', number: 25_003, handover: 'OnTerminated', bound: true, since: 0 },
  ];

  named(name: string | undefined): SimClaim | undefined {
    return this.all.find((one) => one.name === name);
  }

  numbered(number: number): SimClaim | undefined {
    return this.all.find((one) => one.number === number);
  }

  /** What the cluster says of a claim. */
  statusOf(namespace: string, name: string): ClaimStatus {
    const claim = namespace === CLAIMS_NAMESPACE ? this.named(name) : undefined;
    if (claim === undefined) return { kind: 'pending', message: 'there is no such HostPortClaim' };
    if (!claim.bound) return { kind: 'pending', message: 'no port is free' };
    return { kind: 'bound', port: claim.number, protocols: ['TCP', 'UDP'], handover: claim.handover };
  }
}

/** A pod with one port, whose number is the claim's. */
export function claimRequest({ name, number }: SimClaim): Request {
  const port = { name: 'web', protocol: 'TCP', unit: 'web', size: 1, containerPort: 80, exact: number } as const;
  return {
    annotations: { 'claim.berth.dev/web': name },
    ports: PORTS,
    asked: { pool: CLAIM, claim: name, ports: [port], berth: true, galaxy: false },
  };
}
