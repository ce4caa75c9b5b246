/**
 * What has begun to come and is not dealt with yet: requests that are not complete, and what of messages is held in memory. The
 * counterpart of the outbox. Who sends halves of messages must cost little, and must leave room for others, whoever it is.
 */
import { status } from '@grpc/grpc-js';
import { Share, type ShareLimits } from '../core/share.ts';
import type { Clock } from '../reconcile/ports.ts';
import { Places } from './places.ts';
import { Refusal } from './refusal.ts';

export interface InboxLimits {
  /** Requests with one message that are not complete, or of which it is being found out whether they are allowed. */
  readonly requests: ShareLimits;
  /** Of them, and of the unfinished messages of streams. */
  readonly bytes: ShareLimits;
  /** Of the message of a request with only one, and of each message of a stream. */
  readonly single: MessageLimits;
  readonly streamed: MessageLimits;
}

export interface MessageLimits {
  readonly bytes: number;
  /** How long it may take to come, in ms. */
  readonly ms: number;
}

export interface InboxOptions {
  readonly limits: InboxLimits;
  readonly clock: Pick<Clock, 'after'>;
  /**
   * The oldest request gives way when there are too many, as with handshakes: right where callers are not known, as who means
   * it sends all at once. Otherwise the newest is refused.
   */
  readonly displaces?: boolean;
}

export class Inbox {
  readonly #options: InboxOptions;
  readonly #places: Places;
  readonly #bytes: Share;
  /** What gives way, in the order of its arrival. */
  readonly #order = new Set<(refusal: Refusal) => void>();

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#places = new Places(options.limits.requests, {
      ofAll: 'requests can be incomplete: try again',
      ofOne: 'requests of one caller can be incomplete: try again',
    });
    this.#bytes = new Share(options.limits.bytes);
  }

  get limits(): InboxLimits {
    return this.#options.limits;
  }

  /** How much is held. */
  get bytes(): number {
    return this.#bytes.total;
  }

  /** A place for a request. `refuse` is called when it has to give way. Returns what gives it back; throws a Refusal. */
  enter(key: string | undefined, refuse: (refusal: Refusal) => void): () => void {
    const { displaces, limits } = this.#options;
    if (!displaces) return this.#places.take(key);
    const [oldest] = this.#order;
    if (this.#order.size >= limits.requests.ofAll && oldest !== undefined) {
      this.#order.delete(oldest);
      oldest(exhausted('too many requests are incomplete, and this is the oldest'));
    }
    this.#order.add(refuse);
    return () => this.#order.delete(refuse);
  }

  /** Throws a Refusal when so many more bytes are too many. */
  hold(key: string | undefined, bytes: number): void {
    const lacking = this.#bytes.lacking(key, bytes);
    if (lacking !== undefined) {
      const whose = lacking === 'ofOne' ? ' of this caller' : '';
      throw exhausted(`${this.limits.bytes[lacking]} bytes of messages${whose} wait for the rest of them: try again`);
    }
    this.#bytes.add(key, bytes);
  }

  release(key: string | undefined, bytes: number): void {
    this.#bytes.add(key, -bytes);
  }

  /** Calls `refuse` unless the message has come in time. Returns what says that it has. */
  await({ ms }: MessageLimits, refuse: (refusal: Refusal) => void): () => void {
    return this.#options.clock.after(ms, () =>
      refuse(new Refusal(status.DEADLINE_EXCEEDED, `the message did not come within ${ms / 1_000} s`)),
    );
  }
}

function exhausted(details: string): Refusal {
  return new Refusal(status.RESOURCE_EXHAUSTED, details);
}
