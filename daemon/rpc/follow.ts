/**
 * A watch that outlives whom it asks: it connects again when the connection is lost, there or at another replica, resumes where
 * it was, and when that is too long ago, or was elsewhere, takes the whole state anew and tells only what differs. It ends when
 * the signal aborts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { BerthError } from '../core/errors.ts';
import type { MappingFilter } from '../core/livemapping.ts';
import type { WatchAnswer } from './client.ts';
import { isPassing, statusOf, together } from './failure.ts';
import type { FreshnessView, MappingView } from './views.ts';

/** What a watch tells. */
export type FollowEvent =
  /** A mapping is there (or new), has other values, is live no more. */
  | { readonly kind: 'live' | 'changed' | 'gone'; readonly mapping: MappingView }
  /** What was told until now is the state; after each connection anew. */
  | { readonly kind: 'synced'; readonly freshness: FreshnessView }
  /** The connection is gone; what was told stays as it is meanwhile. */
  | { readonly kind: 'lost'; readonly error: unknown };

/** One connection. `MappingClient` is one. */
export interface Watchable extends Disposable {
  watch(filter: MappingFilter, revision: string, signal: AbortSignal): AsyncIterable<WatchAnswer>;
}

export interface FollowOptions {
  /** `failed`: the connection before could not be made or was lost. */
  readonly connect: (failed: boolean) => Watchable;
  /** How many connections may fail before one has worked; 0 unless given. Without a bound, `lost` is told of those too. */
  readonly patience?: number;
  readonly filter: MappingFilter;
  readonly signal: AbortSignal;
  /** A number in [0, 1), for the jitter. */
  readonly random?: () => number;
  /** Rejects when the signal aborts. */
  readonly delay?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;
const MAX_EARLY = 16;

/** Throws what the first connections failed with: only what once worked is worth waiting for. */
export async function* follow(options: FollowOptions): AsyncGenerator<FollowEvent> {
  const { connect, filter, signal, patience = 0, random = Math.random } = options;
  const delay = options.delay ?? ((ms) => sleep(ms, undefined, { signal }));
  const picture = new Picture();
  const early: BerthError[] = [];
  let everSynced = false;
  let failures = 0;
  let failed = false;
  while (!signal.aborted) {
    try {
      using client = connect(failed);
      failed = true;
      for await (const answer of client.watch(filter, picture.begin(), signal)) {
        yield* picture.take(answer);
        if (!answer.synced) continue;
        everSynced = true;
        failures = 0;
        yield { kind: 'synced', freshness: answer.freshness };
      }
    } catch (error) {
      if (!everSynced) {
        if (!isPassing(error)) throw error;
        // Who waits for ever has no use for all of them.
        if (early.length < MAX_EARLY) early.push(error as BerthError);
        if (failures >= patience) throw together(early);
      }
      if (picture.revision !== '' && statusOf(error) === status.OUT_OF_RANGE) {
        picture.revision = '';
        failed = false;
        continue;
      }
      if (failures === 0 && (everSynced || patience === Number.POSITIVE_INFINITY)) yield { kind: 'lost', error };
      const ceiling = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
      failures += 1;
      await delay(ceiling * (0.5 + random() / 2), signal).catch(() => {});
    }
  }
}

/** What the client knows. */
class Picture {
  readonly #known = new Map<string, MappingView>();
  /** While the whole state comes in: the keys of it. */
  #seen: Set<string> | undefined;
  revision = '';

  /** A new connection: the revision to resume at. Without one the whole state comes next. */
  begin(): string {
    this.#seen = this.revision === '' ? new Set() : undefined;
    return this.revision;
  }

  *take({ changes, synced, revision }: WatchAnswer): Generator<FollowEvent> {
    for (const { kind, mapping } of changes) {
      const key = keyOf(mapping);
      const before = this.#known.get(key);
      if (kind === 'set') {
        this.#seen?.add(key);
        this.#known.set(key, mapping);
        if (before === undefined) yield { kind: 'live', mapping };
        else if (!same(before, mapping)) yield { kind: 'changed', mapping };
      } else if (this.#known.delete(key)) yield { kind: 'gone', mapping };
    }
    if (synced && this.#seen !== undefined) {
      yield* this.#dropUnseen(this.#seen);
      this.#seen = undefined;
    }
    this.revision = revision;
  }

  *#dropUnseen(seen: ReadonlySet<string>): Generator<FollowEvent> {
    for (const [key, mapping] of this.#known) {
      if (seen.has(key)) continue;
      this.#known.delete(key);
      yield { kind: 'gone', mapping };
    }
  }
}

function keyOf({ namespace, pod, podUID, name, protocol, node }: MappingView): string {
  return JSON.stringify([namespace, pod, podUID, name, protocol, node]);
}

/** A restart of the agent renews `since` and nothing else. */
function same(one: MappingView, other: MappingView): boolean {
  return JSON.stringify({ ...one, since: 0 }) === JSON.stringify({ ...other, since: 0 });
}
