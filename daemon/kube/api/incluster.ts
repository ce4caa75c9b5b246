/**
 * The credentials of a pod: address from the environment, token and CA from files that kubelet replaces before they run out
 * (BoundServiceAccountTokenVolume). Written here because KubeConfig of @kubernetes/client-node costs 85 MB of memory
 * and, when the token's file is away for a moment, fails although it knows a token that is still good.
 */
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { BerthError, messageOf } from '../../core/errors.ts';
import type { Clock } from '../../reconcile/ports.ts';
import type { Credentials, Grant } from './credentials.ts';

export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** How old what was read may be, in ms. kubelet replaces a token when a fifth of its life is left: 12 minutes and more. */
const FRESH_MS = 10_000;

/** Undefined when this is no container of Kubernetes: the variables are those of the Service `kubernetes`. */
export function inClusterServer(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host || !port) return undefined;
  return `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

export class InClusterCredentials implements Credentials {
  readonly server: string;
  readonly #directory: string;
  readonly #clock: Clock;
  #known: Grant | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<Grant> | undefined;

  constructor(server: string, directory: string, clock: Clock) {
    this.server = server;
    this.#directory = directory;
    this.#clock = clock;
  }

  grant(): Promise<Grant> {
    if (this.#known !== undefined && this.#clock.monotonic() - this.#readAt < FRESH_MS) {
      return Promise.resolve(this.#known);
    }
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  rejected(): void {
    this.#readAt = Number.NEGATIVE_INFINITY;
  }

  async #read(): Promise<Grant> {
    const path = join(this.#directory, 'token');
    try {
      const [token, ca] = await Promise.all([
        readFile(path, 'utf8'),
        readFile(join(this.#directory, 'ca.crt'), 'utf8'),
      ]);
      // Both files are links through one directory that is replaced as a whole; an empty one is being written.
      if (token.trim() === '') throw new Error(`${path} is empty`);
      this.#known = { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } };
      this.#readAt = this.#clock.monotonic();
    } catch (error) {
      // A file that is away for a moment: what is known is good until the server says otherwise.
      if (this.#known !== undefined) return this.#known;
      const why = `the credentials of the service account in ${this.#directory} cannot be read: ${messageOf(error)}; `;
      const remedy = 'let the pod mount its token (automountServiceAccountToken), or give --kubeconfig';
      throw new BerthError('CONFIG_INVALID', `${why}${remedy}`, { cause: error });
    }
    return this.#known;
  }
}
