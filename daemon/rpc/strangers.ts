/**
 * Calls of which it is being found out who makes them, which may take as long as the API server does. Nothing of them is read meanwhile,
 * but Node takes what HTTP/2 lets a client send unread: so they are few, and those of connections that send on and on are refused.
 */
import { status } from '@grpc/grpc-js';
import type { ShareLimits } from '../core/share.ts';
import type { Clock } from '../reconcile/ports.ts';
import type { Origin } from './origin.ts';
import { Places } from './places.ts';
import { Refusal } from './refusal.ts';

export interface StrangerLimits {
  /** Calls; of one: of those that come from one address. */
  readonly calls: ShareLimits;
  /** How much may come while calls wait; of one: over the connection of a call. */
  readonly bytes: ShareLimits;
}

export interface Patience<T> {
  /** Resolves as what is waited for does. Rejects with a Refusal when it may not be waited for any longer. */
  readonly known: Promise<T>;
  /** The call is gone. */
  readonly abandon: () => void;
}

interface Waiting {
  readonly origin: Origin;
  /** What had come over the connection by then. */
  readonly before: number;
  readonly refuse: (refusal: Refusal) => void;
}

/** The window of a stream is full before that. */
const LOOK_MS = 100;
/** What was read from a socket at once: something of the call's message may have come together with its headers. */
const READ = 64 * 1024;

export class Strangers {
  readonly #limits: StrangerLimits;
  readonly #clock: Pick<Clock, 'after'>;
  readonly #places: Places;
  readonly #waiting = new Set<Waiting>();
  #looking = false;

  constructor(limits: StrangerLimits, clock: Pick<Clock, 'after'>) {
    this.#limits = limits;
    this.#clock = clock;
    this.#places = new Places(limits.calls, {
      ofAll: 'calls can wait until it is known who makes them: try again',
      ofOne: 'calls from one address can wait until it is known who makes them: try again',
    });
  }

  /** Who is known in this turn of the loop, by a certificate or a token that is remembered, takes no place from those who are not. */
  patiently<T>(answer: Promise<T>, origin: Origin): Patience<T> {
    const { promise: known, resolve, reject } = Promise.withResolvers<T>();
    let over = false;
    let leave = () => {};
    const abandon = () => {
      over = true;
      leave();
    };
    answer.then(resolve, reject).finally(abandon);
    setImmediate(() => {
      if (over) return;
      try {
        leave = this.#wait(origin, reject);
      } catch (refusal) {
        reject(refusal);
      }
    });
    return { known, abandon };
  }

  #wait(origin: Origin, refuse: (refusal: Refusal) => void): () => void {
    const leave = this.#places.take(origin.group);
    const waiting = { origin, before: Math.max(0, origin.bytesRead - READ), refuse };
    this.#waiting.add(waiting);
    this.#look();
    return () => {
      this.#waiting.delete(waiting);
      leave();
    };
  }

  #look(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.#clock.after(LOOK_MS, () => {
      this.#looking = false;
      this.#refuseGreedy();
      if (this.#waiting.size > 0) this.#look();
    });
  }

  /** Of too much in all what came last is too much. */
  #refuseGreedy(): void {
    const { ofOne, ofAll } = this.#limits.bytes;
    let bytes = 0;
    for (const { origin, before, refuse } of this.#waiting) {
      const own = origin.bytesRead - before;
      if (own > ofOne) {
        refuse(exhausted(`more than ${ofOne} bytes came before it was known who calls`));
        continue;
      }
      bytes += own;
      if (bytes > ofAll)
        refuse(exhausted(`${ofAll} bytes came of calls that wait until it is known who makes them: try again`));
    }
  }
}

function exhausted(details: string): Refusal {
  return new Refusal(status.RESOURCE_EXHAUSTED, details);
}
