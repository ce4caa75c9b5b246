/**
 * An API server in memory for objects of any kind: revisions and their history, uids, generations, finalizers, the status subresource,
 * preconditions, each as the real one has it. It has no clock and no connections, and knows no schema.
 */
import { isDeepStrictEqual } from 'node:util';
import type { WatchLine } from './apiserver.double.ts';
import { PagesDouble } from './pages.double.ts';
import { mergePatch, strategicPatch } from './patches.double.ts';
import { type Asked, type Reply, refusal } from './resources.double.ts';

export interface ResourceDouble {
  /** Such as `/apis/berth.dev/v1alpha1`. */
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** It has a status that is written by itself. */
  readonly status: boolean;
}

/** As JSON. */
export interface StoredObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation: number;
    readonly creationTimestamp: string;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

interface ObjectChange {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly plural: string;
  readonly revision: number;
  readonly object: StoredObject;
}

/** What a path names. */
interface Place {
  readonly resource: ResourceDouble;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly sub: string | undefined;
}

export class ObjectsDouble {
  /** Kinds may come and go, as definitions do. */
  readonly resources: ResourceDouble[];
  /** ISO, as timestamps are written. */
  readonly #now: () => string;
  readonly #objects = new Map<string, Map<string, StoredObject>>();
  readonly #history: ObjectChange[] = [];
  readonly #listeners = new Set<(change: ObjectChange) => void>();
  readonly #pages = new PagesDouble();
  #revision = 100;
  #uids = 0;
  /** Revisions up to this one are no longer kept for watches. */
  #compacted = 0;
  /** How many changes a list that need not be the newest is behind. */
  behind = 0;
  /** Told of every change, after it. */
  onChange: (change: ObjectChange) => void = () => {};

  constructor(resources: readonly ResourceDouble[], now: () => string) {
    this.resources = [...resources];
    this.#now = now;
    for (const { plural } of resources) this.#objects.set(plural, new Map());
  }

  get revision(): number {
    return this.#revision;
  }

