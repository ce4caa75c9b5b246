/**
 * Holds host ports by bound sockets, so that the kernel itself refuses them to every other process. SCTP numbers are only
 * remembered: a socket would let a tenant load a kernel module. It must never listen, accept or read.
 */
import { messageOf } from '../core/errors.ts';
import type { Reservation } from '../core/vocabulary.ts';
import { isErrno } from '../native/errno.ts';
import { close } from '../native/libc.ts';
import type { ReserveOutcome, Reserver } from '../reconcile/ports.ts';
import { addressOf, HeldNumbers, notAPort } from './heldnumbers.ts';
import { holdNumber } from './socket.ts';

/** Most sockets of one agent; each costs a descriptor and 3.7 KB of kernel memory. */
export const MAX_SOCKETS = 20_000;

// Made once: 10,000 reservations at a start would leave garbage.
const HELD: ReserveOutcome = { kind: 'held' };

export class SocketReserver implements Reserver, Disposable {
  /** By descriptor; undefined for SCTP. */
  readonly #held = new HeldNumbers<number | undefined>();
  readonly #limit: number;
  #sockets = 0;

  /** `limit`: most sockets that are open at once, 0 …; default MAX_SOCKETS. */
  constructor(options: { readonly limit?: number } = {}) {
    this.#limit = options.limit ?? MAX_SOCKETS;
  }

  /** How many reservations are held, SCTP numbers included. */
  get count(): number {
    return this.#held.count;
  }

  /** How many sockets are open for them. */
  get sockets(): number {
    return this.#sockets;
  }

  reserve(reservation: Reservation): ReserveOutcome {
    const nonsense = notAPort(reservation);
    if (nonsense !== undefined) return unavailable(nonsense);
    if (this.#held.has(reservation)) return HELD;
    const { protocol, port } = reservation;
    if (protocol === 'SCTP') {
      if (this.#held.conflicts(reservation)) return { kind: 'taken' };
      this.#held.add(reservation, undefined);
      return HELD;
    }
    if (this.#sockets >= this.#limit) {
      return unavailable(`the agent holds ${this.#sockets} host ports, its limit is ${this.#limit}: use smaller pools`);
    }
    const held = holdNumber(protocol, port, addressOf(reservation));
    if (held.kind === 'refused') return outcomeOf(held.error, held.at, reservation);
    this.#held.add(reservation, held.descriptor);
    this.#sockets++;
    return HELD;
  }

  release(reservation: Reservation): void {
    const descriptor = this.#held.remove(reservation);
    if (descriptor === undefined) return;
    close(descriptor);
    this.#sockets--;
  }

  held(): readonly Reservation[] {
    return [...this.#held.reservations()];
  }

  [Symbol.dispose](): void {
    for (const reservation of this.held()) this.release(reservation);
  }
}

/** What a refusal by the kernel means for whoever wanted the number, with the remedy. */
function outcomeOf(error: unknown, at: 'socket' | 'bind', { protocol, port, hostIP }: Reservation): ReserveOutcome {
  if (at === 'bind') {
    if (isErrno(error, 'EADDRINUSE')) return { kind: 'taken' };
    if (isErrno(error, 'EACCES') && port < 1024) {
      return unavailable('ports below 1024 need the capability NET_BIND_SERVICE: add it to the agent');
    }
    // A security module, or a cgroup/bind program, keeps this number for somebody else.
    if (isErrno(error, 'EACCES', 'EPERM')) return { kind: 'taken' };
    if (isErrno(error, 'EADDRNOTAVAIL')) return unavailable(`the node has no address ${hostIP} at present`);
  }
  if (isErrno(error, 'EAFNOSUPPORT')) return unavailable(`IPv6 is off on this node, it cannot have ${hostIP}`);
  if (isErrno(error, 'EMFILE')) {
    return unavailable(
      "the agent has no file descriptor left: raise its limit of open files (the runtime's LimitNOFILE)",
    );
  }
  if (isErrno(error, 'ENFILE')) return unavailable('the node has no file descriptor left: raise fs.file-max');
  if (isErrno(error, 'ENOBUFS', 'ENOMEM')) {
    return unavailable("the kernel has no memory for a socket: raise the agent's memory limit");
  }
  return unavailable(
    `cannot hold ${port}/${protocol}${hostIP === undefined ? '' : ` on ${hostIP}`}: ${messageOf(error)}`,
  );
}

function unavailable(why: string): ReserveOutcome {
  return { kind: 'unavailable', why };
}
