/** What the double of the API server answers about namespaces, nodes, pods and Events: what the agent and the tests use of them. */
import { randomUUID } from 'node:crypto';
import { PagesDouble } from './pages.double.ts';
import { mergePatch, strategicPatch } from './patches.double.ts';
import type { Store, StoredEvent, StoredPod } from './store.double.ts';

/** A request as it arrives. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: AskedBody;
}

/** What is sent: a patch, or an object. */
export interface AskedBody {
  readonly metadata: {
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly name?: string;
    readonly annotations?: Readonly<Record<string, string | null>>;
  };
  readonly status?: { readonly conditions: readonly { readonly message?: string }[] };
  readonly gracePeriodSeconds?: number;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly token?: string; readonly audiences?: readonly string[]; readonly user?: string };
}

export interface Reply {
  readonly code: number;
  readonly body: object;
}

/** All annotations of an object together (TotalAnnotationSizeLimitB). */
const MAX_ANNOTATIONS = 256 * 1024;

export class Resources {
  /** What a watch cache that is behind has: lists that need not be the newest are answered from it. */
  oldList: { readonly items: readonly StoredPod[]; readonly revision: number } | undefined;
  /** How a foreign uid in a patch is refused: 422 as an immutable field (Kubernetes 1.20), or 409. */
  uidRefusal: 409 | 422 = 422;
  readonly #store: Store;
  readonly #pages = new PagesDouble();

  constructor(store: Store) {
    this.#store = store;
  }

  answer(asked: Asked): Reply {
    const { method, path, query, body } = asked;
    const [, , , collection, ...rest] = path.split('/');
    if (method === 'GET' && collection === 'pods') return this.#list(path, query);
    if (collection === 'nodes') return this.#node(method, rest[0], path, body);
    if (collection === 'namespaces' && rest.length < 2) return this.#namespace(method, rest[0], path, body);
    const [namespace = '', kind, name, sub] = rest;
    if (method === 'POST') {
      const ending = this.#refusalOf(namespace, `${kind}`);
      if (ending !== undefined) return ending;
    }
    if (kind === 'pods' && method === 'GET' && name === undefined) return this.#list(path, query);
    if (kind === 'pods') return this.#pod(asked, namespace, name, sub);
    if (kind === 'events') return this.#event(asked, namespace, name);
    return refusal(405, 'MethodNotAllowed', path);
  }

  #node(method: string, name: string | undefined, path: string, body: AskedBody): Reply {
    if (method === 'GET') return found(this.#store.nodes.get(name ?? ''), path);
    this.#store.nodes.set(`${body.metadata.name}`, body);
    return { code: 201, body };
  }

