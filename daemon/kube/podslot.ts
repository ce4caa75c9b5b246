/**
 * One life of one pod as the publisher sees it: what is wanted, what stands, and what keeps the one from becoming the other.
 *
 *     publish --> queued --> running --written--> idle, or queued again when there is more
 *        |          ^           |
 *        |          +- waiting <-failed, forbidden, or undone by somebody else
 *        |          |
 *        +-> holding, while another result follows at once
 */
import { isDeepStrictEqual } from 'node:util';
import type { Pod, PodRef, PodResult } from '../core/vocabulary.ts';
import { newer, type Standing, standingOf } from './apipod.ts';
import { nextPatch, type Part, type Patch, type Transition, transitionOf } from './podpatch.ts';

/** After so many ms without one, undoing what the agent wrote is new again. */
const QUARREL_ENDS_MS = 120_000;

export class PodSlot {
  readonly pod: PodRef;
  state: 'idle' | 'holding' | 'queued' | 'running' | 'waiting' = 'idle';
  failures = 0;
  cancel: () => void = () => {};
  cancelPardon: () => void = () => {};
  readonly #refused = new Set<Part>();
  #refusedTogether = false;
  #stands: Standing;
  #wanted: PodResult;
  #transition: Transition | undefined;
  /** Everything that is wanted, and accepted, has stood there. */
  #settled = false;
  #quarrels = 0;
  #quarrelAt = Number.NEGATIVE_INFINITY;

  constructor(pod: Pod, wanted: PodResult) {
    this.pod = { namespace: pod.namespace, name: pod.name, uid: pod.uid };
    this.#stands = standingOf(pod);
    this.#wanted = wanted;
  }

  /** Leaves no timer behind. */
  end(): void {
    this.cancel();
    this.cancelPardon();
  }

  /** What was seen of the pod: in a watch, or in the reply to a patch. One that is older than what is known says nothing. */
  see(stands: Standing): void {
    this.#stands = newer(this.#stands, stands);
  }

  want(wanted: PodResult): void {
    if (isDeepStrictEqual(this.#wanted, wanted)) return;
    this.#wanted = wanted;
    this.#settled = false;
    this.pardon();
  }

  /** What is to be written now. `now` in ms since the epoch. */
  next(now: number): Patch | undefined {
    this.#transition = transitionOf(this.#stands, this.#wanted, this.#transition, now);
    const refusals = { parts: this.#refused, together: this.#refusedTogether };
    const patch = nextPatch(this.pod, this.#stands, this.#wanted, this.#transition, refusals);
    if (patch === undefined) this.#settled = true;
    return patch;
  }

  /** The same again would be refused again. Returns false while each part is still to be tried alone. */
  refuse({ parts: [part, more] }: Patch): boolean {
    if (more !== undefined) this.#refusedTogether = true;
    else if (part !== undefined) this.#refused.add(part);
    return more === undefined;
  }

  /** What was refused may be accepted now. */
  pardon(): void {
    this.#refused.clear();
    this.#refusedTogether = false;
  }

  /** A part of it, at least, was refused. */
  get curtailed(): boolean {
    return this.#refusedTogether || this.#refused.size > 0;
  }

  /** What has stood there was undone, or the API server did not keep what it took. Returns how often in a row. */
  quarrel(monotonic: number): number {
    if (monotonic - this.#quarrelAt > QUARREL_ENDS_MS) this.#quarrels = 0;
    this.#quarrelAt = monotonic;
    return ++this.#quarrels;
  }

  /** What is wanted is soon something else, and takes nothing back: it is not worth a write of its own. */
  get passing(): boolean {
    return this.#wanted.passing === true && this.#stands.condition?.status !== 'True';
  }

  /** What is wanted has stood there, as far as it is accepted: what differs now was changed by somebody else. */
  get settled(): boolean {
    return this.#settled;
  }
}
