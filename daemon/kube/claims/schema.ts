/**
 * Objects of the API server as the controller's. What the CustomResourceDefinitions demand is demanded here too: an object from before
 * they did is reported and passed over. Nothing else of an object is kept (I10).
 */
import * as v from 'valibot';
import type { Namespace, PodUse, Seen, SeenKind } from '../../claims/ports.ts';
import { PROMISE_PREFIX } from '../../core/annotation.ts';
import type {
  Claim,
  ClaimTemplate,
  HostPort,
  HostPortClass,
  ObjectMeta,
  StatefulSet,
} from '../../core/claims/objects.ts';
import { BerthError } from '../../core/errors.ts';
import { printable } from '../../core/text.ts';
import { labelOf } from '../apipod.ts';

export const CLAIM_PREFIX = 'claim.berth.dev/';
export const TEMPLATE_PREFIX = 'claim-template.berth.dev/';

const text = v.optional(v.string(), '');
const NAME = v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/));
const PROTOCOL = v.picklist(['TCP', 'UDP', 'SCTP']);
const HANDOVER = v.picklist(['OnReady', 'OnTerminated']);
const whole = v.pipe(v.number(), v.integer());

const META = v.object({
  name: NAME,
  namespace: v.optional(NAME),
  uid: v.string(),
  resourceVersion: v.string(),
  generation: v.optional(whole, 0),
  creationTimestamp: v.nullish(v.string()),
  deletionTimestamp: v.nullish(v.string()),
  finalizers: v.nullish(v.array(v.string())),
  annotations: v.nullish(v.record(v.string(), v.string())),
  labels: v.nullish(v.record(v.string(), v.string())),
  ownerReferences: v.nullish(v.array(v.object({ kind: text, name: text, uid: v.string() }))),
});

const CONDITION = v.object({
  type: v.string(),
  status: v.picklist(['True', 'False', 'Unknown']),
  reason: text,
  message: text,
  lastTransitionTime: text,
  observedGeneration: v.optional(whole, 0),
});
const CONDITIONS = v.nullish(v.array(CONDITION));

const SELECTOR = v.object({
  matchLabels: v.nullish(v.record(v.string(), v.string())),
  matchExpressions: v.nullish(
    v.array(v.object({ key: v.string(), operator: v.string(), values: v.nullish(v.array(v.string())) })),
  ),
});

const CLASS = v.object({
  metadata: META,
  spec: v.object({
    pools: v.array(v.object({ start: whole, end: whole })),
    protocols: v.nullish(v.array(PROTOCOL)),
    namespaceSelector: v.nullish(SELECTOR),
    quota: v.nullish(v.object({ claimsPerNamespace: v.nullish(whole) })),
    reclaimPolicy: v.optional(v.picklist(['Delete', 'Retain']), 'Delete'),
    handover: v.optional(HANDOVER, 'OnReady'),
  }),
  status: v.nullish(
    v.object({
      observedGeneration: v.optional(whole, 0),
      conditions: CONDITIONS,
      ports: v.nullish(whole),
      allocated: v.nullish(whole),
    }),
  ),
});

const CLAIM = v.object({
  metadata: v.intersect([META, v.object({ namespace: NAME })]),
  spec: v.object({ hostPortClassName: v.string(), hostPortName: text }),
  status: v.nullish(
    v.object({
      phase: v.optional(v.picklist(['Pending', 'Bound', 'Deleting'])),
      hostPortName: text,
      hostPortClassName: text,
      port: v.nullish(whole),
      protocols: v.nullish(v.array(PROTOCOL)),
      handover: v.nullish(HANDOVER),
      heldBy: v.nullish(v.array(v.string())),
      observedGeneration: v.optional(whole, 0),
      conditions: CONDITIONS,
    }),
  ),
});

const HOST_PORT = v.object({
  metadata: META,
  spec: v.object({
    hostPortClassName: v.string(),
    claimRef: v.nullish(v.object({ namespace: v.string(), name: v.string(), uid: v.nullish(v.string()) })),
  }),
  status: v.nullish(
    v.object({
      port: v.nullish(whole),
      phase: v.optional(v.picklist(['Available', 'Allocated', 'Released', 'Deleting'])),
      observedGeneration: v.optional(whole, 0),
      conditions: CONDITIONS,
    }),
  ),
});

const STATEFUL_SET = v.object({
  metadata: v.intersect([META, v.object({ namespace: NAME })]),
  spec: v.object({
    replicas: v.optional(whole, 1),
    ordinals: v.nullish(v.object({ start: v.optional(whole, 0) })),
    template: v.object({ metadata: v.nullish(v.object({ annotations: v.nullish(v.record(v.string(), v.string())) })) }),
  }),
});

const POD = v.object({
  metadata: META,
  status: v.nullish(v.object({ phase: v.nullish(v.string()) })),
});

/** By kind; each throws what valibot throws. */
const DECODERS: { readonly [K in SeenKind]: (object: unknown) => Seen[K] } = {
  class: decodeClass,
  claim: decodeClaim,
  hostport: decodeHostPort,
  statefulset: decodeStatefulSet,
  namespace: decodeNamespace,
};