  #namespace(method: string, name: string | undefined, path: string, body: AskedBody): Reply {
    const { namespaces } = this.#store;
    if (method === 'POST') {
      namespaces.set(`${body.metadata.name}`, 'Active');
      return { code: 201, body };
    }
    if (method !== 'DELETE' || name === undefined) return refusal(405, 'MethodNotAllowed', path);
    // What is in it goes one after the other, by a controller that is not here; until then it stands and ends.
    namespaces.set(name, 'Terminating');
    return { code: 200, body: { kind: 'Namespace', status: { phase: 'Terminating' } } };
  }

  /** Why nothing can be created there. Namespaces count as soon as a test made one. */
  #refusalOf(namespace: string, kind: string): Reply | undefined {
    const { namespaces } = this.#store;
    if (namespaces.size === 0 || namespaces.get(namespace) === 'Active') return undefined;
    if (!namespaces.has(namespace)) return refusal(404, 'NotFound', `namespaces "${namespace}" not found`);
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    return refusal(403, 'Forbidden', `${kind} is forbidden: ${why}`, ['NamespaceTerminating']);
  }

  #pod({ method, path, body, headers }: Asked, namespace: string, name: string | undefined, sub?: string): Reply {
    const key = `${namespace}/${name}`;
    if (method === 'POST') return this.#createPod(namespace, body);
    if (method === 'PATCH') return this.#patch(key, body, `${headers['content-type']}`, sub === 'status');
    const pod = this.#store.pods.get(key);
    if (method === 'DELETE' && pod !== undefined) return this.#delete(key, pod, body.gracePeriodSeconds ?? 30);
    return found(pod, path);
  }

  /** The server gives the uid, and a new pod has the status of one that waits, whatever was sent. */
  #createPod(namespace: string, body: AskedBody): Reply {
    const { name } = body.metadata;
    if (this.#store.pods.has(`${namespace}/${name}`))
      return refusal(409, 'AlreadyExists', `pods "${name}" already exists`);
    const metadata = { annotations: {}, ...body.metadata, namespace, uid: randomUUID() };
    return { code: 201, body: this.#store.put({ ...body, metadata, status: { phase: 'Pending' } }) };
  }

  /** With a grace period the pod stays until kubelet deletes it with none; then too it is first told that it ends. */
  #delete(key: string, pod: StoredPod, seconds: number): Reply {
    const deletionTimestamp = new Date(Date.now() + 1_000 * seconds).toISOString();
    const metadata = { ...pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: seconds };
    const body = this.#store.put({ ...pod, metadata });
    if (seconds === 0) this.#store.remove(key);
    return { code: 200, body };
  }

  #event({ method, path, body }: Asked, namespace: string, name: string | undefined): Reply {
    const { events } = this.#store;
    if (method === 'POST') {
      const created = `${namespace}/${body.metadata.name}`;
      if (events.has(created)) return refusal(409, 'AlreadyExists', `events ${created} already exists`);
      events.set(created, body as AskedBody & StoredEvent);
      return { code: 201, body };
    }
    const key = `${namespace}/${name}`;
    if (method === 'GET' && name === undefined) {
      return { code: 200, body: { kind: 'EventList', items: [...events].flatMap(inNamespace(namespace)) } };
    }
    const event = events.get(key);
    if (event === undefined) return refusal(404, 'NotFound', path);
    if (method === 'DELETE') events.delete(key);
    if (method === 'PATCH') events.set(key, mergePatch(event, body) as StoredEvent);
    return { code: 200, body: events.get(key) ?? event };
  }

  #list(path: string, query: Asked['query']): Reply {
    const next = this.#pages.next(query, this.#store.compacted);
    if (next !== undefined) return next;
    const { resourceVersion, resourceVersionMatch } = query;
    const old = resourceVersion === undefined ? undefined : this.oldList;
    const revision = old?.revision ?? this.#store.revision;
    if (resourceVersionMatch === 'NotOlderThan' && Number(resourceVersion) > revision) {
      return refusal(504, 'Timeout', 'Too large resource version', ['ResourceVersionTooLarge']);
    }
    const items = (old?.items ?? [...this.#store.pods.values()]).filter((pod) => isSelected(pod, path, query));
    // Items of a list have no kind of their own.
    const bare = items.map((pod) => ({ ...pod, apiVersion: undefined, kind: undefined }));
    return this.#pages.first({ kind: 'PodList', items: bare, revision }, query);
  }

  #patch(key: string, patch: AskedBody, type: string, sub: boolean): Reply {
    const pod = this.#store.pods.get(key);
    if (pod === undefined) return refusal(404, 'NotFound', `pods ${key} not found`);
    const { uid, resourceVersion = pod.metadata.resourceVersion } = patch.metadata ?? {};
    if (uid !== undefined && uid !== pod.metadata.uid) {
      return this.uidRefusal === 409
        ? refusal(409, 'Conflict', `the UID in the precondition is ${uid}`)
        : refusal(422, 'Invalid', `metadata.uid: Invalid value: "${uid}": field is immutable`);
    }
    if (resourceVersion !== pod.metadata.resourceVersion)
      return refusal(409, 'Conflict', 'the object has been modified');
    const merged = (type.startsWith('application/strategic') ? strategicPatch : mergePatch)(pod, patch) as StoredPod;
    // Through its status a pod's metadata can be changed too, and its spec cannot; without it all but the status.
    const changed = sub ? { ...merged, spec: pod.spec } : { ...merged, status: pod.status };
    const size = Object.entries(changed.metadata.annotations ?? {}).reduce(
      (sum, [one, value]) => sum + one.length + String(value).length,
      0,
    );
    if (size > MAX_ANNOTATIONS)
      return refusal(422, 'Invalid', `metadata.annotations: Too long: must have at most ${MAX_ANNOTATIONS} bytes`);
    return { code: 200, body: this.#store.put(changed) };
  }
}

/** Whether a list or a watch at this path, with this selector, holds the pod. */
export function isSelected(
  { spec, metadata }: StoredPod,
  path: string,
  { fieldSelector, labelSelector }: Asked['query'],
): boolean {
  const [, namespace] = /\/namespaces\/([^/]+)\//.exec(path) ?? [];
  const labels = (metadata as { readonly labels?: Readonly<Record<string, string>> }).labels ?? {};
  return (
    (namespace === undefined || metadata.namespace === namespace) &&
    (fieldSelector === undefined || `spec.nodeName=${spec.nodeName}` === fieldSelector) &&
    (labelSelector ?? '').split(',').every((one) => {
      const [key = '', value] = one.split('=');
      return key === '' || labels[key] === value;
    })
  );
}

function inNamespace(namespace: string) {
  return ([key, event]: readonly [string, StoredEvent]) => (key.startsWith(`${namespace}/`) ? [event] : []);
}

function found(object: object | undefined, path: string): Reply {
  return object === undefined ? refusal(404, 'NotFound', `${path} not found`) : { code: 200, body: object };
}

/** A Status object. */
export function refusal(code: number, reason: string, message: string, causes: readonly string[] = []): Reply {
  const details = causes.length === 0 ? {} : { details: { causes: causes.map((one) => ({ reason: one })) } };
  return { code, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, ...details } };
}
