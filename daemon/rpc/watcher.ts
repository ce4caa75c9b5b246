/**
 * One Watch call: the present state, then what changes, at the pace of its client. It holds no queue: it remembers how far it came
 * and asks the registry for what follows, so that a slow client costs one message and gets the latest state of what
 * changed several times. A client slower than the registry's history is cut, and so is one that reads nothing.
 */
import { status } from '@grpc/grpc-js';
import { type berth, MappingService } from '../../proto/service.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import { type Change, keyOfChange } from '../core/registry.ts';
import type { ChangeFeed } from './feed.ts';
import { asFramed, framed } from './framed.ts';
import { Refusal } from './refusal.ts';
import { outdated } from './request.ts';
import type { StateFormat, StatePage, StatePages } from './statepages.ts';
import { latestOf, type Step, stepsOf } from './steps.ts';

type WireChange = berth.v1.Change.$Properties;

/** MappingService with answers of Watch that are encoded and framed already, as one answer goes to many. */
export const EncodedMappingService = {
  ...MappingService,
  watch: { ...MappingService.watch, responseSerialize: asFramed },
};

/** The part of a grpc-js call that is used. `written` is called once the transport has taken the message. */
export interface WatchCall {
  write(answer: Buffer, written: () => void): unknown;
}

/** How the registry's terms become messages at this moment. */
export interface WatchFormat extends StateFormat {
  token(revision: number): string;
  readonly freshness: berth.v1.Freshness.$Properties;
}

/** What is watched. */
export interface Watched {
  readonly feed: ChangeFeed;
  readonly pages: StatePages;
  readonly filter: MappingFilter;
  readonly format: () => WatchFormat;
}

/** Of one message: what each watcher may make the connection hold. */
const MAX_BYTES = 128 * 1024;
/** How long a client may take nothing of what it was sent. */
const STALLED_MS = 30_000;

const encode = MappingService.watch.responseSerialize;

export class Watcher {
  readonly #call: WatchCall;
  readonly #feed: ChangeFeed;
  readonly #pages: StatePages;
  readonly #filter: MappingFilter;
  /** Watchers with equal filters are sent the same. */
  readonly #filterKey: string;
  readonly #format: () => WatchFormat;
  /** Lets the wait go on that the watcher is in. */
  #release: () => void = () => {};
  #ended = false;
  #reason: Refusal | undefined;

  constructor(call: WatchCall, { feed, pages, filter, format }: Watched) {
    this.#call = call;
    this.#feed = feed;
    this.#pages = pages;
    this.#filter = filter;
    this.#filterKey = JSON.stringify(filter);
    this.#format = format;
  }

  /**
   * Resolves once ended without a reason. Rejects with a Refusal: the reason, OUT_OF_RANGE when the revision is not known
   * (any more), RESOURCE_EXHAUSTED when the client was too slow.
   */
  async run(resumeAt: number | undefined): Promise<void> {
    let revision = resumeAt === undefined ? await this.#state() : await this.#resume(resumeAt);
    while (!this.#ended) {
      if (this.#feed.revision <= revision) {
        await this.#change();
        continue;
      }
      const before = revision;
      const after = this.#feed.next(before);
      revision = after;
      await this.#send(this.#feed.batch(this.#filterKey, before, after, () => this.#batch(before, after)));
    }
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Ends the watch now, with a reason for the client if it is still there. */
  end(reason?: Refusal): void {
    this.#ended = true;
    this.#reason = reason;
    this.#release();
  }

  /**
   * Page by page: what is not sent yet is held by the registry alone, as it is then, or with others. What changed in a page after it was
   * made follows the last one. Returns the revision that the client has come to.
   */
  async #state(): Promise<number> {
    const { registry } = this.#feed;
    const pages: Pick<StatePage, 'last' | 'revision'>[] = [];
    let began = registry.revision;
    for (let after: string | undefined = ''; after !== undefined && !this.#ended; ) {
      const { changes, last, revision } = await this.#pages.page(this.#filter, after);
      const { token, freshness } = this.#format();
      began = Math.min(began, revision);
      if (last === undefined && registry.revision === began) {
        const rest = { synced: true, revision: token(revision), freshness };
        await this.#send([framed(changes, encode(rest))]);
        return revision;
      }
      pages.push({ last, revision });
      await this.#send([framed(changes, encode({ freshness }))]);
      after = last;
    }
    const { revision } = registry;
    const missed = this.#missed(began).filter(
      (change, index) => began + index + 1 > revisionOf(keyOfChange(change), pages),
    );
    await this.#send(answersOf(stepsOf(latestOf(missed), this.#filter), undefined, revision, true, this.#format()));
    return revision;
  }

  async #resume(resumeAt: number): Promise<number> {
    const { registry } = this.#feed;
    const { revision } = registry;
    const missed = registry.changesSince(resumeAt);
    if (missed === undefined) throw outdated();
    await this.#send(answersOf(stepsOf(latestOf(missed), this.#filter), resumeAt, revision, true, this.#format()));
    return revision;
  }

  /** Nothing when nothing of it matches. */
  #batch(before: number, after: number): Iterable<Buffer> {
    const latest = this.#feed.latest(before, after);
    if (latest === undefined) throw tooSlow();
    const steps = stepsOf(latest, this.#filter);
    return steps.length === 0 ? [] : answersOf(steps, before, after, false, this.#format());
  }

  #missed(since: number): readonly Change[] {
    const changes = this.#feed.registry.changesSince(since);
    if (changes === undefined) throw tooSlow();
    return changes;
  }

  async #send(answers: Iterable<Buffer>): Promise<void> {
    for (const answer of answers) {
      if (this.#ended) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#release = resolve;
      const cancel = this.#feed.clock.after(STALLED_MS, () => {
        this.end(new Refusal(status.RESOURCE_EXHAUSTED, `the client has read nothing for ${STALLED_MS / 1_000} s`));
      });
      this.#call.write(answer, resolve);
      await promise;
      cancel();
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

function tooSlow(): Refusal {
  return new Refusal(status.RESOURCE_EXHAUSTED, 'the client reads too slowly: changes were lost');
}

/** Of which revision the page is that the key is in. */
function revisionOf(key: string, pages: readonly Pick<StatePage, 'last' | 'revision'>[]): number {
  return pages.find(({ last }) => last === undefined || key <= last)?.revision ?? Number.POSITIVE_INFINITY;
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
  const revision = before === undefined ? '' : format.token(before);
  let changes: WireChange[] = [];
  let bytes = 0;
  for (const { kind, live } of steps) {
    bytes += format.bytes(live);
    if (changes.length > 0 && bytes > MAX_BYTES) {
      yield framed(encode({ changes, revision, freshness }));
      changes = [];
      bytes = format.bytes(live);
    }
    changes.push({ [kind]: format.message(live) });
  }
  yield framed(encode({ changes, synced, revision: format.token(after), freshness }));
}
