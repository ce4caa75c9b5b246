/** MappingService over a registry: Get, List and Watch. Answers only from what the registry holds; changes nothing. */
import { status } from '@grpc/grpc-js';
import type { berth, Handlers, MappingService } from '../../proto/service.ts';
import type { LiveMapping } from '../core/livemapping.ts';
import type { MappingRegistry } from '../core/registry.ts';
import { approximateBytes, toMessage, toTimestamp } from './convert.ts';
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
import { Watcher, type WatchFormat } from './watcher.ts';

export interface MappingSource {
  readonly registry: MappingRegistry;
  /** The node that is answered for; `addresses` is asked for every answer. */
  readonly node: { readonly name: string; addresses(): readonly string[] };
  /** Unlike that of every other process: revisions of one mean nothing to another. */
  readonly instance: string;
  /** ms since the epoch. */
  readonly now: () => number;
  /** False until the registry holds what the kernel holds. */
  readonly ready: () => boolean;
  /** Hears of defects: what a handler threw and no client caused. */
  readonly report: (error: Error) => void;
}

/** Clients refuse messages above 4 MiB unless told otherwise. */
const MAX_PAGE_BYTES = 1024 * 1024;
const MAX_WATCHERS = 64;

export class MappingAnswers {
  readonly #source: MappingSource;
  readonly #watchers = new Set<Watcher>();

  constructor(source: MappingSource) {
    this.#source = source;
  }

  /** Ends every watch. Clients watch again elsewhere or later. */
  stop(): void {
    for (const watcher of this.#watchers) watcher.end(new Refusal(status.UNAVAILABLE, 'the server is stopping'));
  }

  readonly handlers: Handlers<typeof MappingService> = {
    get: (call, reply) => this.#answer(reply, () => this.#get(call.request)),
    list: (call, reply) => this.#answer(reply, () => this.#list(call.request)),
    watch: (call) => {
      this.#watch(call.request, call).catch((thrown: unknown) => {
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
    const format = this.#format();
    const found = this.#source.registry.all(podFilterOf(request));
    return { mappings: found.map(format.message), freshness: format.freshness };
  }

  #list(request: berth.v1.ListRequest.$Properties): berth.v1.ListResponse.$Properties {
    const format = this.#format();
    const filter = filterOf(request.filter ?? {});
    const after = keyOfPageToken(request.pageToken ?? '');
    let bytes = 0;
    const fits = (live: LiveMapping) => {
      bytes += format.bytes(live);
      return bytes <= MAX_PAGE_BYTES;
    };
    const { items, next } = this.#source.registry.page(filter, after, pageSizeOf(request.pageSize ?? 0), fits);
    return {
      mappings: items.map(format.message),
      nextPageToken: next === undefined ? '' : pageTokenOf(next),
      freshness: format.freshness,
    };
  }

  async #watch(
    request: berth.v1.WatchRequest.$Properties,
    call: Parameters<Handlers<typeof MappingService>['watch']>[0],
  ): Promise<void> {
    this.#demandReady();
    const { registry, instance } = this.#source;
    const filter = filterOf(request.filter ?? {});
    const resumeAt = revisionOfToken(request.revision ?? '', instance);
    if (this.#watchers.size >= MAX_WATCHERS) {
      throw new Refusal(status.RESOURCE_EXHAUSTED, `at most ${MAX_WATCHERS} clients can watch at once`);
    }
    const watcher = new Watcher(call, registry, filter, () => this.#format());
    this.#watchers.add(watcher);
    call.once('cancelled', () => watcher.end());
    try {
      await watcher.run(resumeAt);
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  #demandReady(): void {
    if (this.#source.ready()) return;
    throw new Refusal(status.UNAVAILABLE, 'the agent is starting or stopping and does not know the state of its node');
  }

  #format(): WatchFormat {
    const { node, now, instance } = this.#source;
    const addresses = node.addresses();
    return {
      message: (live) => toMessage(live, addresses),
      bytes: (live) => approximateBytes(live, addresses),
      token: (revision) => revisionToken(instance, revision),
      freshness: { lastHeard: toTimestamp(now()), complete: { nodesHeard: 1, nodesKnown: 1 } },
    };
  }
}
