/**
 * The client of an agent or of an aggregator with any number of replicas: it asks one, and the next when that one does not
 * answer. Every failure is an RPC_FAILED that says what to do about it. The command line uses it and nothing else.
 */
import type { BerthError } from '../core/errors.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import { MappingClient, type Page, pages, type WatchAnswer } from './client.ts';
import type { Endpoint } from './endpoint.ts';
import { isPassing, together } from './failure.ts';
import { type FollowEvent, follow, type Watchable } from './follow.ts';
import type { Answer, NodesAnswer, PodQuestion } from './views.ts';

export interface CallOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal;
}

export interface WatchOptions extends CallOptions {
  /**
   * Wait also for what has never answered yet; without it a watch that reaches no replica at its beginning throws. What does
   * not pass by itself, such as a right that is missing, is thrown in any case.
   */
  readonly patient?: boolean;
}

export class BerthClient implements Disposable {
  readonly #endpoints: readonly Endpoint[];
  readonly #onDispose: () => void;
  readonly #never = new AbortController();
  #clients: MappingClient[] = [];
  /** Of the replica that is asked next: the one that answered last. */
  #current = 0;

  /** At least one endpoint; each answers for the same. Connects with the first call. */
  constructor(endpoints: readonly Endpoint[], onDispose: () => void = () => {}) {
    if (endpoints.length === 0) throw new TypeError('a client needs an endpoint');
    this.#endpoints = endpoints;
    this.#onDispose = onDispose;
  }

  /** Whether the answers are about one node or about a cluster. */
  get scope(): 'node' | 'cluster' {
    return this.#endpoints[0]?.scope ?? 'node';
  }

  /** The live mappings of one pod; none is no error: `freshness` says how much that means. */
  get(question: PodQuestion, { signal }: CallOptions = {}): Promise<Answer> {
    return this.#ask((client) => client.get(question, signal), signal);
  }

  /** Every live mapping that matches, page by page, in the order of namespace, pod and port. */
  list(filter: MappingFilter = {}, { signal }: CallOptions = {}): AsyncGenerator<Answer> {
    return pages((token): Promise<Page<Answer>> => this.#ask((client) => client.page(filter, token, signal), signal));
  }

  /** Every node that the aggregator knows, page by page, in the order of their names. */
  listNodes({ signal }: CallOptions = {}): AsyncGenerator<NodesAnswer> {
    return pages((token): Promise<Page<NodesAnswer>> => this.#ask((client) => client.nodesPage(token, signal), signal));
  }

  /**
   * The mappings that match, `synced`, then every change, until the signal aborts. It outlives restarts and replicas: it connects
   * again by itself (`lost` says when it has to, `synced` that it has), and tells only what differs from what it told before.
   */
  watch(filter: MappingFilter = {}, { signal, patient = false }: WatchOptions = {}): AsyncGenerator<FollowEvent> {
    let last: WatchedReplica | undefined;
    return follow({
      connect: (failed) => {
        if (failed && last !== undefined && !last.alive) this.#leave(last.index);
        last = new WatchedReplica(this.#current, this.#endpoints[this.#current] as Endpoint);
        return last;
      },
      filter,
      signal: signal ?? this.#never.signal,
      patience: patient ? Number.POSITIVE_INFINITY : this.#endpoints.length - 1,
    });
  }

  /** Ends every call. */
  [Symbol.dispose](): void {
    this.#never.abort();
    for (const client of this.#clients) client[Symbol.dispose]();
    this.#clients = [];
    this.#onDispose();
  }

  async #ask<T>(call: (client: MappingClient) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const failures: BerthError[] = [];
    for (const _ of this.#endpoints) {
      const asked = this.#current;
      try {
        return await call(this.#client(asked));
      } catch (error) {
        if (signal?.aborted || !isPassing(error)) throw error;
        failures.push(error as BerthError);
        this.#leave(asked);
      }
    }
    throw together(failures);
  }

  /** Unless another call has left it already. */
  #leave(asked: number): void {
    if (this.#current === asked) this.#current = (asked + 1) % this.#endpoints.length;
  }

  #client(index: number): MappingClient {
    this.#clients[index] ??= new MappingClient(this.#endpoints[index] as Endpoint);
    return this.#clients[index];
  }
}

/** A connection of its own: when it is lost it takes no other call with it. */
class WatchedReplica implements Watchable {
  readonly index: number;
  readonly #client: MappingClient;
  /**
   * It had answered and the connection still stood when the watch ended: watches that are old are ended, and are resumed there,
   * where alone their revision means something.
   */
  alive = false;

  constructor(index: number, endpoint: Endpoint) {
    this.index = index;
    this.#client = new MappingClient(endpoint);
  }

  async *watch(...given: Parameters<Watchable['watch']>): AsyncGenerator<WatchAnswer> {
    let synced = false;
    try {
      for await (const answer of this.#client.watch(...given)) {
        synced ||= answer.synced;
        yield answer;
      }
    } catch (error) {
      this.alive = synced && this.#client.connected;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}
