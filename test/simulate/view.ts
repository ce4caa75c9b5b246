/**
 * What one agent was told of the pods: not what is true, but all that it can go by. Whether it does right is judged by this.
 */
import { isActive } from '../../daemon/core/podstate.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { requestKey } from './asked.ts';

interface Seen {
  readonly pod: Pod;
  /** What of the pod matters, as text. */
  readonly key: string;
  /** Since when nothing that matters to it has changed, in virtual ms. */
  since: number;
  /** Since when it is ready, or is not. */
  readonly readySince: number;
  /** Counts what was heard of this pod. */
  heard: number;
}

export class View {
  readonly #pods = new Map<string, Seen>();
  /** Pods that are gone for certain. */
  readonly gone = new Set<string>();
  /** By uid; Infinity when the version heard last has no allow-list. */
  readonly #limitedSince = new Map<string, number>();
  readonly #now: () => number;
  readonly #onGone: (uid: string) => void;
  /** When the first full list was told. */
  listedAt: number | undefined;
  #heard = 0;

  constructor(now: () => number, onGone: (uid: string) => void) {
    this.#now = now;
    this.#onGone = onGone;
  }

  get pods(): Iterable<Pod> {
    return [...this.#pods.values()].map(({ pod }) => pod);
  }

  get(uid: string): Pod | undefined {
    return this.#pods.get(uid)?.pod;
  }

  /** Since when nothing has changed that matters to the pod; undefined when it is not known. */
  since(uid: string): number | undefined {
    return this.#pods.get(uid)?.since;
  }

  /** Since when the pod is ready, or is not; undefined when it is not known. */
  readySince(uid: string): number | undefined {
    return this.#pods.get(uid)?.readySince;
  }

  /** Since when every version that was heard of the pod, which may be gone, has an allow-list; Infinity: it has none. */
  limitedSince(uid: string): number {
    return this.#limitedSince.get(uid) ?? Number.POSITIVE_INFINITY;
  }

  /** A mark of what was heard of a pod, to be compared with a later one. */
  heard(uid: string): number {
    return this.#pods.get(uid)?.heard ?? 0;
  }

  list(pods: readonly Pod[]): void {
    for (const pod of pods) this.set(pod);
    this.listedAt ??= this.#now();
  }

  set(pod: Pod): void {
    const key = [requestKey(pod), pod.phase, pod.terminating, pod.ended, pod.hostNetwork, ...pod.podIPs].join(' ');
    const before = this.#pods.get(pod.uid);
    this.gone.delete(pod.uid);
    this.#noteLimit(pod);
    const changed = before?.key !== key;
    const since = changed ? this.#now() : before.since;
    const turned = before === undefined || before.pod.ready !== pod.ready;
    const readySince = turned ? this.#now() : before.readySince;
    this.#pods.set(pod.uid, { pod, key, since, readySince, heard: ++this.#heard });
    if (changed) this.#touchNeighbours([...pod.podIPs, ...(before?.pod.podIPs ?? [])]);
  }

  delete(uid: string): void {
    const before = this.#pods.get(uid);
    this.#pods.delete(uid);
    this.gone.add(uid);
    this.#onGone(uid);
    if (before !== undefined) this.#touchNeighbours(before.pod.podIPs);
  }

  /** The uids of this name. */
  named(namespace: string, name: string): readonly string[] {
    const found: string[] = [];
    for (const { pod } of this.#pods.values())
      if (pod.namespace === namespace && pod.name === name) found.push(pod.uid);
    return found;
  }

  /** Whether the pod may have a rule to this address: it is active, and no other pod has the address. */
  owns(pod: Pod, podIP: string): boolean {
    if (!isActive(pod) || pod.hostNetwork || !pod.podIPs.includes(podIP)) return false;
    for (const { pod: other } of this.#pods.values()) {
      if (other.uid === pod.uid || other.hostNetwork || !isActive(other)) continue;
      if (other.podIPs.some((ip) => pod.podIPs.includes(ip))) return false;
    }
    return true;
  }

  #noteLimit({ uid, annotations }: Pod): void {
    const before = this.#limitedSince.get(uid);
    if (!('berth.dev/allow-from' in annotations)) this.#limitedSince.set(uid, Number.POSITIVE_INFINITY);
    else if (before === undefined) this.#limitedSince.set(uid, Number.NEGATIVE_INFINITY);
    else if (before === Number.POSITIVE_INFINITY) this.#limitedSince.set(uid, this.#now());
  }

  /** Who has an address depends on all the pods that name it. */
  #touchNeighbours(addresses: readonly string[]): void {
    if (addresses.length === 0) return;
    for (const seen of this.#pods.values()) {
      if (seen.pod.podIPs.some((ip) => addresses.includes(ip))) seen.since = this.#now();
    }
  }
}
