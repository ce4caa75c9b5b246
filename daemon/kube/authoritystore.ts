/**
 * The authority's place in a cluster: a Secret and a ConfigMap that the manifests make empty, so that the aggregator needs the right
 * to read and replace these two and none to create any. `kubectl apply` of a manifest without `data` leaves what others wrote there:
 * it takes away only what an earlier apply put (its last-applied annotation, or the fields that it manages).
 */
import * as v from 'valibot';
import { BerthError } from '../core/errors.ts';
import { isConflict, isForbidden, isNotFound } from './api/apierror.ts';
import type { ApiClient } from './api/client.ts';

export interface ApiAuthorityStoreOptions {
  readonly client: Pick<ApiClient, 'send'>;
  readonly namespace: string;
  /** Of the Secret and of the ConfigMap. */
  readonly name: string;
}

/** In the ConfigMap; kube-root-ca.crt has it too. */
const BUNDLE = 'ca.crt';

const OBJECT = v.looseObject({
  metadata: v.looseObject({ resourceVersion: v.string() }),
  data: v.nullish(v.record(v.string(), v.string()), {}),
});
type StoredObject = v.InferOutput<typeof OBJECT>;

export class ApiAuthorityStore {
  readonly where: string;
  readonly #options: ApiAuthorityStoreOptions;
  #secret: StoredObject | undefined;

  constructor(options: ApiAuthorityStoreOptions) {
    this.#options = options;
    this.where = `Secret ${options.namespace}/${options.name}`;
  }

  async read(): Promise<{ readonly data: Readonly<Record<string, string>>; readonly revision: string }> {
    this.#secret = await this.#get('secrets');
    const entries = Object.entries(this.#secret.data ?? {});
    const data = Object.fromEntries(entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
    return { data, revision: this.#secret.metadata.resourceVersion };
  }

  /** The rest of the Secret stays as it was read. */
  async replace(data: Readonly<Record<string, string>>, revision: string): Promise<boolean> {
    if (this.#secret?.metadata.resourceVersion !== revision) return false;
    const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    return await this.#put('secrets', { ...this.#secret, data: Object.fromEntries(encoded) });
  }

  async publish(bundle: string): Promise<void> {
    const stands = await this.#get('configmaps');
    if (stands.data?.[BUNDLE] === bundle) return;
    // Another replica that was faster writes the same, or looks again soon.
    await this.#put('configmaps', { ...stands, data: { ...stands.data, [BUNDLE]: bundle } });
  }

  async #get(kind: 'secrets' | 'configmaps'): Promise<StoredObject> {
    try {
      const read = v.safeParse(OBJECT, await this.#options.client.send({ method: 'GET', path: this.#path(kind) }));
      if (read.success) return read.output;
    } catch (error) {
      throw this.#explained(kind, error);
    }
    // What was read may be a key: no part of it may reach a message.
    throw new BerthError('API_UNREACHABLE', `the answer of the API server is not what ${kind} are made of`);
  }

  async #put(kind: 'secrets' | 'configmaps', body: object): Promise<boolean> {
    try {
      await this.#options.client.send({ method: 'PUT', path: this.#path(kind), body });
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw this.#explained(kind, error);
    }
  }

  #explained(kind: 'secrets' | 'configmaps', error: unknown): unknown {
    const { namespace, name } = this.#options;
    if (!isNotFound(error) && !isForbidden(error)) return error;
    const what = `${kind === 'secrets' ? 'Secret' : 'ConfigMap'} ${namespace}/${name}`;
    const why = isNotFound(error) ? 'is missing' : 'may not be read and replaced by this account';
    const remedy = 'apply deploy/aggregator, which has it and the rights for it, or give --tls-cert and --tls-key';
    return new BerthError('CONFIG_INVALID', `the ${what} ${why}: ${remedy}`, { cause: error });
  }

  #path(kind: 'secrets' | 'configmaps'): string {
    const { namespace, name } = this.#options;
    return `/api/v1/namespaces/${encodeURIComponent(namespace)}/${kind}/${encodeURIComponent(name)}`;
  }
}
