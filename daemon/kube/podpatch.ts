/**
 * From what stands on a pod to what is to stand there, as patches that touch nothing else. Pure. Both carry the pod's uid: the
 * API server refuses them when the name belongs to another life of the pod by now.
 */
import { CONDITION } from '../core/annotation.ts';
import type { PodRef, PodResult } from '../core/vocabulary.ts';
import type { ApiRequest } from './api/client.ts';
import { isOwned, mayWrite, type Standing, type StandingCondition } from './apipod.ts';

export type Part = 'annotations' | 'condition';

export interface Patch {
  readonly part: Part;
  readonly request: ApiRequest;
}

/** The status that a condition has, and since when: its lastTransitionTime, as it is (to be) written. */
export interface Transition {
  readonly status: string;
  readonly at: string;
}

/**
 * What is to be written next; undefined: nothing. Parts in `except` are left out. A pod that is to be unready is made so
 * before its numbers go, and one that is ready is so after they came: readers of the condition find what it promises.
 */
export function nextPatch(
  pod: PodRef,
  stands: Standing,
  wanted: PodResult,
  transition: Transition | undefined,
  except: ReadonlySet<Part>,
): Patch | undefined {
  const falls = stands.condition?.status === 'True' && wanted.condition?.status !== 'True';
  const order: readonly Part[] = falls ? ['condition', 'annotations'] : ['annotations', 'condition'];
  for (const part of order) {
    if (except.has(part)) continue;
    const request =
      part === 'annotations' ? annotationsPatch(pod, stands, wanted) : conditionPatch(pod, stands, wanted, transition);
    if (request !== undefined) return { part, request };
  }
  return undefined;
}

/** When the condition got the status that it is to have: kept where the status stays (the meaning of lastTransitionTime). */
export function transitionOf(
  stands: Standing,
  wanted: PodResult,
  before: Transition | undefined,
  now: number,
): Transition | undefined {
  const status = wanted.condition?.status;
  if (status === undefined) return undefined;
  const standing = stands.condition;
  if (standing?.status === status && standing.lastTransitionTime !== '') {
    return { status, at: standing.lastTransitionTime };
  }
  // A patch whose reply was lost is sent again as it was.
  if (before?.status === status) return before;
  // metav1.Time has no fractions of a second.
  return { status, at: `${new Date(now).toISOString().slice(0, 19)}Z` };
}

/** A merge patch (RFC 7386): null removes a key. */
function annotationsPatch(pod: PodRef, stands: Standing, wanted: PodResult): ApiRequest | undefined {
  const changes: Record<string, string | null> = {};
  for (const [key, value] of Object.entries(wanted.annotations)) {
    if (mayWrite(key, stands.annotations) && stands.annotations[key] !== value) changes[key] = value;
  }
  for (const key of Object.keys(stands.annotations)) {
    if (isOwned(key) && !Object.hasOwn(wanted.annotations, key)) changes[key] = null;
  }
  if (Object.keys(changes).length === 0) return undefined;
  return {
    method: 'PATCH',
    path: pathOf(pod),
    type: 'application/merge-patch+json',
    body: { metadata: { uid: pod.uid, annotations: changes } },
  };
}

/** Strategic: the list of conditions is merged by `type`. A merge patch would replace it, and with it kubelet's conditions. */
function conditionPatch(
  pod: PodRef,
  stands: Standing,
  { condition }: PodResult,
  transition: Transition | undefined,
): ApiRequest | undefined {
  if (sameCondition(stands.condition, condition)) return undefined;
  const entry =
    condition === undefined
      ? { type: CONDITION, $patch: 'delete' }
      : { type: CONDITION, ...condition, lastTransitionTime: transition?.at };
  return {
    method: 'PATCH',
    path: `${pathOf(pod)}/status`,
    type: 'application/strategic-merge-patch+json',
    body: { metadata: { uid: pod.uid }, status: { conditions: [entry] } },
  };
}

function sameCondition(stands: StandingCondition | undefined, wanted: PodResult['condition']): boolean {
  if (stands === undefined || wanted === undefined) return stands === wanted;
  return stands.status === wanted.status && stands.reason === wanted.reason && stands.message === wanted.message;
}

/** The pod's own URL. */
export function pathOf({ namespace, name }: Omit<PodRef, 'uid'>): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
}
