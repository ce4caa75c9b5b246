/** Calls to MappingService at an agent's unix socket. Every failure is an RPC_FAILED that says what to do about it. */
import { resolve as absolute } from 'node:path';
import { Client, type ClientReadableStream, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { type berth, MappingService, type Method } from '../../proto/service.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import type { Protocol } from '../core/vocabulary.ts';
import { type FreshnessView, type MappingView, protocolNumber, toFreshnessView, toView } from './convert.ts';
import { failure } from './unreachable.ts';

export interface PodQuestion {
  readonly namespace: string;
  readonly pod: string;
  /** A port's name; absent: every port. */
  readonly name?: string;
  readonly protocol?: Protocol;
}

export interface Answer {
  readonly mappings: readonly MappingView[];
  readonly freshness: FreshnessView;
}

export interface WatchAnswer {
  readonly changes: readonly { readonly kind: 'set' | 'deleted'; readonly mapping: MappingView }[];
  /** With these changes the client has the whole state. */
  readonly synced: boolean;
  /** Where to resume; empty when it is too early for that. */
  readonly revision: string;
  readonly freshness: FreshnessView;
}

const DEADLINE_MS = 10_000;
const PAGE_SIZE = 1_000;
const OPTIONS = {
  // Otherwise a client that is made after a failure waits out the back-off of the one before.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
};

export class MappingClient implements Disposable {
  readonly #client: Client;
  readonly #path: string;

  /** Connects with the first call. */
  constructor(socketPath: string) {
    this.#path = socketPath;
    this.#client = new Client(`unix:${absolute(socketPath)}`, credentials.createInsecure(), OPTIONS);
  }

  /** The live mappings of one pod; none is no error. */
  async get(question: PodQuestion, signal?: AbortSignal): Promise<Answer> {
    const request = { ...question, protocol: protocolNumber(question.protocol) };
    return answerOf(await this.#unary(MappingService.get, request, signal));
  }

  /** Every live mapping that matches, page by page. */
  async *list(filter: MappingFilter, signal?: AbortSignal): AsyncGenerator<Answer> {
    let pageToken = '';
    do {
      const request = { filter: wireFilter(filter), pageSize: PAGE_SIZE, pageToken };
      const page = await this.#unary(MappingService.list, request, signal);
      yield answerOf(page);
      pageToken = page.nextPageToken ?? '';
    } while (pageToken !== '');
  }

  /** One Watch call. Ends without an error only when the signal aborts. */
  async *watch(filter: MappingFilter, revision: string, signal?: AbortSignal): AsyncGenerator<WatchAnswer> {
    const { path, requestSerialize, responseDeserialize } = MappingService.watch;
    const request = { filter: wireFilter(filter), revision };
    const stream = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    // grpc-js reports the end of the call once more after the loop below has gone.
    stream.on('error', () => {});
    const cancel = () => stream.cancel();
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel);
    try {
      for await (const answer of stream as ClientReadableStream<berth.v1.WatchResponse>) yield watchAnswerOf(answer);
      throw Object.assign(new Error('the server ended the watch'), { code: status.UNAVAILABLE });
    } catch (error) {
      if (!signal?.aborted) throw await failure(error as ServiceError, this.#path);
    } finally {
      signal?.removeEventListener('abort', cancel);
      cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #unary<Q, R>(method: Method<Q, unknown, never, R, false>, request: Q, signal?: AbortSignal): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    const { path, requestSerialize, responseDeserialize } = method;
    const options = { deadline: Date.now() + DEADLINE_MS };
    const call = this.#client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      options,
      (error, answer) => (error === null ? resolve(answer as R) : reject(error)),
    );
    const cancel = () => call.cancel();
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel);
    try {
      return await promise;
    } catch (error) {
      throw await failure(error as ServiceError, this.#path);
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }
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
