/**
 * What was answered and is not taken yet. nghttp2 holds an answer for as long as its client grants no window, and no setting of it
 * bounds that: a client that asks for pages and reads none would fill the memory. It must never delay an answer.
 */
import { status } from '@grpc/grpc-js';
import { Share } from '../core/share.ts';
import type { Clock } from '../reconcile/ports.ts';
import type { Admitted } from './admission.ts';
import type { Origin } from './origin.ts';
import { Refusal } from './refusal.ts';

/** In bytes, and ms. */
export interface OutboxLimits {
  readonly ofConnection: number;
  /** Over all its connections. */
  readonly ofCaller: number;
  readonly ofAll: number;
  /** How long the end of a call may wait to be taken. */
  readonly takenMs: number;
}

/** Eight pages, and as much for as many connections as there are in a second when everybody lists. */
export const OUTBOX_LIMITS: OutboxLimits = {
  ofConnection: 8 << 20,
  ofCaller: 32 << 20,
  ofAll: 128 << 20,
  takenMs: 30_000,
};

export interface OutboxOptions {
  readonly limits: OutboxLimits;
  readonly clock: Pick<Clock, 'after'>;
}

/** The part of a grpc-js call that is used. It says `cancelled` also when everything was taken. */
export interface OutgoingCall {
  readonly cancelled: boolean;
  once(event: 'cancelled', listener: () => void): unknown;
}

/** Whom it waits for. */
export type Addressee = Pick<Admitted, 'key' | 'origin'>;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waiting = new WeakMap<Origin, number>();
  readonly #share: Share;

  constructor(options: OutboxOptions) {
    this.#options = options;
    const { ofAll, ofCaller: ofOne } = options.limits;
    this.#share = new Share({ ofAll, ofOne });
  }

  /** How much is not taken yet. */
  get bytes(): number {
    return this.#share.total;
  }

  /** Throws a Refusal when no more answers can be held for the addressee. */
  admit({ key, origin }: Addressee): void {
    const { ofConnection, ofCaller, ofAll } = this.#options.limits;
    const full = this.#of(origin) >= ofConnection;
    const lacking = this.#share.lacking(key);
    if (full || lacking === 'ofOne') {
      const limit = full ? ofConnection : ofCaller;
      throw exhausted(`${limit} bytes of answers wait for this client: read them first`);
    }
    if (lacking !== undefined) throw exhausted(`${ofAll} bytes of answers wait to be read: try again`);
  }

  /** Call just before the last word of the call is said, which takes so many bytes. */
  last(call: OutgoingCall, bytes: number, { key, origin }: Addressee): void {
    if (call.cancelled) return;
    const { clock, limits } = this.#options;
    const cancelTimer = clock.after(limits.takenMs, () => origin.disconnect());
    this.#add(key, origin, bytes);
    call.once('cancelled', () => {
      cancelTimer();
      this.#add(key, origin, -bytes);
    });
  }

  #of(origin: Origin): number {
    return this.#waiting.get(origin) ?? 0;
  }

  #add(key: string | undefined, origin: Origin, bytes: number): void {
    this.#share.add(key, bytes);
    this.#waiting.set(origin, this.#of(origin) + bytes);
  }
}

function exhausted(details: string): Refusal {
  return new Refusal(status.RESOURCE_EXHAUSTED, details);
}
