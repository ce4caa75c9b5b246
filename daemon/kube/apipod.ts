/**
 * A Pod object of the API server as a Pod of the core, together with what stands on it of Berth's: the publisher writes only what
 * differs. Nothing else of the object is kept: pods carry kilobytes that Berth does not use (I10).
 */
import * as v from 'valibot';
import { CONDITION, GALAXY, MAPPINGS, PROMISE_PREFIX } from '../core/annotation.ts';
import type { Pod } from '../core/vocabulary.ts';
import { decodePod } from './pod.ts';
import { isMap } from './podschema.ts';

/** The condition as it stands on the pod; anybody who may edit its status can have written it. */
export interface StandingCondition {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}

/** What of Berth's stands on a pod at one revision. */
export interface Standing {
  /** `metadata.resourceVersion`; empty when it is not known. */
  readonly revision: string;
  /** Those that Berth reads or writes. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly condition: StandingCondition | undefined;
}

export interface ApiPod extends Pod {
  readonly revision: string;
  readonly condition?: StandingCondition;
}

const text = v.fallback(v.optional(v.string(), ''), '');
const CONDITION_SCHEMA = v.object({
  type: v.literal(CONDITION),
  status: text,
  reason: text,
  message: text,
  lastTransitionTime: text,
});

/** `object` may be an item of a list, which has no kind of its own. Throws PODS_UNREADABLE. */
export function decodeApiPod(object: unknown): ApiPod {
  const fields = fieldsOf(object);
  const pod = decodePod({ ...fields, apiVersion: 'v1', kind: 'Pod' });
  const condition = conditionOf(fields);
  const revision = fieldsOf(fields.metadata).resourceVersion;
  return {
    ...pod,
    ...(condition === undefined ? {} : { condition, conditioned: true }),
    revision: typeof revision === 'string' ? revision : '',
  };
}

export function standingOf(pod: Pod | ApiPod): Standing {
  const { revision = '', condition } = pod as Partial<ApiPod>;
  return { revision, annotations: pod.annotations, condition };
}

/**
 * The newer of two views of one pod; the second one when that cannot be told. Revisions of one resource are decimal numbers
 * that grow (KEP-5504; etcd's revision before that).
 */
export function newer<T extends Pick<Standing, 'revision'>>(one: T, other: T): T {
  if (!/^\d+$/.test(one.revision) || !/^\d+$/.test(other.revision)) return other;
  return BigInt(one.revision) > BigInt(other.revision) ? one : other;
}

/** Written by Berth alone. The Galaxy key is the user's request too. */
export function isOwned(key: string): boolean {
  return key === MAPPINGS || key.startsWith(PROMISE_PREFIX);
}

/** Whether the agent may write this annotation on a pod that has these. */
export function mayWrite(key: string, standing: Standing['annotations']): boolean {
  return isOwned(key) || (key === GALAXY && Object.hasOwn(standing, GALAXY));
}

/** `spec.nodeName`. */
export function nodeOf(object: unknown): string | undefined {
  const { nodeName } = fieldsOf(fieldsOf(object).spec);
  return typeof nodeName === 'string' ? nodeName : undefined;
}

/** namespace/name of whatever it is, for messages. */
export function labelOf(object: unknown): string {
  const { namespace, name } = fieldsOf(fieldsOf(object).metadata);
  return `${String(namespace)}/${String(name)}`;
}

function conditionOf(object: Readonly<Record<string, unknown>>): StandingCondition | undefined {
  const { conditions } = fieldsOf(object.status);
  if (!Array.isArray(conditions)) return undefined;
  const found = conditions.map((one) => v.safeParse(CONDITION_SCHEMA, one)).find(({ success }) => success);
  if (found === undefined || !found.success) return undefined;
  const { status, reason, message, lastTransitionTime } = found.output;
  return { status, reason, message, lastTransitionTime };
}

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return isMap(value) ? (value as Readonly<Record<string, unknown>>) : {};
}
