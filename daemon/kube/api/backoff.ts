/** How long to wait before the next attempt: doubling, jittered so that the agents of a cluster do not come in step, capped. */
import type { Random } from '../../reconcile/ports.ts';

export interface BackoffLimits {
  /** Both in ms. */
  readonly first: number;
  readonly cap: number;
}

/** In ms, between half and all of first · 2^(failures − 1), at most the cap. */
export function backoff({ first, cap }: BackoffLimits, failures: number, random: Random): number {
  return Math.min(cap, first * 2 ** Math.min(failures - 1, 30)) * (0.5 + random() / 2);
}
