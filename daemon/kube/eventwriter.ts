/**
 * Writes the Events of the book, one request at a time for each. An Event is worth a few attempts, not more: it is a message to
 * people, and what it says stands in the condition too.
 */
import { BerthError, messageOf } from '../core/errors.ts';
import { type PodEvent, type PodRef, podLabel } from '../core/vocabulary.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import { isConflict, isForbidden, isInvalid, isNamespaceEnding, isNotFound, retryAfterOf } from './api/apierror.ts';
import { backoff } from './api/backoff.ts';
import type { Api } from './api/client.ts';
import { fieldsOf } from './apipod.ts';
import { type Entry, EventBook, eventObject } from './eventbook.ts';
import type { Forbidden } from './forbidden.ts';

const MAX_ATTEMPTS = 8;
const BACKOFF = { first: 500, cap: 60_000 } as const;

export interface EventWriterOptions {
  readonly client: Api;
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly forbidden: Forbidden;
  readonly onError: (error: BerthError) => void;
  /** There is something to write now. */
  readonly onWork: () => void;
}

export class EventWriter {
  readonly #options: EventWriterOptions;
  readonly #book = new EventBook();
  readonly #queue: Entry[] = [];
  #ending = false;

  constructor(options: EventWriterOptions) {
    this.#options = options;
  }

  get waiting(): boolean {
    while (this.#queue[0] !== undefined && !this.#book.has(this.#queue[0])) this.#queue.shift();
    return this.#queue.length > 0;
  }

  note(pod: PodRef, event: PodEvent): void {
    const entry = this.#book.note(pod, event, this.#options.clock.now());
    if (entry.state === 'idle') this.#enqueue(entry);
  }

  /** What waits after a failure is tried once more, now. */
  hurry(): void {
    this.#ending = true;
    for (const entry of this.#book.values()) if (entry.state === 'waiting') this.#enqueue(entry);
  }

  stop(): void {
    for (const entry of this.#book.values()) entry.cancel();
  }

  /** Never rejects. */
  async writeNext(): Promise<void> {
    const entry = this.#queue.shift();
    if (entry === undefined) return;
    entry.state = 'running';
    const { count } = entry;
    try {
      await this.#write(entry);
      this.#options.forbidden.allowed(operationOf(entry));
      entry.failures = 0;
      entry.state = 'idle';
      if (entry.count > count && this.#book.has(entry)) this.#enqueue(entry);
    } catch (error) {
      this.#failed(entry, error);
    }
  }

  async #write(entry: Entry): Promise<void> {
    if (entry.written === 0) {
      if (await this.#create(entry)) return;
    }
    try {
      await this.#count(entry);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // Events live for an hour (--event-ttl).
      entry.count = Math.max(1, entry.count - entry.written);
      entry.written = 0;
      entry.first = entry.last;
      await this.#create(entry);
    }
  }

  /** False when the Event is there already; then its count is added. */
  async #create(entry: Entry): Promise<boolean> {
    const { client, node } = this.#options;
    const { count } = entry;
    try {
      await client.send({ method: 'POST', path: collectionOf(entry), body: eventObject(entry, node) });
      entry.written = count;
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      // A patch of nothing answers with what stands there, and needs no right to read Events.
      const patch = { method: 'PATCH', path: pathOf(entry), type: 'application/merge-patch+json', body: {} } as const;
      const object = fieldsOf(await client.send(patch));
      const stands = typeof object.count === 'number' && object.count > 0 ? object.count : 1;
      // An earlier attempt was applied and its reply lost, or an earlier agent wrote the same.
      const ours = object.lastTimestamp === entry.last && stands === count;
      if (!ours) entry.count += stands;
      entry.written = stands;
      return ours;
    }
  }

  async #count(entry: Entry): Promise<void> {
    const { count, last } = entry;
    await this.#options.client.send({
      method: 'PATCH',
      path: pathOf(entry),
      type: 'application/merge-patch+json',
      body: { count, lastTimestamp: last },
    });
    entry.written = count;
  }

  #failed(entry: Entry, error: unknown): void {
    const { clock, random, forbidden, onError } = this.#options;
    entry.state = 'idle';
    entry.failures++;
    const nowhere = isNamespaceEnding(error) || isNotFound(error);
    if (nowhere || isForbidden(error) || isInvalid(error) || entry.failures >= MAX_ATTEMPTS) {
      const { pod, event } = entry;
      const why = `the Event ${event.reason} of pod ${podLabel(pod)} is given up: ${messageOf(error)}`;
      if (!nowhere && isForbidden(error)) forbidden.refused(operationOf(entry), error);
      else if (!nowhere) onError(new BerthError('PUBLISH_FAILED', why, { cause: error }));
      this.#book.drop(entry);
      return;
    }
    entry.state = 'waiting';
    if (this.#ending) return;
    const wait = Math.max(retryAfterOf(error), backoff(BACKOFF, entry.failures, random));
    entry.cancel = clock.after(wait, () => this.#enqueue(entry));
  }

  #enqueue(entry: Entry): void {
    entry.cancel();
    entry.state = 'queued';
    this.#queue.push(entry);
    this.#options.onWork();
  }
}

function collectionOf({ pod }: Entry): string {
  return `/api/v1/namespaces/${encodeURIComponent(pod.namespace)}/events`;
}

function pathOf(entry: Entry): string {
  return `${collectionOf(entry)}/${encodeURIComponent(entry.name)}`;
}

function operationOf({ written }: Entry): string {
  return written === 0 ? 'create events' : 'patch events';
}
