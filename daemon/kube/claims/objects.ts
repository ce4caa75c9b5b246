/**
 * Classes, claims and host ports at the API server: what is there, and writes that name the revision they were decided on. No write is
 * begun when it is not certain any more that this replica leads, and none waits longer than that for its answer.
 */

import type { Fence } from '../../claims/election.ts';
import type { ClaimApi, ClaimObserver, PodUse, Seen, SeenKind, StatusOf, Written } from '../../claims/ports.ts';
import { nameOfNumber } from '../../core/claims/numbers.ts';
import {
  type Claim,
  type ClaimName,
  FINALIZER,
  type HostPort,
  type StatefulSet,
  type Target,
} from '../../core/claims/objects.ts';
import { BerthError } from '../../core/errors.ts';
import type { Clock, Random } from '../../reconcile/ports.ts';
import { TokenBucket } from '../../reconcile/tokenbucket.ts';
import { isConflict, isNotFound, isObjectMissing, retryAfterOf } from '../api/apierror.ts';
import type { Api, ApiRequest } from '../api/client.ts';
import { pause } from '../api/pause.ts';
import { fieldsOf } from '../apipod.ts';
import { ListWatch } from '../listwatch.ts';
import { decode, decodePodUse, decodeUnclear } from './schema.ts';

const GROUP = 'berth.dev/v1alpha1';
export const COLLECTIONS: Readonly<Record<SeenKind, string>> = {
  class: `/apis/${GROUP}/hostportclasses`,
  claim: `/apis/${GROUP}/hostportclaims`,
  hostport: `/apis/${GROUP}/hostports`,
  statefulset: '/apis/apps/v1/statefulsets',
  namespace: '/api/v1/namespaces',
};

/** Writes to the API server: a rate, and a reserve for bursts (I10). */
const WRITES_PER_SECOND = 50;
const WRITE_BURST = 200;
const REQUEST_MS = 15_000;

export interface ClaimObjectsOptions {
  readonly client: Api;
  readonly clock: Clock;
  readonly random: Random;
  readonly fence: Fence;
  /** Longest wait before the API server is asked again, in ms. */
  readonly reconnectCapMs: number;
  readonly signal: AbortSignal;
}

type Ref = ClaimName & { readonly uid: string };
type OwnedKind = 'class' | 'claim' | 'hostport';

export class ClaimObjects implements ClaimApi {
  readonly #options: ClaimObjectsOptions;
  readonly #bucket: TokenBucket;

  constructor(options: ClaimObjectsOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(options.clock, WRITES_PER_SECOND, WRITE_BURST);
  }

  async watch(observer: ClaimObserver, signal: AbortSignal): Promise<void> {
    const kinds = Object.keys(COLLECTIONS) as SeenKind[];
    await Promise.all(kinds.map((kind) => this.#watch(kind, observer, signal)));
  }

  async claim(name: ClaimName): Promise<Claim | undefined> {
    const object = await this.#get(pathOf('claim', name));
    return object === undefined ? undefined : decode('claim', object);
  }

  async hostPort(name: string): Promise<HostPort | undefined> {
    const object = await this.#get(pathOf('hostport', { name }));
    return object === undefined ? undefined : decoded('hostport', object);
  }

  /** Rejects when one that has a number cannot be understood. */
  async claims(): Promise<readonly Claim[]> {
    const read = (object: unknown) => (hasNumber(object) ? decode('claim', object) : decoded('claim', object));
    return this.#list(COLLECTIONS.claim, 'claim', read);
  }

  async hostPorts(): Promise<readonly HostPort[]> {
    return this.#list(COLLECTIONS.hostport, 'hostport', (object) => decoded('hostport', object));
  }

  async podsOf(namespace: string): Promise<readonly PodUse[]> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
    return (await this.#list(path, 'pods', decodePodUse)).filter(({ claims }) => claims.length > 0);
  }

  async makeHostPort(number: number, className: string, claim: Ref): Promise<Written<HostPort>> {
    const metadata = { name: nameOfNumber(number), finalizers: [FINALIZER] };
    const body = {
      apiVersion: GROUP,
      kind: 'HostPort',
      metadata,
      spec: { hostPortClassName: className, claimRef: claim },
    };
    return this.#write('hostport', { method: 'POST', path: COLLECTIONS.hostport, body });
  }

  async makeClaim(name: ClaimName, className: string, owner: StatefulSet): Promise<Written<Claim>> {
    const ownerReferences = [
      { apiVersion: 'apps/v1', kind: 'StatefulSet', name: owner.meta.name, uid: owner.meta.uid, controller: true },
    ];
    const metadata = { ...name, finalizers: [FINALIZER], ownerReferences };
    const body = { apiVersion: GROUP, kind: 'HostPortClaim', metadata, spec: { hostPortClassName: className } };
    return this.#write('claim', { method: 'POST', path: collectionOf('claim', name.namespace), body });
  }

  async setClaimRef(
    hostPort: Target,
    claim: Ref | undefined,
    finalizers: readonly string[],
  ): Promise<Written<HostPort>> {
    return this.#patch('hostport', hostPort, { metadata: { finalizers }, spec: { claimRef: claim ?? null } });
  }

  async setFinalizers<K extends OwnedKind>(
    kind: K,
    target: Target,
    finalizers: readonly string[],
  ): Promise<Written<Seen[K]>> {
    return this.#patch(kind, target, { metadata: { finalizers } });
  }

  /** All of it: what has no value is removed. */
  async setStatus<K extends OwnedKind>(kind: K, target: Target, status: StatusOf[K]): Promise<Written<Seen[K]>> {
    const fields = Object.entries(status).map(([key, value]) => [
      key,
      value === undefined || value === '' ? null : value,
    ]);
    return this.#patch(kind, target, { status: Object.fromEntries(fields) }, '/status');
  }

  async removeHostPort(hostPort: Target): Promise<Written<HostPort>> {
    const { uid, revision: resourceVersion } = hostPort;
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } };
    return this.#write('hostport', { method: 'DELETE', path: pathOf('hostport', hostPort), body });
  }

