/**
 * The API server, asked as the user that a kubeconfig and flags say. The library of the API server is loaded here alone; of its own
 * requests it sends no header twice, which groups need, so that what is not forwarded is asked by Node's client.
 */
import http from 'node:http';
import https, { type RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KubeConfig, V1Pod } from '@kubernetes/client-node';
import { BerthError, messageOf } from '../../core/errors.ts';
import { printable, quoted } from '../../core/text.ts';
import { applyFlags, namespaceOf, type ServerFlags } from './cluster.ts';
import type { Carrier } from './forwarder.ts';
import { headersOf, type Impersonation } from './impersonation.ts';
import { loadConfig } from './kubeconfig.ts';

const MAX_REASON = 512;

/** When it is disposed of, whatever is asked ends, forwarding too. */
export interface ApiServer extends Disposable {
  /** Of the context. */
  readonly namespace: string;
  readonly carrier: Carrier;
  /** Rejects with API_REFUSED, or with API_UNREACHABLE when there was no answer. */
  listPods(namespace: string, labelSelector: string): Promise<readonly V1Pod[]>;
}

/** Connects to nothing. Rejects with CONFIG_INVALID, and with API_UNREACHABLE when there are no credentials. */
export async function openApiServer(flags: ServerFlags): Promise<ApiServer> {
  const { KubeConfig, PortForward } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const impersonations = loadConfig(config, flags.kubeconfig);
  pretend(config, applyFlags(config, impersonations, flags));
  const { agent } = await credentials(config);
  return {
    namespace: namespaceOf(config),
    carrier: new PortForward(config),
    listPods: async (namespace, labelSelector) => {
      const query = new URLSearchParams({ labelSelector });
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?${query}`;
      const { items } = (await getJson(config, path, flags.requestTimeout)) as { readonly items?: readonly V1Pod[] };
      return items ?? [];
    },
    [Symbol.dispose]: () => {
      if (typeof agent === 'object') agent.destroy();
    },
  };
}

/** Everything that is asked goes through this method of the library, forwarding too. */
function pretend(config: KubeConfig, impersonation: Impersonation): void {
  const apply = config.applyToHTTPSOptions.bind(config);
  config.applyToHTTPSOptions = async (options) => {
    await apply(options);
    options.headers = { ...options.headers, ...headersOf(impersonation) };
  };
}

/** A program that gives them may ask its user for a password: that takes its time, before any other time is counted. It is asked once. */
async function credentials(config: KubeConfig): Promise<RequestOptions> {
  try {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return options;
  } catch (error) {
    const who = quoted(config.getCurrentUser()?.name ?? '');
    const message = `there are no credentials of the user ${who} for the API server: ${reasonOf(error)}`;
    throw new BerthError('API_UNREACHABLE', message, { cause: error });
  }
}

async function getJson(config: KubeConfig, path: string, timeout: number | undefined): Promise<unknown> {
  const url = `${config.getCurrentCluster()?.server}${path}`;
  const options: RequestOptions = { headers: { Accept: 'application/json' } };
  await config.applyToHTTPSOptions(options);
  const late = timeout === undefined ? undefined : AbortSignal.timeout(timeout);
  try {
    const answer = await get(url, { ...options, ...(late && { signal: late }) });
    const body = await text(answer);
    if (answer.statusCode === 200) return JSON.parse(body);
    const status = answer.statusCode ?? 0;
    throw new BerthError(
      apiErrorCode(status),
      statusMessage(body) ?? `the API server answers with the status ${status}`,
    );
  } catch (error) {
    if (error instanceof BerthError) throw error;
    const why = late?.aborted
      ? `no answer within the ${(timeout ?? 0) / 1_000} s of --request-timeout`
      : reasonOf(error);
    throw new BerthError('API_UNREACHABLE', why, { cause: error });
  }
}

function get(url: string, options: RequestOptions): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const { request } = url.startsWith('https:') ? https : http;
  request(url, options, resolve).on('error', reject).end();
  return promise;
}

/** What the API server does not want, in contrast to what it cannot do now, and may do for whoever asks again. */
export function apiErrorCode(status: number): 'API_REFUSED' | 'API_UNREACHABLE' {
  return status >= 500 || status === 408 || status === 429 ? 'API_UNREACHABLE' : 'API_REFUSED';
}

/** Of a Status object of Kubernetes. */
function statusMessage(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { readonly message?: unknown };
    return typeof message === 'string' && message !== '' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** Of several addresses that were tried Node tells the code alone. */
function reasonOf(error: unknown): string {
  const reason = messageOf(error).trim() || String((error as { readonly code?: unknown }).code ?? 'no reason is known');
  return printable(reason, MAX_REASON);
}
