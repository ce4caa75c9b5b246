/**
 * The numbers that one holder has, with the kernel's rule of conflict: "any address" conflicts with every address of the
 * same protocol and number, two different addresses do not. Holds data only; it knows no sockets.
 */
import type { Protocol, Reservation } from '../core/vocabulary.ts';

interface Entry<T> {
  readonly reservation: Reservation;
  readonly by: T;
  /** The same number on another address: nearly always none, so a list is not worth its memory (10,000 numbers: 1 MB). */
  readonly next: Entry<T> | undefined;
}

const SPACES: Readonly<Record<Protocol, number>> = { TCP: 0, UDP: 1, SCTP: 2 };

/** The address that alone is meant, empty for any: a wildcard in a pod's spec means the same as none. */
export function addressOf(reservation: Reservation): string {
  const { hostIP = '' } = reservation;
  return hostIP === '0.0.0.0' || hostIP === '::' ? '' : hostIP;
}

/** Why this cannot be a port number at all: to bind 0 would hold a number of the kernel's choice. */
export function notAPort({ port }: Reservation): string | undefined {
  return Number.isInteger(port) && port >= 1 && port <= 65_535 ? undefined : `${port} is not a port from 1 to 65535`;
}

/** `by` is what holds the number (a descriptor). */
export class HeldNumbers<T> {
  readonly #entries = new Map<number, Entry<T>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  has(reservation: Reservation): boolean {
    return this.#find(reservation) !== undefined;
  }

  /** Whether this number, or the same one on an overlapping address, is held. */
  conflicts(reservation: Reservation): boolean {
    const address = addressOf(reservation);
    for (let entry = this.#first(reservation); entry !== undefined; entry = entry.next) {
      const other = addressOf(entry.reservation);
      if (address === '' || other === '' || other === address) return true;
    }
    return false;
  }

  /** The reservation is not held yet. */
  add(reservation: Reservation, by: T): void {
    const entry = { reservation, by, next: this.#first(reservation) };
    this.#entries.set(slotOf(reservation), entry);
    this.#count++;
  }

  /** What held the number; undefined when nothing did. */
  remove(reservation: Reservation): T | undefined {
    const found = this.#find(reservation);
    if (found === undefined) return undefined;
    let rest: Entry<T> | undefined;
    for (let entry = this.#first(reservation); entry !== undefined; entry = entry.next) {
      if (entry !== found) rest = { ...entry, next: rest };
    }
    if (rest === undefined) this.#entries.delete(slotOf(reservation));
    else this.#entries.set(slotOf(reservation), rest);
    this.#count--;
    return found.by;
  }

  *reservations(): Generator<Reservation> {
    for (const first of this.#entries.values()) {
      for (let entry: Entry<T> | undefined = first; entry !== undefined; entry = entry.next) yield entry.reservation;
    }
  }

  #first(reservation: Reservation): Entry<T> | undefined {
    return this.#entries.get(slotOf(reservation));
  }

  #find(reservation: Reservation): Entry<T> | undefined {
    const address = addressOf(reservation);
    let entry = this.#first(reservation);
    while (entry !== undefined && addressOf(entry.reservation) !== address) entry = entry.next;
    return entry;
  }
}

function slotOf(reservation: Reservation): number {
  return SPACES[reservation.protocol] * 65_536 + reservation.port;
}
