/**
 * Writes the Events of the book, one request at a time for each. An Event is worth a few attempts, not more: it is a message to
 * people, and what it says stands in the condition too.
 */
import { BerthError, messageOf } from '../core/errors.ts';
import { podLabel } from '../core/vocabulary.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import { isConflict, isForbidden, isInvalid, isNamespaceEnding, isNotFound, retryAfterOf } from './api/apierror.ts';
import { backoff } from './api/backoff.ts';
import type { Api } from './api/client.ts';
import { fieldsOf } from './apipod.ts';
import { type Entry, EventBook, eventObject, type Involved, namespaceOf, type ObjectEvent } from './eventbook.ts';
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

  note(pod: Involved, event: ObjectEvent): void {
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

  /** One request, which may be followed by another. Never rejects. */
  async writeNext(): Promise<void> {
    const entry = this.#queue.shift();
    if (entry === undefined) return;
    entry.state = 'running';
    const operation = operationOf(entry);
    try {
      if (entry.step === 'create') await this.#create(entry);
      else if (entry.step === 'look') await this.#look(entry);
      else await this.#count(entry);
      this.#options.forbidden.allowed(operation);
      entry.state = 'idle';
      if (entry.count === entry.written) entry.failures = 0;
      else if (this.#book.has(entry)) this.#enqueue(entry);
    } catch (error) {
      this.#failed(entry, error);
    }
  }

  async #create(entry: Entry): Promise<void> {
    const { client, node } = this.#options;
    const { count } = entry;
    try {
      await client.send({ method: 'POST', path: collectionOf(entry), body: eventObject(entry, node) });
      entry.written = count;
      entry.step = 'count';
    } catch (error) {
      if (!isConflict(error)) throw error;
      entry.step = 'look';
    }
  }

  /** A patch of nothing answers with what stands there, and needs no right to read Events. */
  async #look(entry: Entry): Promise<void> {
    try {
      const { count, lastTimestamp } = await this.#patch(entry, {});
      const stands = typeof count === 'number' && count > 0 ? count : 1;
      // An earlier attempt was applied and its reply lost, or an earlier agent wrote the same.
      if (lastTimestamp !== entry.last || stands !== entry.count) entry.count += stands;
      entry.written = stands;
      entry.step = 'count';
    } catch (error) {
      if (!isNotFound(error)) throw error;
      entry.step = 'create';
    }
  }

  async #count(entry: Entry): Promise<void> {
    const { count, last } = entry;
    try {
      await this.#patch(entry, { count, lastTimestamp: last });
      entry.written = count;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // Events live for an hour (--event-ttl).
      entry.count = Math.max(1, entry.count - entry.written);
      entry.written = 0;
      entry.first = entry.last;
      entry.step = 'create';
    }
  }

  async #patch(entry: Entry, body: object): Promise<Readonly<Record<string, unknown>>> {
    const type = 'application/merge-patch+json';
    return fieldsOf(await this.#options.client.send({ method: 'PATCH', path: pathOf(entry), type, body }));
  }

  #failed(entry: Entry, error: unknown): void {
    const { clock, random, forbidden, onError } = this.#options;
    entry.state = 'idle';
    entry.failures++;
    const nowhere = isNamespaceEnding(error) || isNotFound(error);
    if (nowhere || isForbidden(error) || isInvalid(error) || entry.failures >= MAX_ATTEMPTS) {
      const { pod, event } = entry;
      const whose = `${pod.type?.kind ?? 'pod'} ${pod.namespace === '' ? pod.name : podLabel(pod)}`;
      const why = `the Event ${event.reason} of ${whose} is given up: ${messageOf(error)}`;
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
  return `/api/v1/namespaces/${encodeURIComponent(namespaceOf(pod))}/events`;
}

function pathOf(entry: Entry): string {
  return `${collectionOf(entry)}/${encodeURIComponent(entry.name)}`;
}

function operationOf({ step }: Entry): string {
  return step === 'create' ? 'create events' : 'patch events';
}
