/**
 * From what stands on a pod to what is to stand there, as one patch that touches nothing else. Pure. It carries the pod's uid: the
 * API server refuses it when the name belongs to another life of the pod by now.
 *
 * Annotations and condition go to the subresource `status` together: unlike those of other kinds, the status of a pod takes
 * annotations (podStatusStrategy.PrepareForUpdate resets spec, owners and deletion alone; tried on 1.20; network plugins have
 * always written theirs so). It is half of the writes, readers see both at once, and the right to patch pods, with it their
 * images, is not needed.
 */
import { CONDITION, GALAXY } from '../core/annotation.ts';
import type { PodRef, PodResult } from '../core/vocabulary.ts';
import type { ApiRequest } from './api/client.ts';
import { isOwned, mayWrite, type Standing, type StandingCondition } from './apipod.ts';

export type Part = 'annotations' | 'condition';

export interface Patch {
  readonly parts: readonly Part[];
  readonly request: ApiRequest;
  /** It is refused (409) when anybody changed the pod since the revision that is known. */
  readonly locked: boolean;
}

/** What the API server does not take. */
export interface Refusals {
  /** Would be refused again. */
  readonly parts: ReadonlySet<Part>;
  /** Both together were refused: each is to be tried alone. */
  readonly together: boolean;
}

/** The status that a condition has, and since when: its lastTransitionTime, as it is (to be) written. */
export interface Transition {
  readonly status: string;
  readonly at: string;
}

/**
 * What is to be written next; undefined: nothing. Where it takes two writes, a pod that is to be unready is made so before its
 * numbers go, and one that is ready is so after they came: readers of the condition find what it promises.
 */
export function nextPatch(
  pod: PodRef,
  stands: Standing,
  wanted: PodResult,
  transition: Transition | undefined,
  refusals: Refusals,
): Patch | undefined {
  const annotations = annotationChanges(stands, wanted);
  const condition = conditionChange(stands, wanted, transition);
  const falls = stands.condition?.status === 'True' && wanted.condition?.status !== 'True';
  const order: readonly Part[] = falls ? ['condition', 'annotations'] : ['annotations', 'condition'];
  const parts = order
    .filter((part) => !refusals.parts.has(part) && { annotations, condition }[part] !== undefined)
    .slice(0, refusals.together ? 1 : order.length);
  if (parts.length === 0) return undefined;
  const lock = parts.includes('annotations') ? lockOf(stands, annotations ?? {}) : {};
  return {
    parts,
    locked: lock.resourceVersion !== undefined,
    request: {
      method: 'PATCH',
      path: `${pathOf(pod)}/status`,
      // A merge patch would replace the list of conditions, and with it kubelet's; this one merges it by `type`.
      type: 'application/strategic-merge-patch+json',
      body: {
        metadata: { uid: pod.uid, ...lock, ...(parts.includes('annotations') ? { annotations } : {}) },
        ...(parts.includes('condition') ? { status: { conditions: [condition] } } : {}),
      },
    },
  };
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

/** Undefined: none. Null removes a key. */
function annotationChanges(stands: Standing, wanted: PodResult): Readonly<Record<string, string | null>> | undefined {
  const changes: Record<string, string | null> = {};
  for (const [key, value] of Object.entries(wanted.annotations)) {
    if (mayWrite(key, stands.annotations) && stands.annotations[key] !== value) changes[key] = value;
  }
  for (const key of Object.keys(stands.annotations)) {
    if (isOwned(key) && !Object.hasOwn(wanted.annotations, key)) changes[key] = null;
  }
  return Object.keys(changes).length === 0 ? undefined : changes;
}

/**
 * The Galaxy key is its user's request: one that was taken away meanwhile must not come back with the result, so that it is
 * written to the revision on which it was seen and to no other.
 */
function lockOf({ revision }: Standing, changes: object): { readonly resourceVersion?: string } {
  return revision !== '' && Object.hasOwn(changes, GALAXY) ? { resourceVersion: revision } : {};
}

/** The entry of the patch; undefined: none. */
function conditionChange(
  stands: Standing,
  { condition }: PodResult,
  transition: Transition | undefined,
): object | undefined {
  if (sameCondition(stands.condition, condition)) return undefined;
  if (condition === undefined) return { type: CONDITION, $patch: 'delete' };
  return { type: CONDITION, ...condition, lastTransitionTime: transition?.at };
}

function sameCondition(stands: StandingCondition | undefined, wanted: PodResult['condition']): boolean {
  if (stands === undefined || wanted === undefined) return stands === wanted;
  return stands.status === wanted.status && stands.reason === wanted.reason && stands.message === wanted.message;
}

/** The pod's own URL. */
export function pathOf({ namespace, name }: Omit<PodRef, 'uid'>): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
}
