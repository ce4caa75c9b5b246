/** What the stand-in answers about namespaces, nodes, pods and Events: the part of the API that the agent and the tests use. */
import { randomUUID } from 'node:crypto';
import { mergePatch, strategicPatch } from './patches.ts';
import type { Asked, Body } from './server.ts';
import type { Store, StoredEvent, StoredPod } from './store.ts';

export interface Reply {
  readonly code: number;
  readonly body: object;
}

export class Resources {
  /** What a list with resourceVersion=0 is answered from: an old state, when set. */
  oldList: { readonly items: readonly StoredPod[]; readonly revision: number } | undefined;
  /** How a foreign uid in a patch is refused: 422 as an immutable field (Kubernetes 1.20), or 409. */
  uidRefusal: 409 | 422 = 422;
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  answer(asked: Asked): Reply {
    const { method, path, query, body } = asked;
    const [, , , collection, ...rest] = path.split('/');
    if (method === 'GET' && collection === 'pods') return this.#list(query);
    if (collection === 'nodes') return this.#node(method, rest[0], path, body);
    if (collection === 'namespaces' && rest.length < 2) return this.#namespace(method, rest[0], path, body);
    const [namespace = '', kind, name, sub] = rest;
    if (method === 'POST') {
      const refusal = this.#refusalOf(namespace, `${kind}`);
      if (refusal !== undefined) return refusal;
    }
    if (kind === 'pods') return this.#pod(asked, namespace, name, sub);
    if (kind === 'events') return this.#event(asked, namespace, name);
    return status(405, 'MethodNotAllowed', path);
  }

  #node(method: string, name: string | undefined, path: string, body: Body): Reply {
    if (method === 'GET') return found(this.#store.nodes.get(name ?? ''), path);
    this.#store.nodes.set(`${body.metadata.name}`, body);
    return { code: 201, body };
  }

  #namespace(method: string, name: string | undefined, path: string, body: Body): Reply {
    const { namespaces } = this.#store;
    if (method === 'POST') {
      namespaces.set(`${body.metadata.name}`, 'Active');
      return { code: 201, body };
    }
    if (method !== 'DELETE' || name === undefined) return status(405, 'MethodNotAllowed', path);
    // What is in it goes one after the other, by a controller that is not here; until then it stands and ends.
    namespaces.set(name, 'Terminating');
    return { code: 200, body: { kind: 'Namespace', status: { phase: 'Terminating' } } };
  }

  /** Why nothing can be created there. Namespaces count as soon as a test made one. */
  #refusalOf(namespace: string, kind: string): Reply | undefined {
    const { namespaces } = this.#store;
    if (namespaces.size === 0 || namespaces.get(namespace) === 'Active') return undefined;
    if (!namespaces.has(namespace)) return status(404, 'NotFound', `namespaces "${namespace}" not found`);
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    return status(403, 'Forbidden', `${kind} is forbidden: ${why}`, ['NamespaceTerminating']);
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
  #createPod(namespace: string, body: Body): Reply {
    const { name } = body.metadata;
    if (this.#store.pods.has(`${namespace}/${name}`))
      return status(409, 'AlreadyExists', `pods "${name}" already exists`);
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
      if (events.has(created)) return status(409, 'AlreadyExists', `events ${created} already exists`);
      events.set(created, body as Body & StoredEvent);
      return { code: 201, body };
    }
    const key = `${namespace}/${name}`;
    if (method === 'GET' && name === undefined) {
      return { code: 200, body: { kind: 'EventList', items: [...events].flatMap(inNamespace(namespace)) } };
    }
    const event = events.get(key);
    if (event === undefined) return status(404, 'NotFound', path);
    if (method === 'DELETE') events.delete(key);
    if (method === 'PATCH') events.set(key, mergePatch(event, body) as StoredEvent);
    return { code: 200, body: events.get(key) ?? event };
  }

  #list({ resourceVersion, resourceVersionMatch, fieldSelector }: Asked['query']): Reply {
    const cached = resourceVersion === '0' ? this.oldList : undefined;
    if (
      resourceVersionMatch === 'NotOlderThan' &&
      Number(resourceVersion) > (this.oldList?.revision ?? this.#store.revision)
    ) {
      return status(504, 'Timeout', 'Too large resource version', ['ResourceVersionTooLarge']);
    }
    const items = (cached?.items ?? [...this.#store.pods.values()]).filter(
      (pod) => `spec.nodeName=${pod.spec.nodeName}` === fieldSelector,
    );
    // Items of a list have no kind of their own.
    const bare = items.map((pod) => ({ ...pod, apiVersion: undefined, kind: undefined }));
    return {
      code: 200,
      body: {
        kind: 'PodList',
        apiVersion: 'v1',
        metadata: { resourceVersion: `${cached?.revision ?? this.#store.revision}` },
        items: bare,
      },
    };
  }

  #patch(key: string, patch: Body, type: string, sub: boolean): Reply {
    const pod = this.#store.pods.get(key);
    if (pod === undefined) return status(404, 'NotFound', `pods ${key} not found`);
    const uid = patch.metadata?.uid;
    if (uid !== undefined && uid !== pod.metadata.uid) {
      return this.uidRefusal === 409
        ? status(409, 'Conflict', `the UID in the precondition is ${uid}`)
        : status(422, 'Invalid', `metadata.uid: Invalid value: "${uid}": field is immutable`);
    }
    const merged = (type.startsWith('application/strategic') ? strategicPatch : mergePatch)(pod, patch) as StoredPod;
    // Through its status a pod's metadata can be changed too, and its spec cannot; without it all but the status.
    const changed = sub ? { ...merged, spec: pod.spec } : { ...merged, status: pod.status };
    const size = Object.entries(changed.metadata.annotations ?? {}).reduce(
      (sum, [one, value]) => sum + one.length + String(value).length,
      0,
    );
    if (size > 256 * 1024)
      return status(422, 'Invalid', 'metadata.annotations: Too long: must have at most 262144 bytes');
    return { code: 200, body: this.#store.put(changed) };
  }
}

function inNamespace(namespace: string) {
  return ([key, event]: readonly [string, StoredEvent]) => (key.startsWith(`${namespace}/`) ? [event] : []);
}

function found(object: object | undefined, path: string): Reply {
  return object === undefined ? status(404, 'NotFound', `${path} not found`) : { code: 200, body: object };
}

export function status(code: number, reason: string, message: string, causes: readonly string[] = []): Reply {
  const details = causes.length === 0 ? {} : { details: { causes: causes.map((one) => ({ reason: one })) } };
  return { code, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, ...details } };
}
