/** The lease of the leader: one object of coordination.k8s.io/v1, written only as it was read. */
import * as v from 'valibot';
import type { LeaseRecord, LeaseStore, StoredLease } from '../../claims/election.ts';
import { BerthError } from '../../core/errors.ts';
import { isConflict, isNotFound } from '../api/apierror.ts';
import type { Api } from '../api/client.ts';

/** Half of the time after which a leader that cannot renew gives up. */
const REQUEST_MS = 5_000;

export interface ApiLeaseOptions {
  readonly client: Pick<Api, 'send'>;
  readonly namespace: string;
  readonly name: string;
  /** ms since the epoch, for people. */
  readonly now: () => number;
}

const LEASE = v.looseObject({
  metadata: v.looseObject({ resourceVersion: v.string() }),
  spec: v.optional(
    v.looseObject({
      holderIdentity: v.nullish(v.string()),
      leaseDurationSeconds: v.nullish(v.number()),
      leaseTransitions: v.nullish(v.number()),
    }),
    {},
  ),
});
type Lease = v.InferOutput<typeof LEASE>;

export class ApiLease implements LeaseStore {
  readonly #options: ApiLeaseOptions;
  #read: Lease | undefined;

  constructor(options: ApiLeaseOptions) {
    this.#options = options;
  }

  async read(signal?: AbortSignal): Promise<StoredLease | undefined> {
    try {
      const answer = await this.#send({ method: 'GET', path: this.#path }, signal);
      const read = v.safeParse(LEASE, answer);
      if (!read.success)
        throw new BerthError('API_UNREACHABLE', `the answer is not what Lease ${this.#path} is made of`);
      this.#read = read.output;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#read = undefined;
      return undefined;
    }
    const { holderIdentity, leaseDurationSeconds, leaseTransitions } = this.#read.spec;
    const record = {
      holder: holderIdentity ?? '',
      seconds: leaseDurationSeconds ?? 0,
      transitions: leaseTransitions ?? 0,
    };
    return { record, revision: this.#read.metadata.resourceVersion };
  }

  async create(record: LeaseRecord, signal?: AbortSignal): Promise<boolean> {
    const { namespace, name } = this.#options;
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace, name },
      spec: this.#specOf(record, true),
    };
    return this.#written({ method: 'POST', path: this.#path.slice(0, this.#path.lastIndexOf('/')), body }, signal);
  }

  async update(record: LeaseRecord, revision: string, acquired: boolean, signal?: AbortSignal): Promise<boolean> {
    const before = this.#read;
    if (before === undefined || before.metadata.resourceVersion !== revision) return false;
    // What others wrote there stays.
    const body = { ...before, spec: { ...before.spec, ...this.#specOf(record, acquired) } };
    return this.#written({ method: 'PUT', path: this.#path, body }, signal);
  }

  #specOf({ holder, seconds, transitions }: LeaseRecord, acquired: boolean): object {
    // metav1.MicroTime.
    const time = `${new Date(this.#options.now()).toISOString().slice(0, 23)}000Z`;
    return {
      holderIdentity: holder,
      leaseDurationSeconds: seconds,
      leaseTransitions: transitions,
      renewTime: time,
      ...(acquired ? { acquireTime: time } : {}),
    };
  }

  async #written(request: Parameters<Api['send']>[0], signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#send(request, signal);
      return true;
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return false;
      throw error;
    }
  }

  #send(request: Parameters<Api['send']>[0], signal?: AbortSignal): Promise<unknown> {
    const limited = { ...request, timeoutMs: REQUEST_MS };
    return this.#options.client.send(signal === undefined ? limited : { ...limited, signal });
  }

  get #path(): string {
    const { namespace, name } = this.#options;
    return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases/${encodeURIComponent(name)}`;
  }
}
