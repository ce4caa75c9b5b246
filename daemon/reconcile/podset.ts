/**
 * The pods of the node as last heard. Events may be repeated, reordered or lost. A pod is dropped only when it is gone
 * for certain (I6): a deletion event of its uid, a GET by name that answers 404 or another uid, or, where nobody knows its
 * name, a list that is not from a cache.
 */
import { isActive, isNewer, optsIn } from '../core/podstate.ts';
import { type Pod, type PodRef, podLabel } from '../core/vocabulary.ts';
import type { Clock, PodSource } from './ports.ts';
import { Suspects } from './suspects.ts';

/** How long a pod waits to hear whether its predecessor is gone, in ms. */
const HEIR_MS = 1_000;

export class PodSet {
  readonly #pods = new Map<string, Pod>();
  /** Whose each name is. */
  readonly #uids = new Map<string, string>();
  /** Pods that only an earlier agent knew, until it is known whether they live. */
  readonly #inherited = new Map<string, PodRef>();
  /** Known pods that may be gone: they were missing from a list, or their name belongs to another uid. */
  readonly #suspects: Suspects;
  /** Monotonic ms at which the pod was first seen with an address, for the programming latency. */
  readonly #addressedAt = new Map<string, number>();
  readonly #gone: PodRef[] = [];
  readonly #clock: Clock;
  #complete = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#suspects = new Suspects(clock);
  }

  /** A full list has been seen; before that nothing may be taken down. */
  get complete(): boolean {
    return this.#complete;
  }

  /** The uids of suspects that only an earlier agent saw: what stands for them stays as it is. */
  get unseenSuspects(): ReadonlySet<string> {
    return new Set([...this.#suspects.uids()].filter((uid) => !this.#pods.has(uid)));
  }

  values(): Iterable<Pod> {
    return this.#pods.values();
  }

  get(uid: string): Pod | undefined {
    return this.#pods.get(uid);
  }

  addressedAt(uid: string): number | undefined {
    return this.#addressedAt.get(uid);
  }

  /** Pods that an earlier agent knew, with an empty name where nobody knows it; they too are gone only when it is certain. */
  inherit(known: Iterable<PodRef>): void {
    for (const ref of known) this.#inherited.set(ref.uid, ref);
  }

  list(pods: readonly Pod[]): void {
    const listed = new Set(pods.map((pod) => pod.uid));
    for (const ref of [...this.#pods.values(), ...this.#inherited.values()]) {
      if (!listed.has(ref.uid)) this.#suspects.add(ref);
    }
    for (const pod of pods) this.set(pod);
    this.#complete = true;
  }

  set(pod: Pod): void {
    // It had a number, and so an address: this is how it was before that, as a watch cache tells that is behind.
    if (this.#inherited.has(pod.uid) && isBare(pod)) this.#suspects.add(pod);
    else this.#take(pod);
  }

  delete(uid: string): void {
    const ref = this.#pods.get(uid) ?? this.#inherited.get(uid);
    const name = ref === undefined ? '' : podLabel(ref);
    if (ref !== undefined) this.#gone.push(ref);
    if (this.#uids.get(name) === uid) this.#uids.delete(name);
    this.#settle(uid, name);
    this.#pods.delete(uid);
    this.#addressedAt.delete(uid);
  }

  /** The pods that were dropped since the last call. */
  takeGone(): readonly PodRef[] {
    return this.#gone.splice(0).filter(({ uid }) => !this.#pods.has(uid));
  }

  /**
   * Until when (monotonic ms) this pod waits for its number: an earlier pod of its name may be gone, and whether the number of that
   * one can be had is about to be known (I7). Undefined: it need not wait.
   */
  waits(pod: PodRef): number | undefined {
    const since = this.#suspects.since(pod.namespace, pod.name, pod.uid);
    if (since === undefined || this.#clock.monotonic() >= since + HEIR_MS) return undefined;
    return since + HEIR_MS;
  }

  /** Asks for the suspects that nobody asks for yet. `onAnswer` is called after each answer. */
  ask(source: PodSource, onAnswer: () => void, onFailure: (error: Error) => void): void {
    this.#suspects.ask(source, {
      answered: (suspect, pod) => {
        this.#conclude(suspect, pod);
        onAnswer();
      },
      failed: onFailure,
    });
  }

  /** Nothing is asked any more. */
  stop(): void {
    this.#suspects.stop();
  }

  #take(pod: Pod): void {
    const name = podLabel(pod);
    this.#settle(pod.uid, name);
    this.#pods.set(pod.uid, pod);
    const other = this.#pods.get(this.#uids.get(name) ?? pod.uid);
    // There are no two pods of one name at a time: one of them is gone.
    if (other !== undefined && other.uid !== pod.uid) this.#suspects.add(isNewer(pod, other) ? other : pod);
    if (other === undefined || !isNewer(other, pod)) this.#uids.set(name, pod.uid);
    if (pod.podIPs.length === 0) this.#addressedAt.delete(pod.uid);
    else if (!this.#addressedAt.has(pod.uid)) this.#addressedAt.set(pod.uid, this.#clock.monotonic());
  }

  #conclude(suspect: PodRef, pod: Pod | undefined): void {
    if (pod?.uid !== suspect.uid) this.delete(suspect.uid);
    this.#inherited.delete(suspect.uid);
    // Whoever else has that name is gone too, also who was never seen.
    for (const other of [...this.#pods.values(), ...this.#inherited.values()]) {
      const isNamesake = other.name !== '' && podLabel(other) === podLabel(suspect);
      if (isNamesake && other.uid !== pod?.uid) this.delete(other.uid);
    }
    if (pod !== undefined && (pod.uid === suspect.uid || !this.#pods.has(pod.uid))) this.set(pod);
  }

  #settle(uid: string, name: string): void {
    this.#inherited.delete(uid);
    this.#suspects.settle(uid);
    this.#suspects.heard(name);
  }
}

/** It lives, and there is nothing to be mapped. */
function isBare(pod: Pod): boolean {
  const asks = optsIn(pod) || pod.ports.some(({ hostPort }) => hostPort !== undefined);
  return isActive(pod) && (pod.podIPs.length === 0 || !asks);
}
