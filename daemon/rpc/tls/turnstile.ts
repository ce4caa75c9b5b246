/**
 * Connections whose client has said something and whose handshake has not begun. Few are begun in one turn of the event loop, in the
 * order in which their clients spoke: meanwhile those that have begun are dealt with to their end, and calls are answered. If thousands of
 * agents that come at once were begun at once, all would be done at the same time, later than they wait for, and come again. Who waits
 * costs what it has sent; who goes meanwhile costs nothing more.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../reconcile/ports.ts';
import { Turns } from '../turns.ts';

/** Of 1 ms each. */
const BEGUN = 4;
const KB = 1024;
/** Of one client, before anything was answered: a ClientHello has 1 to 2 KB. */
const MAX_SAID = 16 * KB;
/** Of all, with what Node has for a connection: 8,000 and more can wait. */
const MAX_BYTES = 64 * KB * KB;
const CONNECTION = 6 * KB;

/** A turn of the loop, as a clock. */
const SOON: Pick<Clock, 'after'> = {
  after: (_ms, act) => {
    const due = setImmediate(act);
    return () => clearImmediate(due);
  },
};

export class Turnstile {
  readonly #turns: Turns;
  #bytes = 0;

  constructor(clock: Pick<Clock, 'after'> = SOON) {
    this.#turns = new Turns(clock, BEGUN);
  }

  /** How much is held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Calls `begin` when it is the connection's turn, at once if nobody waits, or `refuse`, or neither when it is closed before. */
  pass(raw: Socket, begin: () => void, refuse: (reason: string) => void): void {
    let proceed = begin;
    let passed = false;
    this.#turns.add(() => {
      passed = true;
      proceed();
    });
    if (!passed) proceed = this.#hold(raw, begin, refuse);
  }

  /** Reads on, so that it is known who goes. Returns what puts back what was read, and begins. */
  #hold(raw: Socket, begin: () => void, refuse: (reason: string) => void): () => void {
    const said: Buffer[] = [];
    let held = 0;
    let over = false;
    const add = (bytes: number) => {
      held += bytes;
      this.#bytes += bytes;
    };
    const leave = () => {
      over = true;
      this.#bytes -= held;
      raw.off('data', hear).off('end', leave).off('close', leave);
      held = 0;
    };
    const hear = (piece: Buffer) => {
      said.push(piece);
      add(piece.length);
      const isMuch = held - CONNECTION > MAX_SAID;
      if (!isMuch && this.#bytes <= MAX_BYTES) return;
      leave();
      refuse(isMuch ? 'more was sent than a handshake begins with' : 'too many handshakes wait to be begun');
    };
    add(CONNECTION);
    raw.on('data', hear).on('end', leave).on('close', leave);
    return () => {
      if (over) return;
      leave();
      if (raw.destroyed) return;
      raw.pause();
      if (said.length > 0) raw.unshift(Buffer.concat(said));
      begin();
    };
  }
}
