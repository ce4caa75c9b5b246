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

export interface ListWatchOptions {
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
}

/** Objects as the API server sent them; items of a list have no kind of their own. */
export interface ObjectObserver {
  /** These, and no others. */
  listed(objects: readonly unknown[]): void;
  changed(object: unknown): void;
  deleted(object: unknown): void;
  failed(error: BerthError): void;
}

/** What a list may be answered from. `after`: not older than this revision; `now`: not from a cache. */
type From = { readonly after: string } | 'cache' | 'now';

/** What is to be done next. */
type Next = { readonly kind: 'list'; readonly from: From } | { readonly kind: 'watch'; revision: string };

export class ListWatch {
  readonly #options: ListWatchOptions;

  constructor(options: ListWatchOptions) {
    this.#options = options;
  }

  /** Until the signal aborts. Never rejects. */
  async run(observer: ObjectObserver, signal: AbortSignal): Promise<void> {
    const { clock, random, reconnectCapMs, what } = this.#options;
    let next: Next = { kind: 'list', from: 'cache' };
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
        next = afterFailure(next, error);
      }
      failures = next.kind === 'watch' && clock.monotonic() - began >= GOOD_MS ? 0 : failures + 1;
      const wait = failures === 0 ? 0 : backoff({ first: 100, cap: reconnectCapMs }, failures, random);
      if (!signal.aborted) await pause(clock, Math.max(wait, least), signal);
    }
  }

  /** One list. Rejects with an ApiError. */
  async fetch(
    from: From,
    signal?: AbortSignal,
  ): Promise<{ readonly items: readonly unknown[]; readonly revision: string }> {
    const { client, path, selector, what } = this.#options;
    // Without a resourceVersion the answer is read from etcd (or the cache waits until it is as new).
    const version: Record<string, string> =
      from === 'now'
        ? {}
        : from === 'cache'
          ? { resourceVersion: '0' }
          : { resourceVersion: from.after, resourceVersionMatch: 'NotOlderThan' };
    const answer = await client.send({
      method: 'GET',
      path,
      query: { ...selector, ...version },
      ...(signal === undefined ? {} : { signal }),
    });
    const { items, metadata } = fieldsOf(answer);
    const { resourceVersion } = fieldsOf(metadata);
    if (!Array.isArray(items) || typeof resourceVersion !== 'string') {
      throw unreachable(`GET ${path}`, `the answer is no list of ${what}`);
    }
    return { items: items as readonly unknown[], revision: resourceVersion };
  }

  /** Resolves when the watch has ended; `at` is how far it came. */
  async #follow(at: { revision: string }, observer: ObjectObserver, signal: AbortSignal): Promise<void> {
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
function afterFailure(failed: Next, error: unknown): Next {
  if (failed.kind === 'watch') {
    return isExpired(error) ? { kind: 'list', from: { after: failed.revision } } : failed;
  }
  return isExpired(error) || isAhead(error) ? { kind: 'list', from: 'now' } : failed;
}
