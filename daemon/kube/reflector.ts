/**
 * The pods of one node as the API server has them: a list, then a watch from the list's revision, for ever. It never gives up,
 * never takes a pod for gone because something could not be read, and keeps nothing of its own but the last revision.
 *
 *              listed                      ended, broken, silent: from the last revision
 *   listing -----------> watching ----------------------------+
 *      ^ |                  ^  |                               |
 *      | +- failed: later   +--|-------------------------------+
 *      |                       |
 *      +-----------------------+ the revision is no longer kept (410)
 */
import { BerthError, messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import type { Pod } from '../core/vocabulary.ts';
import type { Clock, PodObserver, PodSource, Random } from '../reconcile/ports.ts';
import { asApiError, isAhead, isExpired, isNotFound, retryAfterOf, unreachable } from './api/apierror.ts';
import { backoff } from './api/backoff.ts';
import type { Api } from './api/client.ts';
import { pause } from './api/pause.ts';
import { type WatchEvent, watchObjects } from './api/watch.ts';
import { decodeApiPod, fieldsOf, labelOf, nodeOf } from './apipod.ts';

const PODS = '/api/v1/pods';
/** A watch that lasted for so long, in ms, was a good one: what comes after it is no repetition of a failure. */
const GOOD_MS = 5_000;
/** The server ends a watch after this many seconds … twice as many (as client-go has it, so that watches spread over servers). */
const WATCH_SECONDS = 300;
/** Bookmarks come once a minute (bookmarkFrequency of the watch cache). */
const IDLE_MS = 150_000;

export interface ReflectorOptions {
  readonly client: Api;
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Longest wait before the API server is asked again, in ms. */
  readonly reconnectCapMs: number;
  /** A watch over which nothing came for so long, in ms, is opened anew. */
  readonly idleMs?: number;
}

/** What is to be done next. `after`: the list must not be older than this revision; `now`: it must not come from a cache. */
type Next =
  | { readonly kind: 'list'; readonly from: { readonly after: string } | 'cache' | 'now' }
  | { readonly kind: 'watch'; revision: string };

export class Reflector implements PodSource {
  readonly #options: ReflectorOptions;
  readonly #selector: string;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#selector = `spec.nodeName=${options.node}`;
  }

  async watch(observer: PodObserver, signal: AbortSignal): Promise<void> {
    const { clock, random, reconnectCapMs } = this.#options;
    let next: Next = { kind: 'list', from: 'cache' };
    let failures = 0;
    while (!signal.aborted) {
      const began = clock.monotonic();
      let least = 0;
      try {
        if (next.kind === 'list') {
          next = await this.#list(next.from, observer, signal);
          continue;
        }
        await this.#follow(next, observer, signal);
      } catch (error) {
        if (signal.aborted) break;
        // That a revision is no longer kept is how a long absence ends.
        if (!isExpired(error)) observer.failed(asApiError('pods', error));
        least = retryAfterOf(error);
        next = afterFailure(next, error);
      }
      failures = next.kind === 'watch' && clock.monotonic() - began >= GOOD_MS ? 0 : failures + 1;
      const wait = failures === 0 ? 0 : backoff({ first: 100, cap: reconnectCapMs }, failures, random);
      if (!signal.aborted) await pause(clock, Math.max(wait, least), signal);
    }
  }

  /** A pod of that name on another node is none of this node's. */
  async get(namespace: string, name: string): Promise<Pod | undefined> {
    try {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
      const object = await this.#options.client.send({ method: 'GET', path });
      return nodeOf(object) === this.#options.node ? decodeApiPod(object) : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list(): Promise<readonly Pod[]> {
    const { items } = await this.#fetch('now');
    return items.map(decodeApiPod);
  }

  async #list(
    from: Extract<Next, { kind: 'list' }>['from'],
    observer: PodObserver,
    signal: AbortSignal,
  ): Promise<Next> {
    const { items, revision } = await this.#fetch(from, signal);
    const pods = items.flatMap((item) => decoded(item, observer) ?? []);
    if (!signal.aborted) observer.listed(pods);
    return { kind: 'watch', revision };
  }

  async #fetch(from: Extract<Next, { kind: 'list' }>['from'], signal?: AbortSignal) {
    // Without a resourceVersion the answer is read from etcd (or the cache waits until it is as new).
    const version: Record<string, string> =
      from === 'now'
        ? {}
        : from === 'cache'
          ? { resourceVersion: '0' }
          : { resourceVersion: from.after, resourceVersionMatch: 'NotOlderThan' };
    const answer = await this.#options.client.send({
      method: 'GET',
      path: PODS,
      query: { fieldSelector: this.#selector, ...version },
      ...(signal === undefined ? {} : { signal }),
    });
    const { items, metadata } = fieldsOf(answer);
    const { resourceVersion } = fieldsOf(metadata);
    if (!Array.isArray(items) || typeof resourceVersion !== 'string') {
      throw unreachable(`GET ${PODS}`, 'the answer is no list of pods');
    }
    return { items: items as readonly unknown[], revision: resourceVersion };
  }

  /** Resolves when the watch has ended; `at` is how far it came. */
  async #follow(at: { revision: string }, observer: PodObserver, signal: AbortSignal): Promise<void> {
    const { client, random, idleMs = IDLE_MS } = this.#options;
    const events = watchObjects(client, {
      path: PODS,
      fieldSelector: this.#selector,
      revision: at.revision,
      timeoutSeconds: Math.round(WATCH_SECONDS * (1 + random())),
      idleMs,
      signal,
    });
    for await (const event of events) {
      if (signal.aborted) return;
      tell(event, observer);
      at.revision = event.revision;
    }
  }
}

function tell(event: WatchEvent, observer: PodObserver): void {
  if (event.kind === 'bookmark') return;
  const pod = decoded(event.object, observer);
  if (pod === undefined) return;
  if (event.kind === 'changed') observer.changed(pod);
  else observer.deleted({ namespace: pod.namespace, name: pod.name, uid: pod.uid });
}

/** A pod that cannot be understood hides no other (I8). */
function decoded(object: unknown, observer: PodObserver): Pod | undefined {
  try {
    return decodeApiPod(object);
  } catch (error) {
    const why = printable(`pod ${labelOf(object)}: ${messageOf(error)}`, 512);
    observer.failed(new BerthError('PODS_UNREADABLE', why, { cause: error }));
    return undefined;
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
