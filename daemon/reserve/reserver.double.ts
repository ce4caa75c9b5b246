/**
 * The reserver in memory, with the other processes of the node: they take numbers, addresses come and go, descriptors run
 * out. It must answer as the kernel does; a test runs the same cases against both.
 */
import type { Protocol, Reservation } from '../core/vocabulary.ts';
import type { ReserveOutcome, Reserver } from '../reconcile/ports.ts';
import { addressOf, HeldNumbers, notAPort } from './heldnumbers.ts';

export class ReserverDouble implements Reserver, Disposable {
  /** The node's addresses; a test changes them at will. Undefined: the node has every address. */
  addresses: Set<string> | undefined;
  /** While set, no new socket can be made, for this reason. */
  exhausted: string | undefined;
  readonly #limit: number;
  #own = new HeldNumbers<Protocol>();
  readonly #foreign = new HeldNumbers<undefined>();
  #sockets = 0;

  constructor(options: { readonly addresses?: readonly string[]; readonly limit?: number } = {}) {
    if (options.addresses !== undefined) this.addresses = new Set(options.addresses);
    this.#limit = options.limit ?? Number.POSITIVE_INFINITY;
  }

  get count(): number {
    return this.#own.count;
  }

  reserve(reservation: Reservation): ReserveOutcome {
    const nonsense = notAPort(reservation);
    if (nonsense !== undefined) return { kind: 'unavailable', why: nonsense };
    if (this.#own.has(reservation)) return { kind: 'held' };
    if (reservation.protocol !== 'SCTP') {
      const why = this.#hindrance(reservation);
      if (why !== undefined) return { kind: 'unavailable', why };
      if (this.#foreign.conflicts(reservation)) return { kind: 'taken' };
    }
    if (this.#own.conflicts(reservation)) return { kind: 'taken' };
    this.#own.add(reservation, reservation.protocol);
    if (reservation.protocol !== 'SCTP') this.#sockets++;
    return { kind: 'held' };
  }

  release(reservation: Reservation): void {
    const protocol = this.#own.remove(reservation);
    if (protocol === 'TCP' || protocol === 'UDP') this.#sockets--;
  }

  held(): readonly Reservation[] {
    return [...this.#own.reservations()];
  }

  /** Another process binds the number: false when the kernel refuses it, because the number is held here or taken. */
  occupy(reservation: Reservation): boolean {
    const own = reservation.protocol !== 'SCTP' && this.#own.conflicts(reservation);
    if (own || this.#foreign.conflicts(reservation)) return false;
    this.#foreign.add(reservation, undefined);
    return true;
  }

  /** The other process gives the number back. */
  vacate(reservation: Reservation): void {
    this.#foreign.remove(reservation);
  }

  /** The agent dies: the kernel closes its sockets. The other processes keep theirs. */
  crash(): void {
    this.#own = new HeldNumbers();
    this.#sockets = 0;
  }

  [Symbol.dispose](): void {
    this.crash();
  }

  #hindrance(reservation: Reservation): string | undefined {
    if (this.exhausted !== undefined) return this.exhausted;
    if (this.#sockets >= this.#limit) {
      return `the agent holds ${this.#sockets} host ports, its limit is ${this.#limit}: use smaller pools`;
    }
    const address = addressOf(reservation);
    if (address === '' || this.addresses === undefined || this.addresses.has(address)) return undefined;
    return `the node has no address ${address} at present`;
  }
}
