/**
 * A publisher in memory that remembers what stands on each pod, with the faults of an API: a write is lost, takes its time,
 * or is applied and its reply lost. It retries only when told to: there are no timers.
 */
import { isDeepStrictEqual } from 'node:util';
import type { PodEvent, PodRef, PodResult } from '../core/vocabulary.ts';
import type { Publisher } from '../reconcile/ports.ts';

/** `lost`: nothing is applied. `delayed`: it is applied by `land`. `replyLost`: it is applied, and tried again all the same. */
export type WriteFault = 'lost' | 'delayed' | 'replyLost';

/** One write: a result, Events, or both. */
interface Write {
  readonly pod: PodRef;
  readonly result: PodResult | undefined;
  readonly events: readonly PodEvent[];
}

export class PublisherDouble implements Publisher {
  /** What stands on the pods, by uid. A test may change it, as somebody else would. */
  readonly results = new Map<string, PodResult>();
  /** The Events of each pod, by uid, in the order in which they were written; they outlive the pod. */
  readonly events = new Map<string, PodEvent[]>();
  /** The uids of the pods that were forgotten, in this order. */
  readonly forgotten: string[] = [];
  /** Writes that were applied. */
  writes = 0;
  /** Asked for every write. */
  fault: (pod: PodRef) => WriteFault | undefined = () => undefined;
  /** Called with each result that is applied: a simulation puts it on the pods of its source. */
  onWrite: (pod: PodRef, result: PodResult) => void = () => {};
  /** By uid. One write of a pod is on its way at a time; the newest one waits. */
  readonly #flying = new Map<string, Write>();
  readonly #waiting = new Map<string, Write>();

  /** What was not written yet, or not surely. */
  get pending(): readonly PodRef[] {
    return [...this.#flying.values(), ...this.#waiting.values()].map(({ pod }) => pod);
  }

  publish(pod: PodRef, result: PodResult): void {
    this.#add({ pod, result, events: [] });
  }

  event(pod: PodRef, event: PodEvent): void {
    this.#add({ pod, result: undefined, events: [event] });
  }

  forget(pod: PodRef): void {
    this.#waiting.delete(pod.uid);
    this.#flying.delete(pod.uid);
    this.results.delete(pod.uid);
    this.forgotten.push(pod.uid);
  }

  /** Everything that waits is tried again. */
  retry(): void {
    for (const uid of [...this.#waiting.keys()]) this.#attempt(uid);
  }

  /** The delayed writes arrive, and what waited behind them is tried. */
  land(): void {
    const landing = [...this.#flying.values()];
    this.#flying.clear();
    for (const write of landing) this.#apply(write);
    for (const { pod } of landing) this.#attempt(pod.uid);
  }

  #add(write: Write): void {
    const { uid } = write.pod;
    this.#waiting.set(uid, merged(this.#waiting.get(uid), write));
    this.#attempt(uid);
  }

  #attempt(uid: string): void {
    const write = this.#waiting.get(uid);
    if (write === undefined || this.#flying.has(uid)) return;
    if (write.events.length === 0 && isDeepStrictEqual(this.results.get(uid), write.result)) {
      this.#waiting.delete(uid);
      return;
    }
    const fault = this.fault(write.pod);
    if (fault === 'lost') return;
    if (fault !== 'replyLost') this.#waiting.delete(uid);
    if (fault === 'delayed') this.#flying.set(uid, write);
    else this.#apply(write);
  }

  #apply({ pod, result, events }: Write): void {
    this.writes++;
    if (events.length > 0) this.events.set(pod.uid, [...(this.events.get(pod.uid) ?? []), ...events]);
    if (result === undefined) return;
    this.results.set(pod.uid, result);
    this.onWrite(pod, result);
  }
}

function merged(before: Write | undefined, { pod, result, events }: Write): Write {
  return { pod, result: result ?? before?.result, events: [...(before?.events ?? []), ...events] };
}
