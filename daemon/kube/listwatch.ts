/**
 * The objects of one resource as the API server has them, as far as a selector picks them: a list, then a watch from the list's
 * revision, for ever. It never gives up, and keeps nothing of its own but the last revision.
 *
 *              listed                      ended, broken, silent: from the last revision
 *   listing -----------> watching ----------------------------+
 *      ^ |                  ^  |                               |
 *      | +- failed: later   +--|-------------------------------+
 *      |                       |
 *      +-----------------------+ the revision is no longer kept (410)
 */
import type { BerthError } from '../core/errors.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import { asApiError, isAhead, isExpired, retryAfterOf, unreachable } from './api/apierror.ts';
import { backoff } from './api/backoff.ts';
import type { Api } from './api/client.ts';
import { pause } from './api/pause.ts';
import { type Selector, watchObjects } from './api/watch.ts';
import { fieldsOf } from './apipod.ts';

/** A watch that lasted for so long, in ms, was a good one: what comes after it is no repetition of a failure. */
const GOOD_MS = 5_000;
/** The server ends a watch after this many seconds … twice as many (as client-go has it, so that watches spread over servers). */
const WATCH_SECONDS = 300;
/** Bookmarks come once a minute (bookmarkFrequency of the watch cache). */
const IDLE_MS = 150_000;
/** Objects of one page of a list (as client-go has it). */
const PAGE = 500;

export interface ListWatchOptions<T = unknown> {
  readonly client: Api;
  /** Of the collection. */
  readonly path: string;
  readonly selector: Selector;
  /** How failures are called, such as `pods`. */
  readonly what: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Longest wait before the API server is asked again, in ms. */
  readonly reconnectCapMs: number;
  /** A watch over which nothing came for so long, in ms, is opened anew. */
  readonly idleMs?: number;
  /**
   * Every list tells what is so now, in pages: etcd bears that of one replica. Without it lists are answered from the server's cache, as
   * thousands of nodes need it; a cache knows no pages.
   */
  readonly fresh?: boolean;
  /** Makes of each object of a list what is kept of it, page by page: a long list keeps the process from nothing for long. */
  readonly read?: (object: unknown) => T;
}

/** Objects as the API server sent them; items of a list have no kind of their own. */
export interface ObjectObserver<T = unknown> {
  /** These, and no others, as `read` made them. */
  listed(objects: readonly T[]): void;
  changed(object: unknown): void;
  deleted(object: unknown): void;
  failed(error: BerthError): void;
}

/** What a list may be answered from. `after`: not older than this revision; `now`: not from a cache. */
type From = { readonly after: string } | 'cache' | 'now';

/** What is to be done next. */
type Next = { readonly kind: 'list'; readonly from: From } | { readonly kind: 'watch'; revision: string };

interface List<T> {
  readonly items: readonly T[];
  readonly revision: string;
}

export class ListWatch<T = unknown> {
  readonly #options: ListWatchOptions<T>;

  constructor(options: ListWatchOptions<T>) {
    this.#options = options;
  }

  /** Until the signal aborts. Never rejects. */
  async run(observer: ObjectObserver<T>, signal: AbortSignal): Promise<void> {
    const { clock, random, reconnectCapMs, what, fresh } = this.#options;
    let next: Next = { kind: 'list', from: fresh ? 'now' : 'cache' };
    let failures = 0;
    while (!signal.aborted) {
      const began = clock.monotonic();
      let least = 0;
      try {
        if (next.kind === 'list') {
          const { items, revision } = await this.fetch(next.from, signal);
          if (!signal.aborted) observer.listed(items);
          next = { kind: 'watch', revision };
          continue;
        }
        await this.#follow(next, observer, signal);
      } catch (error) {
        if (signal.aborted) break;
        // That a revision is no longer kept is how a long absence ends.
        if (!isExpired(error)) observer.failed(asApiError(what, error));
        least = retryAfterOf(error);
        next = afterFailure(next, error, fresh);
      }
      failures = next.kind === 'watch' && clock.monotonic() - began >= GOOD_MS ? 0 : failures + 1;
      const wait = failures === 0 ? 0 : backoff({ first: 100, cap: reconnectCapMs }, failures, random);
      if (!signal.aborted) await pause(clock, Math.max(wait, least), signal);
    }
  }

  /** One list. Rejects with an ApiError. */
  async fetch(from: From, signal?: AbortSignal): Promise<List<T>> {
    if (from === 'cache') return this.#list({ resourceVersion: '0' }, signal);
    // A limit would send a server to etcd for this too.
    if (from !== 'now') {
      return this.#list({ resourceVersion: from.after, resourceVersionMatch: 'NotOlderThan' }, signal);
    }
    try {
      // Without a resourceVersion the answer is read from etcd (or the cache waits until it is as new).
      return await this.#list({ limit: `${PAGE}` }, signal);
    } catch (error) {
      if (!isExpired(error)) throw error;
      // The pages came so slowly that their revision is no longer kept: all at once, which ends for certain.
      return this.#list({}, signal);
    }
  }

  /** To the last page: all are of the revision of the first one. */
  async #list(query: Readonly<Record<string, string>>, signal: AbortSignal | undefined): Promise<List<T>> {
    const { client, path, selector, what, read = (object) => object as T } = this.#options;
    const items: T[] = [];
    for (let more: Readonly<Record<string, string>> = query; ; ) {
      const sent = { method: 'GET', path, query: { ...selector, ...more } } as const;
      const answer = fieldsOf(await client.send(signal === undefined ? sent : { ...sent, signal }));
      const { resourceVersion, continue: token } = fieldsOf(answer.metadata);
      if (!Array.isArray(answer.items) || typeof resourceVersion !== 'string') {
        throw unreachable(`GET ${path}`, `the answer is no list of ${what}`);
      }
      for (const object of answer.items as readonly unknown[]) items.push(read(object));
      if (typeof token !== 'string' || token === '') return { items, revision: resourceVersion };
      more = { limit: `${PAGE}`, continue: token };
    }
  }

  /** Resolves when the watch has ended; `at` is how far it came. */
  async #follow(at: { revision: string }, observer: ObjectObserver<T>, signal: AbortSignal): Promise<void> {
    const { client, path, selector, random, idleMs = IDLE_MS } = this.#options;
    const events = watchObjects(client, {
      path,
      selector,
      revision: at.revision,
      timeoutSeconds: Math.round(WATCH_SECONDS * (1 + random())),
      idleMs,
      signal,
    });
    for await (const event of events) {
      if (signal.aborted) return;
      if (event.kind !== 'bookmark') observer[event.kind](event.object);
      at.revision = event.revision;
    }
  }
}

/**
 * A list must not go back behind what was seen: another API server may be behind. One that has not come so far, or no longer
 * knows the revision, is asked for what is so now.
 */
function afterFailure(failed: Next, error: unknown, fresh = false): Next {
  if (failed.kind === 'watch') {
    return isExpired(error) ? { kind: 'list', from: fresh ? 'now' : { after: failed.revision } } : failed;
  }
  return isExpired(error) || isAhead(error) ? { kind: 'list', from: 'now' } : failed;
}
