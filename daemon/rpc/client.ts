/** Calls to one agent or one replica of an aggregator. Every failure is an RPC_FAILED that says what to do about it. */
import { Client, type ClientReadableStream, connectivityState, type ServiceError, status } from '@grpc/grpc-js';
import { type berth, MappingService, type Method, NodeService } from '../../proto/service.ts';
import type { BerthError } from '../core/errors.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import { protocolNumber, toFreshnessView, toView } from './convert.ts';
import type { Endpoint } from './endpoint.ts';
import { failure } from './failure.ts';
import { nodesAnswerOf } from './nodeview.ts';
import type { Answer, FreshnessView, MappingView, NodesAnswer, PodQuestion } from './views.ts';

export interface Page<T> {
  readonly answer: T;
  /** The token of the page that follows; empty when this is the last. */
  readonly next: string;
}

export interface WatchAnswer {
  readonly changes: readonly { readonly kind: 'set' | 'deleted'; readonly mapping: MappingView }[];
  /** With these changes the client has the whole state. */
  readonly synced: boolean;
  /** Where to resume; empty when it is too early for that. */
  readonly revision: string;
  readonly freshness: FreshnessView;
}

/** How long an answer may take, once there is a connection. */
const ANSWER_MS = 5_000;
const PAGE_SIZE = 1_000;

interface Call {
  cancel(): void;
}

export class MappingClient implements Disposable {
  readonly #client: Client;
  readonly #endpoint: Endpoint;

  /** Connects with the first call. */
  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    this.#client = new Client(endpoint.target, endpoint.credentials, endpoint.options);
  }

  /** Whether the connection stands: when a call has failed nevertheless it was the server that ended it. */
  get connected(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === connectivityState.READY;
  }

  /** The live mappings of one pod; none is no error. */
  async get(question: PodQuestion, signal?: AbortSignal): Promise<Answer> {
    const request = { ...question, protocol: protocolNumber(question.protocol) };
    return answerOf(await this.#unary(MappingService.get, request, signal));
  }

  /** The live mappings that match, a page of them: the one that follows the token, which is empty for the first. */
  async page(filter: MappingFilter, pageToken: string, signal?: AbortSignal): Promise<Page<Answer>> {
    const request = { filter: wireFilter(filter), pageSize: PAGE_SIZE, pageToken };
    const page = await this.#unary(MappingService.list, request, signal);
    return { answer: answerOf(page), next: page.nextPageToken ?? '' };
  }

  /** Every live mapping that matches, page by page. */
  list(filter: MappingFilter, signal?: AbortSignal): AsyncGenerator<Answer> {
    return pages((token) => this.page(filter, token, signal));
  }

  /** The nodes that an aggregator knows, a page of them. */
  async nodesPage(pageToken: string, signal?: AbortSignal): Promise<Page<NodesAnswer>> {
    const page = await this.#unary(NodeService.listNodes, { pageSize: PAGE_SIZE, pageToken }, signal);
    return { answer: nodesAnswerOf(page), next: page.nextPageToken ?? '' };
  }

  /** One Watch call. Ends without an error only when the signal aborts. */
  async *watch(filter: MappingFilter, revision: string, signal?: AbortSignal): AsyncGenerator<WatchAnswer> {
    const { path, requestSerialize, responseDeserialize } = MappingService.watch;
    const request = { filter: wireFilter(filter), revision };
    const stream = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    // grpc-js reports the end of the call once more after the loop below has gone.
    stream.on('error', () => {});
    using limits = this.#limit(stream, signal);
    try {
      for await (const answer of stream as ClientReadableStream<berth.v1.WatchResponse>) yield watchAnswerOf(answer);
      throw Object.assign(new Error('the server ended the watch'), { code: status.UNAVAILABLE });
    } catch (error) {
      if (!signal?.aborted) throw await this.#failure(error, limits.late);
    } finally {
      stream.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #unary<Q, R>(method: Method<Q, unknown, never, R, false>, request: Q, signal?: AbortSignal): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    const { path, requestSerialize, responseDeserialize } = method;
    const options = { deadline: Date.now() + this.#endpoint.connectMs + ANSWER_MS };
    const call = this.#client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      options,
      (error, answer) => (error === null ? resolve(answer as R) : reject(error)),
    );
    using limits = this.#limit(call, signal);
    try {
      return await promise;
    } catch (error) {
      throw await this.#failure(error, limits.late);
    }
  }

  #failure(error: unknown, late: boolean): Promise<BerthError> {
    const slow = { code: status.UNAVAILABLE, details: 'not connected in time' };
    return failure((late ? Object.assign(new Error(slow.details), slow) : error) as ServiceError, this.#endpoint);
  }

  /** Cancels the call with the signal, and when there is no connection in time. */
  #limit(call: Call, signal: AbortSignal | undefined): Disposable & { readonly late: boolean } {
    let late = false;
    const cancel = () => call.cancel();
    const timer = setTimeout(() => {
      late = !this.connected;
      if (late) cancel();
    }, this.#endpoint.connectMs);
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel);
    return {
      get late() {
        return late;
      },
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', cancel);
      },
    };
  }
}

/** Asks for one page after the other, until one is the last. */
export async function* pages<T>(ask: (token: string) => Promise<Page<T>>): AsyncGenerator<T> {
  let token = '';
  do {
    const { answer, next } = await ask(token);
    yield answer;
    token = next;
  } while (token !== '');
}

function wireFilter(filter: MappingFilter): berth.v1.Filter.$Properties {
  return { ...filter, protocol: protocolNumber(filter.protocol) };
}

function answerOf(answer: berth.v1.GetResponse.$Properties | berth.v1.ListResponse.$Properties): Answer {
  return { mappings: (answer.mappings ?? []).map(toView), freshness: toFreshnessView(answer.freshness) };
}

function watchAnswerOf(answer: berth.v1.WatchResponse.$Properties): WatchAnswer {
  return {
    changes: (answer.changes ?? []).flatMap(changeOf),
    synced: answer.synced ?? false,
    revision: answer.revision ?? '',
    freshness: toFreshnessView(answer.freshness),
  };
}

/** Nothing for a kind of change that was added to the contract later. */
function changeOf({ set, deleted }: berth.v1.Change.$Properties): WatchAnswer['changes'] {
  if (set) return [{ kind: 'set', mapping: toView(set) }];
  return deleted ? [{ kind: 'deleted', mapping: toView(deleted) }] : [];
}
