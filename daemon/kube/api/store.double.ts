/** The objects of the stand-in: pods with revisions and their history, nodes, Events. What a watch or an old list needs to know. */
import { isDeepStrictEqual } from 'node:util';

/** Objects as JSON: what tests look at, and whatever else was put there. */
export interface StoredPod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion?: string;
    readonly creationTimestamp?: string;
    annotations: Record<string, string>;
  };
  readonly spec: { readonly nodeName: string };
  readonly status: { readonly conditions?: readonly Readonly<Record<string, string>>[] };
}

export interface StoredEvent {
  readonly metadata: { readonly name: string };
  readonly involvedObject: object;
  readonly message: string;
  readonly count: number;
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
}

/** A Secret or a ConfigMap. */
export interface StoredData {
  readonly kind: 'Secret' | 'ConfigMap';
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion: string };
  readonly data?: Readonly<Record<string, string>>;
}

/** Whose a token is, as TokenReview answers. */
export interface StoredUser {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  readonly object: StoredPod;
}

export class Store {
  readonly pods = new Map<string, StoredPod>();
  readonly events = new Map<string, StoredEvent>();
  readonly nodes = new Map<string, object>();
  readonly namespaces = new Map<string, 'Active' | 'Terminating'>();
  /** By `secrets/NAMESPACE/NAME` or `configmaps/NAMESPACE/NAME`. */
  readonly data = new Map<string, StoredData>();
  /** By token; `audiences` are those that the token was made for. */
  readonly tokens = new Map<string, { readonly user: StoredUser; readonly audiences: readonly string[] }>();
  /** Asked by every SubjectAccessReview, with its spec. */
  allows: (spec: {
    readonly user: string;
    readonly resourceAttributes?: Readonly<Record<string, string>>;
    readonly nonResourceAttributes?: Readonly<Record<string, string>>;
  }) => boolean = () => false;
  history: Change[] = [];
  revision = 100;
  /** Revisions up to this one are no longer kept. */
  compacted = 0;
  readonly onChange = new Set<(change: Change) => void>();

  /** Empty, as the manifests make it. */
  putData(
    kind: 'Secret' | 'ConfigMap',
    namespace: string,
    name: string,
    data?: Readonly<Record<string, string>>,
  ): StoredData {
    const metadata = { namespace, name, resourceVersion: `${++this.revision}` };
    const stored = { kind, metadata, ...(data && { data }) };
    this.data.set(`${kind.toLowerCase()}s/${namespace}/${name}`, stored);
    return stored;
  }

  /** The pod appears or changes. Written again as it was, its revision stays, as with the API server. */
  put(object: object): StoredPod {
    const { metadata, spec, ...rest } = object as StoredPod;
    const key = `${metadata.namespace}/${metadata.name}`;
    const before = this.pods.get(key);
    const now = (resourceVersion: string): StoredPod => ({
      ...rest,
      spec: { ...spec, nodeName: spec.nodeName ?? 'node-a' },
      metadata: { ...metadata, resourceVersion },
    });
    if (before !== undefined && isDeepStrictEqual(before, now(before.metadata.resourceVersion ?? ''))) return before;
    const stored = now(`${++this.revision}`);
    this.pods.set(key, stored);
    this.#tell({ type: before === undefined ? 'ADDED' : 'MODIFIED', revision: this.revision, object: stored });
    return stored;
  }

  remove(key: string): void {
    const before = this.pods.get(key);
    if (before === undefined) return;
    this.pods.delete(key);
    const metadata = { ...before.metadata, resourceVersion: `${++this.revision}` };
    this.#tell({ type: 'DELETED', revision: this.revision, object: { ...before, metadata } });
  }

  /** As etcd's compaction: watches from before are answered by 410. */
  compact(): void {
    this.compacted = this.revision;
    this.history = [];
  }

  #tell(change: Change): void {
    this.history.push(change);
    for (const listener of this.onChange) listener(change);
  }
}
