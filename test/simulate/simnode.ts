/**
 * The node that outlives its agents: the kernel's table and connections, the sockets of other processes, addresses, the
 * disk. A reboot empties what is in memory.
 */

import { BerthError } from '../../daemon/core/errors.ts';
import type { NodeAddress, Reservation } from '../../daemon/core/vocabulary.ts';
import { RulesetDouble } from '../../daemon/datapath/datapath.double.ts';
import { FlowsDouble } from '../../daemon/datapath/flows.double.ts';
import { NetworkDouble } from '../../daemon/datapath/network.double.ts';
import { StateFileDouble } from '../../daemon/ops/statefile.double.ts';
import { ReserverDouble } from '../../daemon/reserve/reserver.double.ts';
import type { Element } from '../../rules/element.ts';

export const HOME: readonly NodeAddress[] = [
  { family: 4, address: '192.0.2.10', device: 'eth0' },
  { family: 6, address: '2001:db8::10', device: 'eth0' },
];
export const SECOND: NodeAddress = { family: 4, address: '192.0.2.11', device: 'eth0' };
export const THIRD: NodeAddress = { family: 4, address: '198.51.100.7', device: 'eth1' };

const STATES_KEPT = 8;

export class SimNode {
  readonly ruleset = new RulesetDouble();
  readonly flows = new FlowsDouble();
  readonly network = new NetworkDouble();
  readonly reserver = new ReserverDouble();
  readonly disk = new StateFileDouble();
  /** Numbers that other processes hold. */
  readonly processes = new Set<Reservation>();
  /** What the state file held at earlier moments. */
  readonly formerStates: string[] = [];
  readonly #foreign = new WeakSet<Element>();
  #addresses: readonly NodeAddress[] = [];

  constructor() {
    this.setAddresses([...HOME, SECOND]);
  }

  get addresses(): readonly NodeAddress[] {
    return this.#addresses;
  }

  hasAddress(address: string): boolean {
    return address.startsWith('127.') || this.#addresses.some((one) => one.address === address);
  }

  setAddresses(addresses: readonly NodeAddress[]): void {
    this.#addresses = addresses;
    this.reserver.addresses = new Set([...addresses.map(({ address }) => address), '127.0.0.1', '::1']);
    this.network.setAddresses(addresses);
  }

  /** False when the number is held already. */
  occupy(reservation: Reservation): boolean {
    if (!this.reserver.occupy(reservation)) return false;
    this.processes.add(reservation);
    return true;
  }

  /** Whether it is one of the node's addresses, or was one. */
  hadAddress(address: string): boolean {
    return this.hasAddress(address) || [...HOME, SECOND, THIRD].some((one) => one.address === address);
  }

  vacate(reservation: Reservation): void {
    this.reserver.vacate(reservation);
    this.processes.delete(reservation);
  }

  /** Whether another process holds this number, for any address that overlaps. */
  isOccupied({ protocol, port, hostIP }: Reservation): boolean {
    for (const one of this.processes) {
      if (one.protocol !== protocol || one.port !== port) continue;
      if (one.hostIP === undefined || hostIP === undefined || one.hostIP === hostIP) return true;
    }
    return false;
  }

  /** Another program puts an element into the table, in place of what has its key. False when the kernel refuses it. */
  put(element: Element): boolean {
    const present = this.ruleset.elements().find(({ set, key }) => set === element.set && key === element.key);
    try {
      this.ruleset.commit({ remove: present === undefined ? [] : [present], add: [element] });
    } catch (error) {
      if (error instanceof BerthError) return false;
      throw error;
    }
    this.#foreign.add(element);
    this.ruleset.touch();
    return true;
  }

  isForeign(element: Element): boolean {
    return this.#foreign.has(element);
  }

  rememberState(): void {
    const { text } = this.disk;
    if (text === undefined || this.formerStates.at(-1) === text) return;
    this.formerStates.push(text);
    if (this.formerStates.length > STATES_KEPT) this.formerStates.shift();
  }

  /** The agent is dead already. */
  reboot(): void {
    this.ruleset.flush();
    this.flows.flows = [];
    for (const one of [...this.processes]) this.vacate(one);
    this.network.loopbacks.clear();
    this.network.hairpins.clear();
  }
}