  all(plural: string): readonly StoredObject[] {
    return [...(this.#objects.get(plural) ?? new Map<string, StoredObject>()).values()];
  }

  /** By name, or namespace/name. */
  get(plural: string, key: string): StoredObject | undefined {
    return this.#objects.get(plural)?.get(key);
  }

  /** Watches from before are answered with 410. */
  compact(): void {
    this.#compacted = this.#revision;
  }

  answer({ method, path, query, headers, body }: Asked): Reply {
    const place = this.#placeOf(path);
    if (place === undefined) return refusal(404, 'NotFound', 'the server could not find the requested resource');
    if (method === 'POST') return this.#create(place, body);
    if (place.name === undefined) {
      return method === 'GET' ? this.#list(place, query) : refusal(405, 'MethodNotAllowed', path);
    }
    const stored = this.get(place.resource.plural, keyIn(place));
    if (stored === undefined) return refusal(404, 'NotFound', `${place.resource.plural} "${place.name}" not found`);
    if (method === 'GET') return { code: 200, body: stored };
    if (method === 'DELETE') return this.#delete(place, stored, body);
    if (method === 'PATCH') {
      const patch = `${headers['content-type']}`.startsWith('application/strategic') ? strategicPatch : mergePatch;
      return this.#update(place, stored, patch(stored, body) as StoredObject, body);
    }
    if (method === 'PUT') return this.#update(place, stored, body as unknown as StoredObject, body);
    return refusal(405, 'MethodNotAllowed', path);
  }

  /** As `ApiServerDouble.watch`. */
  watch(path: string, query: Asked['query'], say: (line: WatchLine) => void): (() => void) | undefined {
    const place = this.#placeOf(path);
    const from = Number(query.resourceVersion);
    if (place === undefined || from < this.#compacted) {
      say({ type: 'ERROR', object: refusal(410, 'Expired', 'too old resource version').body });
      return undefined;
    }
    const tell = ({ type, plural, object }: ObjectChange) => {
      if (plural === place.resource.plural && isSelected(place, query, object)) say({ type, object });
    };
    for (const change of this.#history) if (change.revision > from) tell(change);
    this.#listeners.add(tell);
    return () => this.#listeners.delete(tell);
  }

  /** Takes an object away whatever holds it, as removing its finalizers by hand does. */
  force(plural: string, key: string): void {
    const stored = this.get(plural, key);
    if (stored !== undefined) this.#remove(plural, key, stored);
  }

  #create({ resource, namespace }: Place, body: Asked['body']): Reply {
    const { plural, status } = resource;
    const given = body as unknown as StoredObject;
    const { name } = given.metadata;
    const key = namespace === undefined ? name : `${namespace}/${name}`;
    if (this.get(plural, key) !== undefined) return refusal(409, 'AlreadyExists', `${plural} "${name}" already exists`);
    const metadata = {
      ...given.metadata,
      ...(namespace === undefined ? {} : { namespace }),
      uid: `uid-${++this.#uids}`,
      generation: 1,
      creationTimestamp: this.#now(),
    };
    const { status: told, ...rest } = given;
    const object = { ...rest, ...(status || told === undefined ? {} : { status: told }), metadata };
    return { code: 201, body: this.#store('ADDED', plural, key, object as unknown as StoredObject) };
  }

  #list(place: Place, query: Asked['query']): Reply {
    const next = this.#pages.next(query, this.#compacted);
    if (next !== undefined) return next;
    const { resource } = place;
    const { resourceVersion, resourceVersionMatch } = query;
    const old = resourceVersion === '0' ? this.behind : 0;
    const revision = old === 0 ? this.#revision : (this.#history.at(-old - 1)?.revision ?? 100);
    if (resourceVersionMatch === 'NotOlderThan' && Number(resourceVersion) > revision) {
      return refusal(504, 'Timeout', 'Too large resource version', ['ResourceVersionTooLarge']);
    }
    const objects = old === 0 ? this.all(resource.plural) : this.#at(resource.plural, revision);
    const items = objects.filter((object) => isSelected(place, query, object));
    // Items of a list have no kind of their own.
    const bare = items.map((object) => ({ ...object, apiVersion: undefined, kind: undefined }));
    return this.#pages.first({ kind: `${resource.kind}List`, items: bare, revision }, query);
  }

  /** The objects as they were. */
  #at(plural: string, revision: number): readonly StoredObject[] {
    const objects = new Map<string, StoredObject>();
    for (const change of this.#history) {
      if (change.revision > revision) break;
      if (change.plural !== plural) continue;
      const { namespace, name } = change.object.metadata;
      const key = namespace === undefined ? name : `${namespace}/${name}`;
      if (change.type === 'DELETED') objects.delete(key);
      else objects.set(key, change.object);
    }
    return [...objects.values()];
  }

  #update(place: Place, stored: StoredObject, wanted: StoredObject, sent: Asked['body']): Reply {
    const { resource, sub } = place;
    const { uid, resourceVersion } = sent.metadata ?? {};
    if (uid !== undefined && uid !== stored.metadata.uid) {
      return refusal(409, 'Conflict', `Precondition failed: UID in precondition: ${uid}`);
    }
    if (resourceVersion !== undefined && resourceVersion !== stored.metadata.resourceVersion) {
      return refusal(409, 'Conflict', 'the object has been modified; please apply your changes to the latest version');
    }
    if (sub !== undefined && sub !== 'status') return refusal(404, 'NotFound', `no subresource ${sub}`);
    const finalizers = wanted.metadata.finalizers ?? [];
    const added = finalizers.filter((one) => !(stored.metadata.finalizers ?? []).includes(one));
    if (sub === undefined && stored.metadata.deletionTimestamp !== undefined && added.length > 0) {
      return refusal(
        422,
        'Invalid',
        'metadata.finalizers: no new finalizers can be added if the object is being deleted',
      );
    }
    const changed = this.#changed(resource, stored, wanted, sub);
    if (isDeepStrictEqual(changed, stored)) return { code: 200, body: stored };
    const key = keyIn(place);
    if (changed.metadata.deletionTimestamp !== undefined && (changed.metadata.finalizers ?? []).length === 0) {
      return { code: 200, body: this.#remove(resource.plural, key, changed) };
    }
    return { code: 200, body: this.#store('MODIFIED', resource.plural, key, changed) };
  }

  /** What a write may change, and what it may not. */
  #changed(
    { status, plural }: ResourceDouble,
    stored: StoredObject,
    wanted: StoredObject,
    sub: string | undefined,
  ): StoredObject {
    if (sub === 'status') {
      // That of a pod takes annotations too (podStatusStrategy.PrepareForUpdate).
      const given = plural === 'pods' ? { annotations: wanted.metadata.annotations } : {};
      return plain({ ...stored, metadata: { ...stored.metadata, ...given }, status: wanted.status }) as StoredObject;
    }
    const { finalizers, annotations, labels, ownerReferences } = wanted.metadata;
    const next = status ? { ...wanted, status: stored.status } : wanted;
    const { status: _, metadata: __, ...spec } = stored;
    const { status: ___, metadata: ____, ...nextSpec } = next;
    const generation = stored.metadata.generation + (isDeepStrictEqual(plain(spec), plain(nextSpec)) ? 0 : 1);
    const metadata = { ...stored.metadata, finalizers, annotations, labels, ownerReferences, generation };
    return plain({ ...next, metadata }) as StoredObject;
  }

  #delete(place: Place, stored: StoredObject, body: Asked['body']): Reply {
    const { uid, resourceVersion } =
      (body as unknown as { readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string } })
        .preconditions ?? {};
    const { metadata } = stored;
    if (
      (uid ?? metadata.uid) !== metadata.uid ||
      (resourceVersion ?? metadata.resourceVersion) !== metadata.resourceVersion
    ) {
      return refusal(409, 'Conflict', 'Precondition failed');
    }
    const { plural } = place.resource;
    const key = keyIn(place);
    if ((metadata.finalizers ?? []).length === 0) {
      this.#remove(plural, key, stored);
      return { code: 200, body: { kind: 'Status', apiVersion: 'v1', status: 'Success' } };
    }
    if (metadata.deletionTimestamp !== undefined) return { code: 200, body: stored };
    const marked = { ...metadata, deletionTimestamp: this.#now(), generation: metadata.generation + 1 };
    return { code: 200, body: this.#store('MODIFIED', plural, key, { ...stored, metadata: marked }) };
  }

  #store(type: 'ADDED' | 'MODIFIED', plural: string, key: string, object: StoredObject): StoredObject {
    const stored = plain(this.#revised(object)) as StoredObject;
    this.#objects.get(plural)?.set(key, stored);
    this.#tell({ type, plural, revision: this.#revision, object: stored });
    return stored;
  }

  #remove(plural: string, key: string, object: StoredObject): StoredObject {
    const removed = this.#revised(object);
    this.#objects.get(plural)?.delete(key);
    this.#tell({ type: 'DELETED', plural, revision: this.#revision, object: removed });
    return removed;
  }

