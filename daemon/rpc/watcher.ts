/**
 * One Watch call: the present state, then what changes, at the pace of its client. It holds no queue: it remembers a revision and
 * asks the registry what changed since, so that a slow client costs one message and gets the latest state of what
 * changed several times. A client slower than the registry's history is cut.
 */
import { status } from '@grpc/grpc-js';
import type { berth } from '../../proto/service.ts';
import { type LiveMapping, type MappingFilter, matches } from '../core/livemapping.ts';
import type { Change, MappingRegistry } from '../core/registry.ts';
import { Refusal } from './refusal.ts';
import { outdated } from './request.ts';

type WireChange = berth.v1.Change.$Properties;

/** The part of a grpc-js call that is used. `written` is called once the transport has taken the message. */
export interface WatchCall {
  write(answer: berth.v1.WatchResponse.$Properties, written: () => void): unknown;
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

/** What a client must be told of one mapping, given that it knows `before` or nothing. */
interface Step {
  readonly kind: 'set' | 'deleted';
  readonly live: LiveMapping;
}

export class Watcher {
  readonly #call: WatchCall;
  readonly #registry: MappingRegistry;
  readonly #filter: MappingFilter;
  readonly #format: () => WatchFormat;
  /** Lets the wait go on that the watcher is in. */
  #release: () => void = () => {};
  #ended = false;
  #reason: Refusal | undefined;

  constructor(call: WatchCall, registry: MappingRegistry, filter: MappingFilter, format: () => WatchFormat) {
    this.#call = call;
    this.#registry = registry;
    this.#filter = filter;
    this.#format = format;
  }

  /**
   * Resolves once ended without a reason. Rejects with a Refusal: the reason, OUT_OF_RANGE when the revision is not known
   * (any more), RESOURCE_EXHAUSTED when the client was too slow.
   */
  async run(resumeAt: number | undefined): Promise<void> {
    let revision = this.#registry.revision;
    if (resumeAt === undefined) {
      const state = this.#registry.all(this.#filter);
      await this.#send(
        state.map((live): Step => ({ kind: 'set', live })),
        undefined,
        revision,
        true,
      );
    } else {
      const missed = this.#registry.changesSince(resumeAt);
      if (missed === undefined) throw outdated();
      await this.#send(stepsOf(missed, this.#filter), resumeAt, revision, true);
    }
    while (!this.#ended) {
      const changes = this.#registry.changesSince(revision);
      if (changes === undefined)
        throw new Refusal(status.RESOURCE_EXHAUSTED, 'the client reads too slowly: changes were lost');
      if (changes.length === 0) {
        await this.#change();
        continue;
      }
      const before = revision;
      revision = this.#registry.revision;
      const steps = stepsOf(changes, this.#filter);
      if (steps.length > 0) await this.#send(steps, before, revision, false);
    }
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Ends the watch now, with a reason for the client if it is still there. */
  end(reason?: Refusal): void {
    this.#ended = true;
    this.#reason = reason;
    this.#release();
  }

  /** In as many answers as their size demands; only the last one moves the client from revision `before` to `after`. */
  async #send(steps: readonly Step[], before: number | undefined, after: number, synced: boolean): Promise<void> {
    const format = this.#format();
    const { freshness } = format;
    const revision = before === undefined ? '' : format.token(before);
    let changes: WireChange[] = [];
    let bytes = 0;
    for (const { kind, live } of steps) {
      bytes += format.bytes(live);
      if (changes.length > 0 && bytes > MAX_BYTES) {
        await this.#write({ changes, revision, freshness });
        if (this.#ended) return;
        changes = [];
        bytes = format.bytes(live);
      }
      changes.push({ [kind]: format.message(live) });
    }
    await this.#write({ changes, synced, revision: format.token(after), freshness });
  }

  #write(answer: berth.v1.WatchResponse.$Properties): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    this.#call.write(answer, resolve);
    return promise;
  }

  async #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    const unsubscribe = this.#registry.subscribe(resolve);
    await promise;
    unsubscribe();
  }
}

/** The changes with only the last state of each mapping, as far as the filter lets it show; in the order of the last changes. */
function stepsOf(changes: readonly Change[], filter: MappingFilter): Step[] {
  const latest = new Map<string, Change>();
  for (const change of changes) {
    const before = latest.has(change.key) ? latest.get(change.key)?.before : change.before;
    // Deleting first moves the key to the end.
    latest.delete(change.key);
    latest.set(change.key, { ...change, before });
  }
  return [...latest.values()].flatMap((change) => stepOf(change, filter));
}

function stepOf({ before, after }: Change, filter: MappingFilter): Step[] {
  if (after !== undefined && matches(filter, after)) return [{ kind: 'set', live: after }];
  return before !== undefined && matches(filter, before) ? [{ kind: 'deleted', live: before }] : [];
}
