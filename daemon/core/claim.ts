/**
 * Host ports that are known beforehand: a claim is an object of the cluster with one number, which the pods that name it get on
 * whichever node they run. Pure: what is known of a claim, and under which pool its number is listed.
 */
import type { PoolConfig } from './pool.ts';
import type { Protocol } from './vocabulary.ts';

/**
 * Under which all claimed host ports are listed: every number, no quota and no rest, so that the rules of pools hold for them
 * without an exception. No configured pool may have its name.
 */
export const CLAIM_POOL: PoolConfig = {
  name: 'claim',
  ranges: [{ first: 1, last: 65_535 }],
  maxPortsPerPod: Number.POSITIVE_INFINITY,
  quarantineMs: 0,
};

/** When a claim's number moves from one pod of the claim to the next on the same node. */
export type Handover =
  /** When the next one is ready. */
  | 'OnReady'
  /** When the one that has it has ended. */
  | 'OnTerminated';

/** What the cluster says of a claim. */
export type ClaimStatus =
  | {
      readonly kind: 'bound';
      readonly port: number;
      readonly protocols: readonly Protocol[];
      readonly handover: Handover;
    }
  /** It has no number that a pod could have: why, for people. */
  | { readonly kind: 'pending'; readonly message: string };

/** What is known of a claim on this node. */
export type ClaimKnowledge =
  | ClaimStatus
  /** The first answer is waited for. */
  | { readonly kind: 'unasked' }
  /** Nobody answers: why. */
  | { readonly kind: 'unreachable'; readonly message: string }
  /** There is nobody who could be asked. */
  | { readonly kind: 'unsupported' };

/** Names a claim among those of all namespaces. */
export function claimKey(namespace: string, claim: string): string {
  return `${namespace}/${claim}`;
}

/** Both are numbers of the same claim. */
export function sameClaim(
  one: { readonly namespace: string; readonly claim?: string },
  other: { readonly namespace: string; readonly claim?: string },
): boolean {
  return one.claim !== undefined && one.claim === other.claim && one.namespace === other.namespace;
}
