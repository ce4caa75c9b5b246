/**
 * Requests to the API server: JSON in, JSON out, one type of error, a time limit for each. It never repeats a request by
 * itself: who asks knows what a repetition means.
 */
import { messageOf } from '../../core/errors.ts';
import type { Clock } from '../../reconcile/ports.ts';
import { asApiError, refused, unreachable } from './apierror.ts';
import type { Credentials } from './credentials.ts';
import { Deadline } from './pause.ts';
import { Pools } from './pools.ts';
import type { Transport } from './transport.ts';

/** Longest body that is read: the pods of a full node with all that others wrote on them are a few MB. */
const MAX_BODY = 256 * 1024 * 1024;
/** Of the body of a refusal. */
const MAX_REFUSAL = 64 * 1024;
const REQUEST_MS = 15_000;

export type PatchType = 'application/merge-patch+json' | 'application/strategic-merge-patch+json';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** `application/json` without it. */
  readonly type?: PatchType;
  /** Until the whole answer is there, in ms. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What the adapters need of the API server. */
export interface Api {
  /** The answer's JSON. Rejects with an ApiError. */
  send(request: ApiRequest): Promise<unknown>;
  /**
   * The answer's bytes as they come. Ends with the answer, and when the signal aborts; throws an ApiError when the connection
   * breaks, or nothing came for `idleMs` (`timeoutMs` until the answer begins).
   */
  stream(request: ApiRequest, idleMs: number): AsyncIterable<Uint8Array>;
}

export interface ApiClientOptions {
  readonly credentials: Credentials;
  readonly clock: Clock;
  /** How the agent calls itself, as the API server's audit log shows it. */
  readonly userAgent: string;
  /** Connections to the server, without it. */
  readonly transport?: Transport;
}

export class ApiClient implements Api, AsyncDisposable {
  readonly #options: ApiClientOptions;
  readonly #transport: Transport;

  constructor(options: ApiClientOptions) {
    this.#options = options;
    this.#transport = options.transport ?? new Pools(new URL(options.credentials.server).origin);
  }

  async send(request: ApiRequest): Promise<unknown> {
    const what = this.#what(request);
    const { timeoutMs = REQUEST_MS } = request;
    using deadline = new Deadline(this.#options.clock, timeoutMs, request.signal);
    try {
      const body = await this.#open(request, what, deadline.signal);
      return jsonOf(await textOf(body, MAX_BODY));
    } catch (error) {
      throw deadline.expired
        ? unreachable(what, `there was no answer for ${timeoutMs} ms`, error)
        : asApiError(what, error);
    }
  }

  async *stream(request: ApiRequest, idleMs: number): AsyncGenerator<Uint8Array> {
    const what = this.#what(request);
    using deadline = new Deadline(this.#options.clock, request.timeoutMs ?? REQUEST_MS, request.signal);
    try {
      const body = await this.#open(request, what, deadline.signal);
      deadline.restart(idleMs);
      for await (const chunk of body) {
        deadline.restart(idleMs);
        yield chunk;
      }
    } catch (error) {
      if (deadline.expired) throw unreachable(what, 'the connection has gone silent', error);
      if (request.signal?.aborted !== true) throw asApiError(what, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }

  #what({ method, path }: ApiRequest): string {
    return `${method} ${this.#options.credentials.server}${path}`;
  }

  async #open(request: ApiRequest, what: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { credentials, userAgent } = this.#options;
    const { method, path, query = {}, body, type = 'application/json' } = request;
    const grant = await credentials.grant();
    // A kubeconfig may name a server behind a path (Rancher does).
    const base = new URL(credentials.server).pathname.replace(/\/$/, '');
    const headers = {
      ...grant.headers,
      accept: 'application/json',
      'user-agent': userAgent,
      ...(body === undefined ? {} : { 'content-type': type }),
    };
    const wired = { method, path: `${base}${path}`, query, headers, signal };
    const text = body === undefined ? null : JSON.stringify(body);
    const response = await this.#transport.request({ ...wired, body: text }, grant.tls);
    const { statusCode } = response;
    if (statusCode >= 200 && statusCode < 300) return response.body;
    if (statusCode === 401) credentials.rejected();
    const refusal = await textOf(response.body, MAX_REFUSAL);
    const retryAfter = response.headers['retry-after'];
    throw refused(what, statusCode, parsed(refusal), typeof retryAfter === 'string' ? retryAfter : undefined);
  }
}

async function textOf(body: AsyncIterable<Uint8Array>, max: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > max) throw new Error(`the answer has more than ${max} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What V8 says of bad JSON quotes it, and an answer can hold a token or a key. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Error(`the answer is no JSON (${text.length} characters)`);
  }
}

/** Proxies in front of the API server answer in plain text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return text === '' ? messageOf(error) : text;
  }
}