  #revised(object: StoredObject): StoredObject {
    return { ...object, metadata: { ...object.metadata, resourceVersion: `${++this.#revision}` } };
  }

  #tell(change: ObjectChange): void {
    this.#history.push(change);
    for (const listener of [...this.#listeners]) listener(change);
    this.onChange(change);
  }

  #placeOf(path: string): Place | undefined {
    for (const resource of this.resources) {
      if (!path.startsWith(`${resource.group}/`)) continue;
      const steps = path
        .slice(resource.group.length + 1)
        .split('/')
        .map(decodeURIComponent);
      const scoped = resource.namespaced && steps[0] === 'namespaces' && steps.length > 2;
      const [plural, name, sub] = scoped ? steps.slice(2) : steps;
      // What is in a namespace is no subresource of it.
      const inside = !resource.namespaced && sub !== undefined && sub !== 'status';
      if (plural === resource.plural && !inside)
        return { resource, namespace: scoped ? steps[1] : undefined, name, sub };
    }
    return undefined;
  }
}

function keyIn({ namespace, name }: Place): string {
  return namespace === undefined ? `${name}` : `${namespace}/${name}`;
}

/** Of field selectors it knows the one for the pods of a node. */
function isSelected(
  { namespace }: Place,
  { fieldSelector }: Asked['query'],
  { metadata, spec }: StoredObject,
): boolean {
  if (namespace !== undefined && metadata.namespace !== namespace) return false;
  const { nodeName } = (spec ?? {}) as { readonly nodeName?: string };
  return fieldSelector === undefined || fieldSelector === `spec.nodeName=${nodeName}`;
}

/** As it comes back from JSON: without what has no value. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
