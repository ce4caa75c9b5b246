/**
 * A source of pods in memory, with the faults of a watch: held back, lost, repeated and reordered events, old lists, an API
 * server that is away. Everything happens in the call that causes it: no timers, no promises but those of the interface.
 */
import { BerthError } from '../core/errors.ts';
import { type Pod, type PodRef, podLabel } from '../core/vocabulary.ts';
import type { PodObserver, PodSource } from '../reconcile/ports.ts';
import { withAnnotations } from './pod.ts';

/** What an observer is told. */
export type PodNews =
  | { readonly kind: 'listed'; readonly pods: readonly Pod[] }
  | { readonly kind: 'changed'; readonly pod: Pod }
  | { readonly kind: 'deleted'; readonly pod: PodRef };

export class PodSourceDouble implements PodSource {
  /** While set, `get` and `list` reject with it; the watch goes on. */
  getFault: Error | undefined;
  /** The labels that were asked for. */
  readonly gets: string[] = [];
  readonly #pods = new Map<string, Pod>();
  readonly #observers = new Set<PodObserver>();
  #held: PodNews[] | undefined;
  #down: Error | undefined;

  constructor(pods: readonly Pod[] = []) {
    for (const pod of pods) this.#pods.set(podLabel(pod), pod);
  }

  /** The pods as they are; kept by a test, it is the content of an old list. */
  get pods(): readonly Pod[] {
    return [...this.#pods.values()];
  }

  watch(observer: PodObserver, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (signal.aborted) return Promise.resolve();
    this.#observers.add(observer);
    signal.addEventListener('abort', () => {
      this.#observers.delete(observer);
      resolve();
    });
    if (this.#down === undefined) observer.listed(this.pods);
    else observer.failed(this.#down);
    return promise;
  }

  async get(namespace: string, name: string): Promise<Pod | undefined> {
    const label = podLabel({ namespace, name });
    this.gets.push(label);
    this.#answer();
    return this.#pods.get(label);
  }

  async list(): Promise<readonly Pod[]> {
    this.#answer();
    return this.pods;
  }

  /** The pod appears or changes. In the place of another life of the same name that one is deleted first. */
  set(pod: Pod): void {
    const before = this.#pods.get(podLabel(pod));
    if (before !== undefined && before.uid !== pod.uid) this.delete(pod.namespace, pod.name);
    this.#pods.set(podLabel(pod), pod);
    this.#tell({ kind: 'changed', pod });
  }

  /** Deleting what is not there is no error. */
  delete(namespace: string, name: string): void {
    const pod = this.#pods.get(podLabel({ namespace, name }));
    if (pod === undefined) return;
    this.#pods.delete(podLabel(pod));
    this.#tell({ kind: 'deleted', pod: { namespace, name, uid: pod.uid } });
  }

  /** What a publisher's write does to the pod: its owned annotations are these now. False when this life of it is gone. */
  annotate(pod: PodRef, annotations: Readonly<Record<string, string>>): boolean {
    const now = this.#pods.get(podLabel(pod));
    if (now?.uid !== pod.uid) return false;
    this.set(withAnnotations(now, annotations));
    return true;
  }

  /** A full list is told; `pods` of an earlier moment make it an old one, as it may come from a watch cache. */
  relist(pods: readonly Pod[] = this.pods): void {
    this.#tell({ kind: 'listed', pods });
  }

  /** From now on news wait for `release`. */
  hold(): void {
    this.#held ??= [];
  }

  /** Tells what was held back, as `arrange` gives it: in another order, repeated, or with some of it lost. */
  release(arrange: (held: readonly PodNews[]) => readonly PodNews[] = (held) => held): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const news of arrange(held)) this.#tell(news);
  }

  /** The API server is away: observers hear of it, news are lost, `get` and `list` reject. */
  fail(error: Error = new BerthError('PODS_UNREADABLE', 'the source of pods is away')): void {
    this.#down = error;
    for (const observer of [...this.#observers]) observer.failed(error);
  }

  /** It is back: everything is listed anew. */
  recover(): void {
    this.#down = undefined;
    this.relist();
  }

  #answer(): void {
    const fault = this.getFault ?? this.#down;
    if (fault !== undefined) throw fault;
  }

  #tell(news: PodNews): void {
    if (this.#down !== undefined) return;
    if (this.#held !== undefined) {
      this.#held.push(news);
      return;
    }
    for (const observer of [...this.#observers]) {
      if (news.kind === 'listed') observer.listed(news.pods);
      else if (news.kind === 'changed') observer.changed(news.pod);
      else observer.deleted(news.pod);
    }
  }
}
