/** Who makes and changes what the agent is to see, by HTTP: nodes, pods, and what kubelet writes on them. */
import { Pool } from 'undici';
import { tokenOf } from './accounts.ts';

/** An object of the API: what a test reads of it is written down where it is read. */
// biome-ignore lint/suspicious/noExplicitAny: the API's objects have no types here
export type Thing = any;

export class Admin implements AsyncDisposable {
  readonly #pool: Pool;

  constructor(url: string, tls: { readonly ca?: string }) {
    this.#pool = new Pool(url, { connections: 16, connect: { ...tls } });
  }

  async get(path: string): Promise<Thing> {
    return JSON.parse(await this.text(path));
  }

  async text(path: string): Promise<string> {
    return this.#send('GET', path);
  }

  /** `collection` is the path under which it appears. */
  async create(collection: string, object: object): Promise<Thing> {
    return JSON.parse(await this.#send('POST', collection, object));
  }

  async patch(path: string, patch: object, type = 'application/strategic-merge-patch+json'): Promise<Thing> {
    return JSON.parse(await this.#send('PATCH', path, patch, type));
  }

  /** `seconds` undefined: as long as the pod wants. */
  async remove(path: string, seconds?: number): Promise<Thing> {
    return JSON.parse(await this.#send('DELETE', path, seconds === undefined ? {} : { gracePeriodSeconds: seconds }));
  }

  async namespace(name: string): Promise<void> {
    await this.create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }

  async node(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.create('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
  }

  /** As kubelet: the status alone changes. */
  async setStatus(namespace: string, name: string, status: object): Promise<Thing> {
    return this.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, { status });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#pool.destroy();
  }

  async #send(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object, type = 'application/json') {
    const { statusCode, body: answer } = await this.#pool.request({
      method,
      path,
      headers: { authorization: `Bearer ${tokenOf('admin')}`, ...(body === undefined ? {} : { 'content-type': type }) },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.text();
    if (statusCode < 300) return text;
    throw new Error(`${method} ${path}: ${statusCode} ${text}`);
  }
}
