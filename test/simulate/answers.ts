/** What an agent learns by asking: a GET of one pod, or a list that is not from a cache, noted in the view of it. */
import type { Pod } from '../../daemon/core/vocabulary.ts';
import type { Ground } from './ground.ts';
import type { View } from './view.ts';

/** A GET by name begins. The returned function notes its answer, to be called when the agent gets it. */
export function asking(
  stage: Pick<Ground, 'known'>,
  view: View,
  namespace: string,
  name: string,
): (pod: Pod | undefined) => void {
  const heardOf = () =>
    view
      .named(namespace, name)
      .map((uid) => `${uid} ${view.heard(uid)}`)
      .join();
  const heard = heardOf();
  return (pod) => {
    // What was heard meanwhile is newer than the answer.
    if (heardOf() !== heard) return;
    for (const uid of view.named(namespace, name)) if (uid !== pod?.uid) view.delete(uid);
    for (const ref of stage.known.values()) {
      const meant = ref.namespace === namespace && ref.name === name && ref.uid !== pod?.uid;
      if (meant && view.get(ref.uid) === undefined) view.gone.add(ref.uid);
    }
    if (pod !== undefined) view.set(pod);
  };
}

/**
 * A list that is not from a cache is asked for: the agent looks there for pods whose rules it found, and for which of several of
 * one name lives. The returned function notes its answer, to be called when the agent gets it.
 */
export function askingList(stage: Pick<Ground, 'known' | 'node'>, view: View): (pods: readonly Pod[]) => void {
  const marks = new Map([...view.pods].map(({ uid }) => [uid, view.heard(uid)]));
  const isUnchanged = (uid: string) => marks.get(uid) === view.heard(uid);
  return (pods) => {
    const listed = new Map(pods.map((pod) => [pod.uid, pod]));
    const ruled = new Set(stage.node.ruleset.elements().map(({ comment }) => comment.split('/')[0]));
    for (const uid of stage.known.keys()) {
      const pod = listed.get(uid);
      const known = view.get(uid);
      if (known !== undefined) {
        const uids = view.named(known.namespace, known.name);
        // What was heard meanwhile is newer than the answer.
        if (pod === undefined && uids.length > 1 && uids.every(isUnchanged)) view.delete(uid);
      } else if (pod === undefined) view.gone.add(uid);
      else if (ruled.has(uid) && !view.gone.has(uid)) view.set(pod);
    }
  };
}
