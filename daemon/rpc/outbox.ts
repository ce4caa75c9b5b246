/**
 * What was answered and is not taken yet. nghttp2 holds an answer for as long as its client grants no window, and no setting of it
 * bounds that: a client that asks for pages and reads none would fill the memory. It must never delay an answer.
 */
import { status } from '@grpc/grpc-js';
import type { Clock } from '../reconcile/ports.ts';
import { Refusal } from './refusal.ts';

/** In bytes, and ms. */
export interface OutboxLimits {
  readonly ofConnection: number;
  readonly ofAll: number;
  /** How long the end of a call may wait to be taken. */
  readonly takenMs: number;
}

/** Eight pages, and as much for as many connections as there are in a second when everybody lists. */
export const OUTBOX_LIMITS: OutboxLimits = { ofConnection: 8 << 20, ofAll: 128 << 20, takenMs: 30_000 };

export interface OutboxOptions {
  readonly limits: OutboxLimits;
  readonly clock: Pick<Clock, 'after'>;
  /** Nothing else takes back what HTTP/2 has been given. */
  readonly disconnect: (peer: string) => void;
}

/** The part of a grpc-js call that is used. It says `cancelled` also when everything was taken. */
export interface OutgoingCall {
  readonly cancelled: boolean;
  getPeer(): string;
  once(event: 'cancelled', listener: () => void): unknown;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waiting = new Map<string, number>();
  #bytes = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** How much is not taken yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Throws a Refusal when no more answers can be held for the peer. */
  admit(peer: string): void {
    const { ofConnection, ofAll } = this.#options.limits;
    if ((this.#waiting.get(peer) ?? 0) >= ofConnection) {
      throw new Refusal(
        status.RESOURCE_EXHAUSTED,
        `${ofConnection} bytes of answers wait for this client: read them first`,
      );
    }
    if (this.#bytes >= ofAll) {
      throw new Refusal(status.RESOURCE_EXHAUSTED, `${ofAll} bytes of answers wait to be read: try again`);
    }
  }

  /** Call just before the last word of the call is said, which takes so many bytes. */
  last(call: OutgoingCall, bytes: number): void {
    if (call.cancelled) return;
    const { clock, limits, disconnect } = this.#options;
    const peer = call.getPeer();
    const cancelTimer = clock.after(limits.takenMs, () => disconnect(peer));
    this.#add(peer, bytes);
    call.once('cancelled', () => {
      cancelTimer();
      this.#add(peer, -bytes);
    });
  }

  #add(peer: string, bytes: number): void {
    this.#bytes += bytes;
    const ofPeer = (this.#waiting.get(peer) ?? 0) + bytes;
    if (ofPeer > 0) this.#waiting.set(peer, ofPeer);
    else this.#waiting.delete(peer);
  }
}
