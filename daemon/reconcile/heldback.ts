/**
 * Pods whose rules the kernel refused when they were to have the number of a claim: for a while they take it from nobody, and whoever
 * has it keeps it (I8). Pure memory; whose turn comes is decided elsewhere.
 */
import { CLAIM_POOL } from '../core/claim.ts';
import type { Mapping, Problem } from '../core/vocabulary.ts';
import { elementsOnce } from './plan.ts';
import { type PodStanding, withRefusal } from './standing.ts';

/** For so long, doubling, in ms. */
const WAIT_MS = { first: 1_000, cap: 60_000 } as const;

interface Held {
  readonly problem: Problem;
  readonly wait: number;
  readonly until: number;
}

export class HeldBack {
  /** By uid. */
  readonly #pods = new Map<string, Held>();

  has(uid: string, now: number): boolean {
    return (this.#pods.get(uid)?.until ?? now) > now;
  }

  /** When the first of them may try again; undefined: none waits. */
  retryAt(now: number): number | undefined {
    let earliest: number | undefined;
    for (const { until } of this.#pods.values()) if (until > now) earliest = Math.min(until, earliest ?? until);
    return earliest;
  }

  /** After rules were installed, as far as the kernel took them. True when a pod is held back that was not. */
  note(standings: readonly PodStanding[], refusal: (mapping: Mapping) => Error | undefined, now: number): boolean {
    if (this.#pods.size > 0) {
      const uids = new Set(standings.map(({ pod }) => pod.uid));
      for (const uid of this.#pods.keys()) if (!uids.has(uid)) this.#pods.delete(uid);
    }
    let news = false;
    for (const standing of standings) if (this.#noteOne(standing, refusal, now)) news = true;
    return news;
  }

  /** What it is told while another pod has the number. */
  told(standing: PodStanding): PodStanding {
    const held = this.#pods.get(standing.pod.uid);
    return held === undefined || standing.problem !== undefined ? standing : { ...standing, problem: held.problem };
  }

  #noteOne(standing: PodStanding, refusal: (mapping: Mapping) => Error | undefined, now: number): boolean {
    const { pod, promised, turn } = standing;
    const led = promised.filter((mapping) => mapping.pool === CLAIM_POOL.name && elementsOnce(mapping).length > 0);
    if (led.length === 0 && !this.#pods.has(pod.uid)) return false;
    // Whatever else is wrong with the pod is told anew each time.
    const { problem } = withRefusal({ ...standing, problem: undefined, promised: led }, refusal);
    if (problem !== undefined) {
      const before = this.#pods.get(pod.uid);
      if (before !== undefined && before.until > now) return false;
      const wait = before === undefined ? WAIT_MS.first : Math.min(before.wait * 2, WAIT_MS.cap);
      this.#pods.set(pod.uid, { problem, wait, until: now + wait });
      return true;
    }
    if (led.length > 0 || turn?.reason === 'HandedOver' || pod.ready !== true) this.#pods.delete(pod.uid);
    return false;
  }
}
