/**
 * What the agents write to the API server: never more than they may (I10), never to a pod what was meant for another (I1), and in
 * the end exactly what the last of them means.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Pod, PodResult } from '../../daemon/core/vocabulary.ts';
import type { AskedBody } from '../../daemon/kube/api/resources.double.ts';
import { mayWrite } from '../../daemon/kube/apipod.ts';
import type { Stage } from './stage.ts';
import { Violation } from './violation.ts';

const BURST = 50;
const PER_MS = 10 / 1_000;
/** Of the sums of many small numbers. */
const ROUNDING = 1e-6;

export class WriteCheck {
  readonly #stage: Stage;
  /** By uid: what the running agent means. */
  readonly #meant = new Map<string, PodResult>();
  /** Every annotation and condition that any agent ever meant for a pod, as `uid key=value`. */
  readonly #everMeant = new Set<string>();
  #allowed = BURST;
  #at = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  starts(): void {
    this.#meant.clear();
    this.#allowed = BURST;
    this.#at = this.#stage.time.now;
  }

  published({ uid }: Pod, result: PodResult): void {
    this.#meant.set(uid, result);
    for (const [key, value] of Object.entries(result.annotations)) this.#everMeant.add(`${uid} ${key}=${value}`);
    this.#everMeant.add(`${uid} ${result.condition?.message}`);
  }

  /** A write leaves the running agent. */
  writing(): void {
    const { now } = this.#stage.time;
    this.#allowed = Math.min(BURST, this.#allowed + (now - this.#at) * PER_MS) - 1;
    this.#at = now;
    if (this.#allowed < -ROUNDING)
      throw new Violation(
        'I10',
        `the agent writes more than ${BURST} times at once and ${PER_MS * 1_000} times a second`,
      );
  }

  /** The pod with this uid was written to. */
  patched(uid: string, { metadata, status }: AskedBody): void {
    for (const { message } of status?.conditions ?? []) {
      if (message === undefined || this.#everMeant.has(`${uid} ${message}`)) continue;
      throw new Violation('I1', `${uid} was told "${message}", which was meant for another`);
    }
    for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
      if (value === null || this.#everMeant.has(`${uid} ${key}=${value}`)) continue;
      throw new Violation('I1', `${uid} was given ${key}=${value}, which was meant for another`);
    }
  }

  /** To be called when everything has had its time. */
  end(): void {
    const { api } = this.#stage;
    for (const pod of api.pods) {
      const meant = this.#meant.get(pod.uid);
      const stands = api.resultOf(pod.uid);
      if (meant === undefined || stands === undefined) continue;
      const annotations = Object.fromEntries(
        Object.entries(meant.annotations).filter(([key]) => mayWrite(key, pod.annotations)),
      );
      for (const [key, value] of Object.entries(annotations)) {
        if (pod.annotations[key] !== value)
          throw new Violation('I9', `${key} of ${pod.uid} is ${pod.annotations[key]}, and the agent means ${value}`);
      }
      for (const key of Object.keys(stands.annotations)) {
        if (!Object.hasOwn(annotations, key))
          throw new Violation('I7', `${key} stands on ${pod.uid}, and nobody means it`);
      }
      if (!isDeepStrictEqual(stands.condition, meant.condition)) {
        const texts = [stands.condition, meant.condition].map((one) => JSON.stringify(one));
        throw new Violation('I2', `the condition of ${pod.uid} is ${texts[0]}, and the agent means ${texts[1]}`);
      }
    }
  }
}