/** Throws API_REFUSED with the object's name. */
export function decode<K extends SeenKind>(kind: K, object: unknown): Seen[K] {
  try {
    return DECODERS[kind](object);
  } catch (error) {
    const where = error instanceof v.ValiError ? (v.getDotPath(error.issues[0]) ?? '') : '';
    const why = `${kind} ${labelOf(object)} cannot be understood and is passed over: ${where} is not what it should be`;
    throw new BerthError('API_REFUSED', printable(why, 512), { cause: error });
  }
}

function decodeClass(object: unknown): HostPortClass {
  const { metadata, spec, status } = v.parse(CLASS, object);
  const selector = spec.namespaceSelector;
  return {
    meta: metaOf(metadata),
    pools: spec.pools.map(({ start, end }) => ({ first: start, last: end })),
    protocols: spec.protocols ?? ['TCP', 'UDP'],
    selector: selector
      ? {
          matchLabels: selector.matchLabels ?? {},
          matchExpressions: (selector.matchExpressions ?? []).map((one) => ({ ...one, values: one.values ?? [] })),
        }
      : undefined,
    claimsPerNamespace: spec.quota?.claimsPerNamespace ?? undefined,
    reclaimPolicy: spec.reclaimPolicy,
    handover: spec.handover,
    status: {
      observedGeneration: status?.observedGeneration ?? 0,
      conditions: status?.conditions ?? [],
      ports: status?.ports ?? undefined,
      allocated: status?.allocated ?? undefined,
    },
  };
}

function decodeClaim(object: unknown): Claim {
  const { metadata, spec, status } = v.parse(CLAIM, object);
  return {
    meta: { ...metaOf(metadata), namespace: metadata.namespace },
    className: spec.hostPortClassName,
    hostPortName: spec.hostPortName,
    owners: metadata.ownerReferences ?? [],
    deletedAt: metadata.deletionTimestamp ?? '',
    status: {
      phase: status?.phase,
      hostPortName: status?.hostPortName ?? '',
      hostPortClassName: status?.hostPortClassName ?? '',
      port: status?.port ?? undefined,
      protocols: status?.protocols ?? [],
      handover: status?.handover ?? undefined,
      heldBy: status?.heldBy ?? undefined,
      observedGeneration: status?.observedGeneration ?? 0,
      conditions: status?.conditions ?? [],
    },
  };
}

function decodeHostPort(object: unknown): HostPort {
  const { metadata, spec, status } = v.parse(HOST_PORT, object);
  const ref = spec.claimRef;
  return {
    meta: metaOf(metadata),
    className: spec.hostPortClassName,
    // An empty uid is none.
    claimRef: ref ? { namespace: ref.namespace, name: ref.name, uid: ref.uid || undefined } : undefined,
    status: {
      phase: status?.phase,
      port: status?.port ?? undefined,
      observedGeneration: status?.observedGeneration ?? 0,
      conditions: status?.conditions ?? [],
    },
  };
}

/**
 * A HostPort that cannot be understood: its number is taken all the same, and nobody's. Undefined when not even its name can be.
 */
export function decodeUnclear(object: unknown): HostPort | undefined {
  const read = v.safeParse(v.object({ metadata: META }), object);
  if (!read.success) return undefined;
  const status = { phase: undefined, port: undefined, observedGeneration: 0, conditions: [] };
  return { meta: metaOf(read.output.metadata), className: '', claimRef: undefined, status };
}

function decodeStatefulSet(object: unknown): StatefulSet {
  const { metadata, spec } = v.parse(STATEFUL_SET, object);
  const annotations = spec.template.metadata?.annotations ?? {};
  return {
    meta: { ...metaOf(metadata), namespace: metadata.namespace },
    start: spec.ordinals?.start ?? 0,
    replicas: spec.replicas,
    templates: Object.entries(annotations).flatMap(([key, value]): ClaimTemplate[] =>
      key.startsWith(TEMPLATE_PREFIX) ? [{ portName: key.slice(TEMPLATE_PREFIX.length), className: value.trim() }] : [],
    ),
  };
}

function decodeNamespace(object: unknown): Namespace {
  const { metadata } = v.parse(v.object({ metadata: META }), object);
  const { name, uid, resourceVersion: revision, labels } = metadata;
  return { meta: { name, uid, revision }, labels: labels ?? {} };
}

/** The claims that the pod needs; none once it has ended. */
export function decodePodUse(object: unknown): PodUse {
  const { metadata, status } = v.parse(POD, object);
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  const claims = Object.entries(metadata.annotations ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(CLAIM_PREFIX)) return value.trim();
    return key.startsWith(TEMPLATE_PREFIX) ? `${key.slice(TEMPLATE_PREFIX.length)}-${metadata.name}` : [];
  });
  const { name: pod, uid, creationTimestamp } = metadata;
  const promised = Object.keys(metadata.annotations ?? {}).some((key) => key.startsWith(PROMISE_PREFIX));
  return { pod, uid, created: creationTimestamp ?? '', promised, claims: ended ? [] : claims };
}

function metaOf(metadata: v.InferOutput<typeof META>): ObjectMeta {
  const { name, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp, finalizers } = metadata;
  return {
    name,
    uid,
    revision: resourceVersion,
    generation,
    created: creationTimestamp ?? '',
    deleting: typeof deletionTimestamp === 'string',
    finalizers: finalizers ?? [],
  };
}