  async #watch<K extends SeenKind>(kind: K, observer: ClaimObserver, signal: AbortSignal): Promise<void> {
    const failed = (error: BerthError) => observer.failed(error);
    const seen = (object: unknown) => decoded(kind, object, failed);
    const told = {
      listed: (objects: readonly (Seen[K] | undefined)[]) => observer.listed(kind, objects.filter(isKnown)),
      changed: (object: unknown) => {
        const found = seen(object);
        if (found !== undefined) observer.changed(kind, found);
      },
      deleted: (object: unknown) => {
        const found = seen(object);
        if (found !== undefined) observer.deleted(kind, found);
      },
      failed,
    };
    await this.#lister(COLLECTIONS[kind], kind, seen).run(told, signal);
  }

  /** A new leader begins with everything that the one before wrote, which a cache may not have yet. */
  #lister<T>(path: string, what: string, read: (object: unknown) => T): ListWatch<T> {
    const { client, clock, random, reconnectCapMs } = this.#options;
    return new ListWatch({ client, path, selector: {}, what, clock, random, reconnectCapMs, fresh: true, read });
  }

  async #list<T>(path: string, what: string, read: (object: unknown) => T | undefined): Promise<readonly T[]> {
    const { items } = await this.#lister(path, what, read).fetch('now', this.#options.signal);
    return items.filter(isKnown);
  }

  /** Undefined when it is certainly gone. A server that does not know the kind (yet) says nothing of its objects. */
  async #get(path: string): Promise<unknown> {
    const { client, signal } = this.#options;
    try {
      return await client.send({ method: 'GET', path, signal });
    } catch (error) {
      if (isObjectMissing(error)) return undefined;
      throw error;
    }
  }

  /** Refused with 409 when the object has another revision; no two lives of a name ever have the same one. */
  async #patch<K extends OwnedKind>(
    kind: K,
    target: Target,
    { metadata, ...rest }: { readonly metadata?: object; readonly [key: string]: unknown },
    sub = '',
  ): Promise<Written<Seen[K]>> {
    const body = { metadata: { ...metadata, resourceVersion: target.revision }, ...rest };
    const path = `${pathOf(kind, target)}${sub}`;
    return this.#write(kind, { method: 'PATCH', path, type: 'application/merge-patch+json', body });
  }

  async #write<K extends OwnedKind>(kind: K, request: ApiRequest): Promise<Written<Seen[K]>> {
    const { client, signal } = this.#options;
    const timeoutMs = await this.#permit();
    try {
      const answer = await client.send({ ...request, timeoutMs, signal });
      // A server answers the deletion of what nothing held with a Status.
      if (fieldsOf(answer).kind === 'Status') return { kind: 'stale' };
      return { kind: 'written', object: decode(kind, answer) };
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return { kind: 'stale' };
      // A server that asks for it is left alone by this hand; there are few.
      const { clock } = this.#options;
      await pause(clock, retryAfterOf(error), signal);
      throw error;
    }
  }

  /** Resolves to how long a write may take, once there is one to be had. Rejects with LEASE_LOST. */
  async #permit(): Promise<number> {
    const { clock, fence, signal } = this.#options;
    while (!this.#bucket.take()) await pause(clock, this.#bucket.waitMs, signal);
    const left = signal.aborted ? 0 : fence.left();
    if (left > 0) return Math.min(REQUEST_MS, left);
    throw new BerthError('LEASE_LOST', 'another replica may lead by now: nothing is written');
  }
}

/** Undefined for one that cannot be understood: it hides no other one. Of a HostPort its name counts even so. */
function decoded<K extends SeenKind>(
  kind: K,
  object: unknown,
  failed: (error: BerthError) => void = () => {},
): Seen[K] | undefined {
  try {
    return decode(kind, object);
  } catch (error) {
    if (error instanceof BerthError) failed(error);
    return kind === 'hostport' ? (decodeUnclear(object) as Seen[K] | undefined) : undefined;
  }
}

function isKnown<T>(found: T | undefined): found is T {
  return found !== undefined;
}

function hasNumber(claim: unknown): boolean {
  return !['', null, undefined].includes(fieldsOf(fieldsOf(claim).status).hostPortName as string | undefined);
}

function collectionOf(kind: SeenKind, namespace: string | undefined): string {
  const collection = COLLECTIONS[kind];
  if (namespace === undefined) return collection;
  const slash = collection.lastIndexOf('/');
  return `${collection.slice(0, slash)}/namespaces/${encodeURIComponent(namespace)}${collection.slice(slash)}`;
}

function pathOf(kind: SeenKind, { namespace, name }: { readonly namespace?: string; readonly name: string }): string {
  return `${collectionOf(kind, namespace)}/${encodeURIComponent(name)}`;
}
