/** The node's addresses, routes and switches in memory, for tests: no timers; watchers are called within the change. */
import { BerthError } from '../core/errors.ts';
import type { NodeAddress } from '../core/vocabulary.ts';
import type { Network, PodRoute } from '../reconcile/ports.ts';

export type NetworkOperation = 'addresses' | 'route' | 'openLoopback' | 'openHairpin';

export class NetworkDouble implements Network {
  /** Devices on which `route_localnet` stands. */
  readonly loopbacks = new Set<string>();
  /** Pods whose bridge port has `hairpin_mode`. */
  readonly hairpins = new Set<string>();
  /** Pods that no bridge has seen yet: `openHairpin` answers false for them. */
  readonly unlearnt = new Set<string>();
  /** Runs before every operation; what it throws, the operation throws. */
  fault: (operation: NetworkOperation) => void = () => {};
  #addresses: readonly NodeAddress[] = [];
  readonly #routes = new Map<string, PodRoute>();
  readonly #watchers = new Set<() => void>();

  addresses(): readonly NodeAddress[] {
    this.fault('addresses');
    return this.#addresses;
  }

  route(podIP: string): PodRoute | undefined {
    this.fault('route');
    return this.#routes.get(podIP);
  }

  openLoopback(device: string): boolean {
    this.fault('openLoopback');
    if (![...this.#routes.values()].some((route) => route.device === device)) {
      throw new BerthError('NETLINK_FAILED', `netlink: ENODEV (${device})`);
    }
    const stood = this.loopbacks.has(device);
    this.loopbacks.add(device);
    return !stood;
  }

  loopbackOpen(device: string): boolean | undefined {
    if (![...this.#routes.values()].some((route) => route.device === device)) return undefined;
    return this.loopbacks.has(device);
  }

  openHairpin(podIP: string, device: string): boolean {
    this.fault('openHairpin');
    if (this.unlearnt.has(podIP) || this.#routes.get(podIP)?.device !== device) return false;
    this.hairpins.add(podIP);
    return true;
  }

  watch(onChange: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#watchers.add(onChange);
    signal.addEventListener('abort', () => this.#watchers.delete(onChange), { once: true });
  }

  /** How many watch at the moment. */
  get watchers(): number {
    return this.#watchers.size;
  }

  setAddresses(addresses: readonly NodeAddress[]): void {
    this.#addresses = addresses;
    this.changed();
  }

  setRoute(route: PodRoute): void {
    this.#routes.set(route.podIP, route);
    this.changed();
  }

  /** The pod's device is gone, and its bridge port's switch with it. */
  removeRoute(podIP: string): void {
    this.#routes.delete(podIP);
    this.hairpins.delete(podIP);
    this.changed();
  }

  /** Another program resets `route_localnet`. */
  closeLoopback(device: string): void {
    this.loopbacks.delete(device);
    this.changed();
  }

  /** Tells the watchers that something changed. */
  changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
