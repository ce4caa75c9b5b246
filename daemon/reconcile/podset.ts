/**
 * The pods of the node as last heard. Events may be repeated, reordered or lost. A pod is dropped only when it is gone
 * for certain (I6): a deletion event of its uid, a GET by name that answers 404 or another uid, or, where nobody knows its
 * name, a list that is not from a cache.
 */
import { messageOf } from '../core/errors.ts';
import { isNewer } from '../core/podstate.ts';
import { type Pod, type PodRef, podLabel } from '../core/vocabulary.ts';
import type { Clock, PodSource } from './ports.ts';

/** How many GETs run at a time. */
const ASKED_AT_ONCE = 8;

export class PodSet {
  readonly #pods = new Map<string, Pod>();
  /** Whose each name is. */
  readonly #uids = new Map<string, string>();
  /** Pods that only an earlier agent knew, until it is known whether they live. */
  readonly #inherited = new Map<string, PodRef>();
  /** Known pods that may be gone: they were missing from a list, or their name belongs to another uid. */
  readonly #suspects = new Map<string, PodRef>();
  /** The same of pods that only an earlier agent knew, and that nobody knows by name. */
  readonly #nameless = new Set<string>();
  /** Monotonic ms at which the pod was first seen with an address, for the programming latency. */
  readonly #addressedAt = new Map<string, number>();
  readonly #gone: PodRef[] = [];
  readonly #clock: Clock;
  #complete = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A full list has been seen; before that nothing may be taken down. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Something is to be asked for. */
  get doubtful(): boolean {
    return this.#suspects.size > 0 || this.#nameless.size > 0;
  }

  /** The uids of suspects that only an earlier agent saw: what stands for them stays as it is. */
  get unseenSuspects(): ReadonlySet<string> {
    return new Set([...this.#suspects.keys(), ...this.#nameless].filter((uid) => !this.#pods.has(uid)));
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
      if (!listed.has(ref.uid)) this.#suspect(ref);
    }
    for (const pod of pods) this.set(pod);
    this.#complete = true;
  }

  set(pod: Pod): void {
    this.#settle(pod.uid);
    this.#pods.set(pod.uid, pod);
    const name = podLabel(pod);
    const other = this.#pods.get(this.#uids.get(name) ?? pod.uid);
    // There are no two pods of one name at a time: one of them is gone.
    if (other !== undefined && other.uid !== pod.uid) this.#suspect(isNewer(pod, other) ? other : pod);
    if (other === undefined || !isNewer(other, pod)) this.#uids.set(name, pod.uid);
    if (pod.podIPs.length === 0) this.#addressedAt.delete(pod.uid);
    else if (!this.#addressedAt.has(pod.uid)) this.#addressedAt.set(pod.uid, this.#clock.monotonic());
  }

  delete(uid: string): void {
    const ref = this.#pods.get(uid) ?? this.#suspects.get(uid);
    if (ref !== undefined) this.#gone.push(ref);
    if (ref !== undefined && this.#uids.get(podLabel(ref)) === uid) this.#uids.delete(podLabel(ref));
    this.#pods.delete(uid);
    this.#settle(uid);
    this.#addressedAt.delete(uid);
  }

  /** The pods that were dropped since the last call. */
  takeGone(): readonly PodRef[] {
    return this.#gone.splice(0).filter(({ uid }) => !this.#pods.has(uid));
  }

  /**
   * Asks for every suspect, and tells of each answer at once: one that is long in coming holds no other up (I8). Resolves to
   * the errors of those that could not be known: they stay.
   */
  async confirm(source: PodSource, onAnswer: () => void): Promise<readonly Error[]> {
    const errors: Error[] = [];
    const attempt = async (action: () => Promise<void>) => {
      try {
        await action();
        onAnswer();
      } catch (error) {
        errors.push(error instanceof Error ? error : new Error(messageOf(error)));
      }
    };
    const left = [...this.#suspects.values()];
    const ask = async () => {
      for (let one = left.pop(); one !== undefined; one = left.pop()) {
        const suspect = one;
        await attempt(async () => this.#answered(suspect, await source.get(suspect.namespace, suspect.name)));
      }
    };
    await Promise.all([
      ...Array.from({ length: ASKED_AT_ONCE }, ask),
      ...(this.#nameless.size === 0 ? [] : [attempt(() => this.#confirmNameless(source))]),
    ]);
    return errors;
  }

  /** What was heard of the suspect since it was asked for is newer than the answer. */
  #answered(suspect: PodRef, pod: Pod | undefined): void {
    if (this.#suspects.get(suspect.uid) !== suspect) return;
    if (pod?.uid !== suspect.uid) this.delete(suspect.uid);
    if (pod === undefined) return;
    for (const other of [...this.#pods.values()]) {
      if (other.uid !== pod.uid && podLabel(other) === podLabel(pod)) this.delete(other.uid);
    }
    if (pod.uid === suspect.uid || !this.#pods.has(pod.uid)) this.set(pod);
  }

  async #confirmNameless(source: PodSource): Promise<void> {
    const asked = [...this.#nameless];
    const suspects = [...this.#suspects.values()];
    const pods = await source.list?.();
    const listed = new Map(pods?.map((pod) => [pod.uid, pod]));
    for (const uid of asked) {
      const pod = listed.get(uid);
      if (!this.#nameless.has(uid)) continue;
      if (pod === undefined) this.delete(uid);
      else this.set(pod);
    }
    if (pods !== undefined) for (const suspect of suspects) this.#answered(suspect, listed.get(suspect.uid));
  }

  /** Whether the pod lives is known. */
  #settle(uid: string): void {
    this.#inherited.delete(uid);
    this.#suspects.delete(uid);
    this.#nameless.delete(uid);
  }

  /** A new object each time: the answer to an earlier question does not count. */
  #suspect({ namespace, name, uid }: PodRef): void {
    if (name !== '') this.#suspects.set(uid, { namespace, name, uid });
    else if (!this.#pods.has(uid) && !this.#suspects.has(uid)) this.#nameless.add(uid);
  }
}
