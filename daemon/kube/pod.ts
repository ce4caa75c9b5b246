/**
 * A Pod object, from the API server or from a manifest, as a Pod of the core: the only door for untrusted pods. It is total
 * (a Pod or PODS_UNREADABLE, nothing else), bounded, and keeps only what Berth uses. It must never read a file or a clock.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { ALLOW_FROM, GALAXY, HOST_IP, isClaimKey, MAPPINGS, POOL, PORTS, PROMISE_PREFIX } from '../core/annotation.ts';
import { BerthError } from '../core/errors.ts';
import { printable, quoted } from '../core/text.ts';
import type { ContainerPort, Pod } from '../core/vocabulary.ts';
import { isMap, POD, type PodObject } from './podschema.ts';

/** All annotations of an object together, as in Kubernetes (TotalAnnotationSizeLimitB); here counted in characters. */
const MAX_ANNOTATIONS = 256 * 1024;

const KEYS: ReadonlySet<string> = new Set([PORTS, POOL, HOST_IP, ALLOW_FROM, GALAXY, MAPPINGS]);

/**
 * Throws PODS_UNREADABLE, naming the first field that is not as it must be. Null means absent. Defaults: namespace `default`,
 * protocol TCP, `hostPort: 0` none, phase Pending. Without `metadata.uid` (a manifest written by hand) the uid is a UUID made
 * of namespace, name and creationTimestamp: the pod stays the same one however its file is edited, until one of these changes.
 */
export function decodePod(object: unknown): Pod {
  const parsed = v.safeParse(POD, object, { abortEarly: true });
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw unreadable(pathOf(issue), issue.message, issue.input);
  }
  const { metadata, spec, status } = parsed.output;
  const { namespace, name } = metadata;
  const annotations = annotationsOf(metadata.annotations);
  const addresses = status.podIPs.length > 0 ? status.podIPs.map(({ ip }) => ip) : [status.podIP];
  return {
    namespace,
    name,
    uid: metadata.uid ?? derivedUid(namespace, name, metadata.creationTimestamp ?? ''),
    annotations,
    hostNetwork: spec.hostNetwork,
    phase: status.phase,
    terminating: typeof metadata.deletionTimestamp === 'string',
    ended: hasEnded(parsed.output),
    podIPs: addresses.filter((ip) => ip !== ''),
    ports: [
      ...spec.containers.flatMap((one) => portsOf(one, false)),
      ...sidecarsOf(spec).flatMap((one) => portsOf(one, true)),
    ],
    createdAt: typeof metadata.creationTimestamp === 'string' ? Date.parse(metadata.creationTimestamp) : 0,
    // Nobody else's turn depends on them: pods change their readiness all the time.
    ...(Object.keys(annotations).some(isClaimKey) ? claimantOf(parsed.output) : {}),
  };
}

/** What decides about the claims of a pod. Left out where it is not so. */
function claimantOf({ metadata, status }: PodObject): Pick<Pod, 'ready' | 'stateful'> {
  const isReady = (one: unknown) => hasFields(one, { type: 'ContainersReady', status: 'True' });
  const isSet = (one: unknown) => hasFields(one, { kind: 'StatefulSet', controller: true }) && isApps(one);
  return {
    ...(status.conditions.some(isReady) ? { ready: true } : {}),
    ...(metadata.ownerReferences.some(isSet) ? { stateful: true } : {}),
  };
}

function hasFields(
  value: unknown,
  fields: Readonly<Record<string, unknown>>,
): value is Readonly<Record<string, unknown>> {
  return (
    isMap(value) &&
    Object.entries(fields).every(([key, wanted]) => Object.hasOwn(value, key) && Reflect.get(value, key) === wanted)
  );
}

function isApps({ apiVersion }: Readonly<Record<string, unknown>>): boolean {
  return typeof apiVersion === 'string' && apiVersion.startsWith('apps/');
}

/**
 * The pod as it is once `written`, the annotations that Berth owns, stand on it: what stood there in their place is gone. The
 * Galaxy key is the user's request and Berth's result in one: a pod whose user took it away does not get it back.
 */
