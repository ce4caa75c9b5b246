/**
 * Pods from a directory with one manifest a pod, for a node without a cluster and for tests. Every change is told within
 * milliseconds; what no event tells (a lost one, the target of a link) the next relist finds. It must never tell of a
 * deletion because something could not be read. Manifests should be replaced by rename: a text that was half written and
 * happens to be a complete Pod cannot be told from a whole one.
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename, resolve } from 'node:path';
import { BerthError, messageOf } from '../core/errors.ts';
import type { Pod } from '../core/vocabulary.ts';
import type { Clock, PodObserver, PodSource } from '../reconcile/ports.ts';
import { Catalog, identityOf } from './catalog.ts';
import { isManifestName } from './manifest.ts';
import { Teller } from './teller.ts';

/** Two turns are at least so many ms apart: a lone change is told at once, what comes in a burst is read together. */
const GAP_MS = 2;
/** Waiting for a directory that cannot be read or watched, in ms. */
const RETRY = { first: 100, cap: 2_000 } as const;

export interface DirectorySourceOptions {
  readonly clock: Clock;
  /** How often everything is read without an event, in ms: 60,000 by default. */
  readonly relistMs?: number;
  /** How long a file may be unreadable before that is reported, in ms: 1,000 by default. */
  readonly settleMs?: number;
}

export class DirectorySource implements PodSource {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #relistMs: number;
  readonly #catalog: Catalog;
  #watcher: { readonly handle: FSWatcher; readonly identity: string } | undefined;
  /** Something was noticed since the last look began. */
  #woken = false;
  #awake: () => void = () => {};

  constructor(directory: string, { clock, relistMs = 60_000, settleMs = 1_000 }: DirectorySourceOptions) {
    this.#directory = resolve(directory);
    this.#clock = clock;
    this.#relistMs = relistMs;
    this.#catalog = new Catalog(this.#directory, clock, settleMs);
  }

  /**
   * `listed` at first, every `relistMs`, and when the directory can be read again; `changed` and `deleted` in between; `failed`
   * once for each thing that is wrong, and again when it had been right. One call at a time.
   */
  async watch(observer: PodObserver, signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#awake(), { once: true });
    try {
      await this.#follow(new Teller(observer), signal);
    } finally {
      this.#unwatch();
    }
  }

  // What `get` and `list` find on their way is told.
  get(namespace: string, name: string): Promise<Pod | undefined> {
    return this.#catalog.find(namespace, name).finally(() => this.#wake());
  }

  list(): Promise<readonly Pod[]> {
    return this.#catalog.all().finally(() => this.#wake());
  }

  async #follow(teller: Teller, signal: AbortSignal): Promise<void> {
    let relistAt = this.#clock.monotonic();
    let failures = 0;
    while (!signal.aborted) {
      const began = this.#clock.monotonic();
      const relist = began >= relistAt;
      if (relist) relistAt = began + this.#relistMs;
      this.#woken = false;
      const trouble = await this.#look(relist);
      if (signal.aborted) break;
      teller.tell(this.#catalog, relist, trouble);
      failures = trouble === undefined ? 0 : failures + 1;
      const retryAt = began + Math.min(RETRY.cap, RETRY.first * 2 ** (failures - 1));
      const until = failures > 0 ? retryAt : Math.min(relistAt, this.#catalog.dueAt);
      if (!this.#woken && !signal.aborted) await this.#pause(until);
      if (!signal.aborted) await this.#pause(began + GAP_MS);
    }
  }

  /** Reads what may have changed. Resolves to what keeps the directory from being read, or from being watched. */
  async #look(relist: boolean): Promise<BerthError | undefined> {
    const unwatched = await this.#rewatch();
    // Without events it is polled.
    if (relist || unwatched !== undefined) this.#catalog.markAll();
    this.#catalog.markDue();
    try {
      await this.#catalog.refresh();
    } catch (error) {
      return error as BerthError;
    }
    // Another directory has taken the place of the one that is watched.
    if (this.#watcher !== undefined && this.#watcher.identity !== this.#catalog.identity) this.#lose();
    return unwatched;
  }

  async #rewatch(): Promise<BerthError | undefined> {
    if (this.#watcher !== undefined) return undefined;
    try {
      // In this order: one that takes its place in between is noticed at the next look.
      const identity = await identityOf(this.#directory);
      const handle = watch(this.#directory, { persistent: false }, (_, name) => this.#notice(name));
      handle.on('error', () => this.#lose());
      this.#watcher = { handle, identity };
      this.#catalog.markAll();
      return undefined;
    } catch (error) {
      const why = `cannot watch the directory of manifests ${this.#directory}: ${messageOf(error)}; it is read every ${RETRY.cap} ms`;
      return new BerthError('PODS_UNREADABLE', why, { cause: error });
    }
  }

  /**
   * The name is that of the directory when the event is about itself: it was moved or removed, or its mode changed. A mounted
   * ConfigMap changes all its files by one rename of the link `..data`.
   */
  #notice(name: string | null): void {
    if (name === basename(this.#directory)) this.#lose();
    else if (name === null || name.startsWith('..')) this.#catalog.markAll();
    else if (isManifestName(name)) this.#catalog.mark(name);
    else return;
    this.#wake();
  }

  #lose(): void {
    this.#unwatch();
    this.#wake();
  }

  #unwatch(): void {
    this.#watcher?.handle.close();
    this.#watcher = undefined;
  }

  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    this.#awake();
  }

  /** Until the monotonic time `until`, a first wake, or the end. */
  async #pause(until: number): Promise<void> {
    const ms = until - this.#clock.monotonic();
    if (ms <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awake = resolve;
    const cancel = this.#clock.after(ms, resolve);
    await promise;
    cancel();
  }
}
