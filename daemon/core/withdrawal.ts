/** What is to stand on a pod when Berth leaves the node: its own requests, and nothing that Berth wrote. Pure. */
import { GALAXY } from './annotation.ts';
import { carriesResults } from './podstate.ts';
import type { Pod, PodResult } from './vocabulary.ts';

/**
 * Whether something of Berth's stands on the pod. A value of the Galaxy key is Berth's only on a pod that Berth served, as its
 * condition or the state file (`granted`: the uids there) tells: Galaxy itself writes the same on pods of its own.
 */
export function isAnnounced(pod: Pod, granted: ReadonlySet<string>): boolean {
  return carriesResults(pod) || (granted.has(pod.uid) && (pod.annotations[GALAXY] ?? '') !== '');
}

/** The Galaxy key is the pod's own request: it stays, empty, as the user wrote it. */
export function withdrawal(pod: Pod): PodResult {
  return { annotations: Object.hasOwn(pod.annotations, GALAXY) ? { [GALAXY]: '' } : {} };
}
