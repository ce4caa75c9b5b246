/**
 * One Watch call: the present state, then what changes, at the pace of its client. It holds no queue: it remembers a revision and
 * asks the registry what changed since, so that a slow client costs one message and gets the latest state of what
 * changed several times. A client slower than the registry's history is cut.
 */
import { status } from '@grpc/grpc-js';
import { type berth, MappingService } from '../../proto/service.ts';
import type { LiveMapping, MappingFilter } from '../core/livemapping.ts';
import type { ChangeFeed } from './feed.ts';
import { Refusal } from './refusal.ts';
import { outdated } from './request.ts';
import { type Step, stepsOf } from './steps.ts';

type WireChange = berth.v1.Change.$Properties;

/** MappingService with answers of Watch that are encoded already, as one answer goes to many. */
export const EncodedMappingService = {
  ...MappingService,
  watch: { ...MappingService.watch, responseSerialize: (answer: Buffer) => answer },
};

/** The part of a grpc-js call that is used. `written` is called once the transport has taken the message. */
export interface WatchCall {
  write(answer: Buffer, written: () => void): unknown;
}

/** How the registry's terms become messages at this moment. */
export interface WatchFormat {
  message(live: LiveMapping): berth.v1.Mapping.$Properties;
  /** About how many bytes the message has. */
  bytes(live: LiveMapping): number;
  token(revision: number): string;
  readonly freshness: berth.v1.Freshness.$Properties;
}

/** Clients refuse messages above 4 MiB unless told otherwise. */
const MAX_BYTES = 256 * 1024;

export class Watcher {
  readonly #call: WatchCall;
  readonly #feed: ChangeFeed;
  readonly #filter: MappingFilter;
  /** Watchers with equal filters are sent the same. */
  readonly #filterKey: string;
  readonly #format: () => WatchFormat;
  /** Lets the wait go on that the watcher is in. */
  #release: () => void = () => {};
  #ended = false;
  #reason: Refusal | undefined;

  constructor(call: WatchCall, feed: ChangeFeed, filter: MappingFilter, format: () => WatchFormat) {
    this.#call = call;
    this.#feed = feed;
    this.#filter = filter;
    this.#filterKey = JSON.stringify(filter);
    this.#format = format;
  }

  /**
   * Resolves once ended without a reason. Rejects with a Refusal: the reason, OUT_OF_RANGE when the revision is not known
   * (any more), RESOURCE_EXHAUSTED when the client was too slow.
   */
  async run(resumeAt: number | undefined): Promise<void> {
    const { registry } = this.#feed;
    let { revision } = registry;
    if (resumeAt === undefined) {
      const state = registry.all(this.#filter).map((live): Step => ({ kind: 'set', live }));
      await this.#send(answersOf(state, undefined, revision, true, this.#format()));
    } else {
      const missed = registry.changesSince(resumeAt);
      if (missed === undefined) throw outdated();
      await this.#send(answersOf(stepsOf(missed, this.#filter), resumeAt, revision, true, this.#format()));
    }
    while (!this.#ended) {
      const before = revision;
      const { revision: after } = this.#feed;
      if (after <= before) {
        await this.#change();
        continue;
      }
      revision = after;
      await this.#send(this.#feed.batch(this.#filterKey, before, () => this.#batch(before, after)));
    }
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Ends the watch now, with a reason for the client if it is still there. */
  end(reason?: Refusal): void {
    this.#ended = true;
    this.#reason = reason;
    this.#release();
  }

  /** Nothing when nothing of it matches. */
  #batch(before: number, after: number): readonly Buffer[] {
    const { registry } = this.#feed;
    const changes = registry.changesSince(before);
    if (changes === undefined) {
      throw new Refusal(status.RESOURCE_EXHAUSTED, 'the client reads too slowly: changes were lost');
    }
    const steps = stepsOf(changes.slice(0, after - before), this.#filter);
    return steps.length === 0 ? [] : [...answersOf(steps, before, after, false, this.#format())];
  }

  async #send(answers: Iterable<Buffer>): Promise<void> {
    for (const answer of answers) {
      if (this.#ended) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#release = resolve;
      this.#call.write(answer, resolve);
      await promise;
    }
  }

  async #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    const cancel = this.#feed.wait(resolve);
    await promise;
    cancel();
  }
}

/** In as many answers as their size demands; only the last one moves the client from revision `before` to `after`. */
function* answersOf(
  steps: readonly Step[],
  before: number | undefined,
  after: number,
  synced: boolean,
  format: WatchFormat,
): Generator<Buffer> {
  const { freshness } = format;
  const encode = MappingService.watch.responseSerialize;
  const revision = before === undefined ? '' : format.token(before);
  let changes: WireChange[] = [];
  let bytes = 0;
  for (const { kind, live } of steps) {
    bytes += format.bytes(live);
    if (changes.length > 0 && bytes > MAX_BYTES) {
      yield encode({ changes, revision, freshness });
      changes = [];
      bytes = format.bytes(live);
    }
    changes.push({ [kind]: format.message(live) });
  }
  yield encode({ changes, synced, revision: format.token(after), freshness });
}
