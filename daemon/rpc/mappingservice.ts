/**
 * MappingService over a registry, of one node or of many: Get, List and Watch. Answers only from what the registry holds;
 * changes nothing.
 */
import { status } from '@grpc/grpc-js';
import type { berth, Handlers } from '../../proto/service.ts';
import type { LiveMapping } from '../core/livemapping.ts';
import type { ShareLimits } from '../core/share.ts';
import type { Admitted } from './admission.ts';
import { approximateBytes, toMessage } from './convert.ts';
import type { ChangeFeed } from './feed.ts';
import { Places } from './places.ts';
import { Refusal, refusalOf } from './refusal.ts';
import {
  filterOf,
  keyOfPageToken,
  pageSizeOf,
  pageTokenOf,
  podFilterOf,
  revisionOfToken,
  revisionToken,
} from './request.ts';
import { type StateFormat, StatePages } from './statepages.ts';
import type { StreamAge } from './streamage.ts';
import { type EncodedMappingService, Watcher, type WatchFormat } from './watcher.ts';

/** Which nodes an answer is about; undefined: all. */
export type Subject = ReadonlySet<string> | undefined;

export interface MappingSource {
  readonly feed: ChangeFeed;
  /** Where the node can be reached now. */
  addresses(node: string): readonly string[];
  freshness(subject: Subject): berth.v1.Freshness.$Properties;
  /** Unlike that of every other process: revisions of one mean nothing to another. */
  readonly instance: string;
  /** Why nothing can be answered yet, or any more; undefined: it can. */
  readonly unready: () => string | undefined;
  /** Hears of defects: what a handler threw and no client caused. */
  readonly report: (error: Error) => void;
  /** Watches, and those of one caller. */
  readonly watchers: ShareLimits;
  /** How long a watch may live; for ever unless given. */
  readonly age?: StreamAge;
}

/** Who watches. */
type Watching = Pick<Admitted, 'key'>;
type WatchCall = Parameters<Handlers<typeof EncodedMappingService>['watch']>[0];
type WatchHandler = (call: WatchCall, by?: Watching) => void;

/** Clients refuse messages above 4 MiB unless told otherwise. */
const MAX_PAGE_BYTES = 1024 * 1024;

export class MappingAnswers {
  readonly #source: MappingSource;
  readonly #pages: StatePages;
  readonly #watchers = new Set<Watcher>();
  readonly #places: Places;

  constructor(source: MappingSource) {
    this.#source = source;
    this.#places = new Places(source.watchers, {
      ofAll: 'clients can watch at once',
      ofOne: 'watches of one client at once',
    });
    const { registry, clock } = source.feed;
    this.#pages = new StatePages({ registry, clock, format: this.#stateFormat() });
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Ends every watch. Clients watch again elsewhere or later. */
  stop(): void {
    for (const watcher of this.#watchers) watcher.end(new Refusal(status.UNAVAILABLE, 'the server is stopping'));
    this.#pages[Symbol.dispose]();
  }

  readonly handlers: Handlers<typeof EncodedMappingService> & { readonly watch: WatchHandler } = {
    get: (call, reply) => this.#answer(reply, () => this.#get(call.request)),
    list: (call, reply) => this.#answer(reply, () => this.#list(call.request)),
    watch: (call: WatchCall, by?: Watching) => {
      this.#watch(call.request, call, by?.key).catch((thrown: unknown) => {
        call.emit('error', refusalOf(thrown, this.#source.report));
      });
    },
  };

  #answer<T>(reply: (error: Refusal | null, answer?: T) => void, make: () => T): void {
    try {
      this.#demandReady();
      reply(null, make());
    } catch (thrown) {
      reply(refusalOf(thrown, this.#source.report));
    }
  }

  #get(request: berth.v1.GetRequest.$Properties): berth.v1.GetResponse.$Properties {
    const found = this.#source.feed.registry.all(podFilterOf(request));
    const nodes = new Set(found.map(({ node }) => node));
    return {
      mappings: found.map((live) => this.#message(live)),
      // A pod that has none may be on any node.
      freshness: this.#source.freshness(nodes.size === 0 ? undefined : nodes),
    };
  }

  #list(request: berth.v1.ListRequest.$Properties): berth.v1.ListResponse.$Properties {
    const { feed, freshness } = this.#source;
    const filter = filterOf(request.filter ?? {});
    const after = keyOfPageToken(request.pageToken ?? '');
    let bytes = 0;
    const fits = (live: LiveMapping) => {
      bytes += this.#bytes(live);
      return bytes <= MAX_PAGE_BYTES;
    };
    const { items, next } = feed.registry.page(filter, after, pageSizeOf(request.pageSize ?? 0), fits);
    return {
      mappings: items.map((live) => this.#message(live)),
      nextPageToken: next === undefined ? '' : pageTokenOf(next),
      freshness: freshness(filter.node === undefined ? undefined : new Set([filter.node])),
    };
  }

  async #watch(request: berth.v1.WatchRequest.$Properties, call: WatchCall, key: string | undefined): Promise<void> {
    this.#demandReady();
    const { feed, instance, age } = this.#source;
    const filter = filterOf(request.filter ?? {});
    const resumeAt = revisionOfToken(request.revision ?? '', instance);
    const leave = this.#places.take(key);
    const subject = filter.node === undefined ? undefined : new Set([filter.node]);
    const watcher = new Watcher(call, { feed, pages: this.#pages, filter, format: () => this.#format(subject) });
    this.#watchers.add(watcher);
    const ageless = age?.(() => watcher.end(new Refusal(status.UNAVAILABLE, 'the stream is old: watch again')));
    call.once('cancelled', () => watcher.end());
    // It may have gone while it was found out who it is.
    if (call.cancelled) watcher.end();
    try {
      await watcher.run(resumeAt);
    } finally {
      ageless?.();
      leave();
      this.#watchers.delete(watcher);
    }
  }

  #demandReady(): void {
    const why = this.#source.unready();
    if (why !== undefined) throw new Refusal(status.UNAVAILABLE, why);
  }

  #message(live: LiveMapping): berth.v1.Mapping.$Properties {
    return toMessage(live, this.#source.addresses(live.node));
  }

  #bytes(live: LiveMapping): number {
    return approximateBytes(live, this.#source.addresses(live.node));
  }

  #format(subject: Subject): WatchFormat {
    const { instance, freshness } = this.#source;
    const token = (revision: number) => revisionToken(instance, revision);
    return { ...this.#stateFormat(), token, freshness: freshness(subject) };
  }

  #stateFormat(): StateFormat {
    return { message: (live) => this.#message(live), bytes: (live) => this.#bytes(live) };
  }
}