export function withAnnotations(pod: Pod, written: Readonly<Record<string, string>>): Pod {
  const requests = Object.entries(pod.annotations).filter(([key]) => !isOwned(key));
  const results = Object.entries(written).filter(
    ([key]) => isOwned(key) || (key === GALAXY && Object.hasOwn(pod.annotations, GALAXY)),
  );
  return { ...pod, annotations: Object.fromEntries([...requests, ...results]) };
}

function isOwned(key: string): boolean {
  return key === MAPPINGS || key.startsWith(PROMISE_PREFIX);
}

/** Own properties only; none of the keys that are kept has a meaning to a prototype. */
function annotationsOf(annotations: object): Record<string, string> {
  const kept: Record<string, string> = {};
  let length = 0;
  for (const [key, value] of Object.entries(annotations)) {
    if (!KEYS.has(key) && !key.startsWith(PROMISE_PREFIX) && !isClaimKey(key)) continue;
    const path = `metadata.annotations[${quoted(key)}]`;
    if (typeof value !== 'string') throw unreadable(path, 'a string (in YAML write it in quotes)', value);
    length += key.length + value.length;
    if (length > MAX_ANNOTATIONS)
      throw unreadable('metadata.annotations', 'a map of at most 256 KiB in all', annotations);
    kept[key] = value;
  }
  return kept;
}

/** A native sidecar is an init container that is restarted for ever (Kubernetes 1.29, KEP-753). */
function sidecarsOf(spec: PodObject['spec']): PodObject['spec']['initContainers'] {
  return spec.initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always');
}

type ContainerStatus = PodObject['status']['containerStatuses'][number];

function portsOf(
  { name: container, ports }: PodObject['spec']['containers'][number],
  sidecar: boolean,
): ContainerPort[] {
  return ports.map(({ name, containerPort, protocol, hostPort, hostIP }) => ({
    container,
    sidecar,
    ...(typeof name === 'string' ? { name } : {}),
    containerPort,
    protocol,
    ...(hostPort === 0 ? {} : { hostPort }),
    ...(hostIP === '' ? {} : { hostIP }),
  }));
}

/** Every container and sidecar has terminated; one whose status is not there yet has not. */
function hasEnded({ spec, status }: PodObject): boolean {
  if (status.containerStatuses.length === 0) return status.phase === 'Succeeded' || status.phase === 'Failed';
  const statuses = [...status.containerStatuses, ...status.initContainerStatuses];
  const terminated = new Set(statuses.filter(hasTerminated).map(({ name }) => name));
  return [...spec.containers, ...sidecarsOf(spec)].every(({ name }) => terminated.has(name));
}

/**
 * A running container that kubelet finds removed while its pod is being deleted is `waiting`, with this reason in its last state, for
 * as long as the pod is there: up to a minute with kubelet 1.20 (`convertToAPIContainerStatuses`; its `getPhase` takes it for stopped).
 */
function hasTerminated({ state, lastState }: ContainerStatus): boolean {
  if (state?.terminated) return true;
  return Boolean(state?.waiting) && lastState?.terminated?.reason === 'ContainerStatusUnknown';
}

/** A UUID of version 8 (RFC 9562 section 5.8: the bits are free but for version and variant). */
function derivedUid(...parts: readonly string[]): string {
  const hex = createHash('sha256').update(parts.join('\n')).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function pathOf(issue: v.BaseIssue<unknown>): string {
  const keys = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`));
  return keys.join('').slice(1);
}

function unreadable(path: string, expected: string, found: unknown): BerthError {
  const subject = path === '' ? 'the Pod object' : path;
  if (found === undefined) return new BerthError('PODS_UNREADABLE', `${subject} is missing`);
  const kind = shown(found);
  const not = expected.startsWith(kind) ? '' : `, not ${kind}`;
  return new BerthError('PODS_UNREADABLE', `${subject} must be ${expected}${not}`);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return 'a list';
  return isMap(value) ? 'a map' : printable(String(value), 32);
}
