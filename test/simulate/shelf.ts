/** Where the pods of a run stand, with what was written to them: as pods of the core here, as objects in `objectshelf.ts`. */
import { GALAXY } from '../../daemon/core/annotation.ts';
import type { Pod, PodRef, PodResult } from '../../daemon/core/vocabulary.ts';
import { withAnnotations } from '../../daemon/kube/pod.ts';
import { PodSourceDouble } from '../../daemon/kube/source.double.ts';

export interface Shelf {
  readonly pods: readonly Pod[];
  /** In the place of another life of the same name that one is deleted first. */
  set(pod: Pod): void;
  delete(pod: PodRef): void;
  /** What stands on a pod of the agent's. */
  resultOf(uid: string): PodResult | undefined;
  /** Somebody writes an annotation that only the agent should write. */
  forge(pod: Pod, key: string, value: string): void;
}

export class QuickShelf implements Shelf {
  readonly source = new PodSourceDouble();
  /** What stands on the pods of the agent's, by uid. */
  readonly results = new Map<string, PodResult>();

  get pods(): readonly Pod[] {
    return this.source.pods;
  }

  set(pod: Pod): void {
    const before = this.pods.find((one) => one.namespace === pod.namespace && one.name === pod.name);
    if (before !== undefined && before.uid !== pod.uid) this.results.delete(before.uid);
    this.#share(pod);
    this.source.set(pod);
  }

  /** The Galaxy key is its user's too: what the user makes of it stands where the agent's result stood. */
  #share({ uid, annotations }: Pod): void {
    const result = this.results.get(uid);
    if (result === undefined || result.annotations[GALAXY] === annotations[GALAXY]) return;
    const { [GALAXY]: _, ...others } = result.annotations;
    const galaxy = annotations[GALAXY];
    this.results.set(uid, {
      ...result,
      annotations: { ...others, ...(galaxy === undefined ? {} : { [GALAXY]: galaxy }) },
    });
  }

  delete({ namespace, name, uid }: PodRef): void {
    this.source.delete(namespace, name);
    this.results.delete(uid);
  }

  resultOf(uid: string): PodResult | undefined {
    return this.results.get(uid);
  }

  forge(pod: Pod, key: string, value: string): void {
    const before = this.results.get(pod.uid);
    this.results.set(pod.uid, { ...before, annotations: { ...before?.annotations, [key]: value } });
    this.source.set({ ...pod, annotations: { ...pod.annotations, [key]: value } });
  }

  /** The agent's write arrives. One that changes nothing makes no event. */
  write(pod: PodRef, result: PodResult): void {
    const before = this.results.get(pod.uid);
    const same =
      before !== undefined &&
      JSON.stringify(before.annotations) === JSON.stringify(result.annotations) &&
      (before.condition === undefined) === (result.condition === undefined);
    const now = this.pods.find(({ uid }) => uid === pod.uid);
    if (now === undefined) return;
    if (!same)
      this.source.set({ ...withAnnotations(now, result.annotations), conditioned: result.condition !== undefined });
    this.results.set(pod.uid, result);
  }
}
