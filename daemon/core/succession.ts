/**
 * Which of several pods has a claim's number. Pure, and the same answer for the same pods: it moves to newer pods only, and away
 * from one that is being deleted, so that it never goes back and forth.
 */
import type { Handover } from './claim.ts';
import { isNewer } from './podstate.ts';
import type { Pod } from './vocabulary.ts';

/**
 * The pod that is to have the number next; `holder` stays when nobody is to follow it. `candidates`: pods that could be served
 * with it, `holder` among them or not.
 *
 *   nobody has it   -> the newest that is ready, else the oldest that stays: whoever becomes ready later is newer, and follows
 *   a pod has it    -> the newest that is ready, stays, and is newer than the holder (or the holder is being deleted)
 */
export function successorOf(candidates: readonly Pod[], holder: Pod | undefined, handover: Handover): Pod | undefined {
  if (holder === undefined) return newest(candidates.filter(isServing)) ?? oldest(candidates);
  if (handover === 'OnTerminated') return holder;
  const followers = candidates.filter((pod) => isServing(pod) && follows(pod, holder));
  return newest(followers) ?? holder;
}

/** The number does not come to this pod while the holder lives, however ready it is. */
export function isPast(pod: Pod, holder: Pod): boolean {
  return pod.terminating || !follows(pod, holder);
}

function isServing(pod: Pod): boolean {
  return pod.ready === true && !pod.terminating;
}

function follows(pod: Pod, holder: Pod): boolean {
  return pod.uid !== holder.uid && (isNewer(pod, holder) || holder.terminating);
}

function newest(pods: readonly Pod[]): Pod | undefined {
  return pods.reduce<Pod | undefined>(
    (found, pod) => (found === undefined || isNewer(pod, found) ? pod : found),
    undefined,
  );
}

function oldest(pods: readonly Pod[]): Pod | undefined {
  const staying = pods.filter(({ terminating }) => !terminating);
  return (staying.length > 0 ? staying : pods).reduce<Pod | undefined>(
    (found, pod) => (found === undefined || isNewer(found, pod) ? pod : found),
    undefined,
  );
}
