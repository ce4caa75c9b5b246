/**
 * The node around the mappings: its addresses, the devices that lead to pods, and the switches on these devices.
 * Answers are remembered until the network says that something changed.
 */
import type { Element } from '../../rules/element.ts';
import { nodeElements, sameDeviceElements } from '../../rules/elements.ts';
import { type ChangedSetting, deviceOfSetting, loopbackSetting } from '../core/state.ts';
import type { Mapping, NodeAddress } from '../core/vocabulary.ts';
import type { Network, PodRoute } from './ports.ts';

/** So many changed settings are kept without a look at whether their devices are still there. */
const MAX_SETTINGS = 64;

export class Surroundings {
  readonly #network: Network;
  readonly #onFailure: (operation: string, error: unknown) => void;
  #addresses: readonly NodeAddress[] = [];
  /** The addresses were read at least once. */
  #known = false;
  #own = new Set<string>();
  #nodeElements: readonly Element[] = [];
  readonly #routes = new Map<string, PodRoute | undefined>();
  readonly #opened = new Set<string>();
  readonly #hairpins = new Set<string>();
  readonly #settings = new Map<string, ChangedSetting>();
  /** Noted, but not changed yet. */
  readonly #foreseen = new Set<string>();
  /** Counts the changes of `#settings`. */
  #settingsVersion = 0;
  #outward: readonly NodeAddress[] = [];
  /** Neither routes nor addresses have changed since it was found. */
  #outwardKnown = false;

  constructor(network: Network, onFailure: (operation: string, error: unknown) => void) {
    this.#network = network;
    this.#onFailure = onFailure;
  }

  get addresses(): readonly NodeAddress[] {
    return this.#addresses;
  }

  /** The addresses at which clients outside reach the node: those of the devices that lead to pods are not among them. */
  get outward(): readonly NodeAddress[] {
    if (!this.#outwardKnown) {
      const found = this.#findOutward();
      // The same object as long as it says the same: whoever wrote it down need not do so again.
      if (found.map(({ address }) => address).join() !== this.#outward.map(({ address }) => address).join()) {
        this.#outward = found;
      }
      this.#outwardKnown = true;
    }
    return this.#outward;
  }

  #findOutward(): readonly NodeAddress[] {
    const inward = new Set([...this.#routes.values()].map((route) => route?.device));
    const outward = this.#addresses.filter(({ device }) => !inward.has(device));
    return outward.length > 0 ? outward : this.#addresses;
  }

  readonly isNodeAddress = (address: string): boolean => this.#own.has(address) || address.startsWith('127.');

  /** What was changed on a device that is gone is gone with it: where each pod has its own the list would grow for ever (I10). */
  #trimSettings(): void {
    for (const setting of this.#settings.keys()) {
      const device = deviceOfSetting(setting);
      if (device === undefined) continue;
      const gone = this.#try('route_localnet', () => this.#network.loopbackOpen(device) === undefined);
      if (gone === true) this.#forgetSetting(setting);
    }
  }

  /** Kernel settings that Berth changed. */
  get settings(): readonly ChangedSetting[] {
    return [...this.#settings.values()];
  }

  /** Another number means that `settings` are others. */
  get settingsVersion(): number {
    return this.#settingsVersion;
  }

  /** A setting was changed outside the loop. What an earlier agent found there is the older truth and stays. */
  noteSetting(changed: ChangedSetting): void {
    const known = this.#settings.get(changed.setting);
    const now = known === undefined ? changed : changedTwice(known, changed);
    if (now === known) return;
    this.#settings.set(changed.setting, now);
    this.#settingsVersion++;
  }

  /** What an earlier agent wrote down. */
  restoreSettings(settings: readonly ChangedSetting[]): void {
    for (const one of settings) {
      const known = this.#settings.get(one.setting);
      this.#settings.set(one.setting, known === undefined ? one : changedTwice(one, known));
    }
  }

  /**
   * Reads the addresses and forgets every route. False when the kernel could not be asked: then the addresses of the last
   * time go on to count. Throws when there was no last time.
   */
  refresh(): boolean {
    let fresh = true;
    try {
      this.#addresses = this.#network.addresses();
      this.#known = true;
    } catch (error) {
      if (!this.#known) throw error;
      this.#onFailure('addresses', error);
      fresh = false;
    }
    this.#own = new Set(this.#addresses.map(({ address }) => address));
    this.#nodeElements = nodeElements(this.#addresses);
    this.#routes.clear();
    this.#outwardKnown = false;
    this.#opened.clear();
    if (this.#settings.size > MAX_SETTINGS) this.#trimSettings();
    this.#hairpins.clear();
    return fresh;
  }

  /**
   * Notes what `environment` is going to change on devices that outlive pods (bridges): that must be remembered before it is
   * done. True when there was something to note. What is changed on a pod's own device ends with the pod.
   */
  foresee(mappings: readonly Mapping[]): boolean {
    const version = this.#settingsVersion;
    for (const { podIPs } of mappings) {
      for (const podIP of podIPs) {
        const route = podIP.includes(':') ? undefined : this.#route(podIP);
        if (route?.bridge !== true || this.#opened.has(route.device)) continue;
        const setting = loopbackSetting(route.device);
        if (this.#settings.has(setting)) continue;
        const open = this.#try('route_localnet', () => this.#network.loopbackOpen(route.device));
        if (open !== false) continue;
        this.noteSetting({ setting, before: '0' });
        this.#foreseen.add(setting);
      }
    }
    return this.#settingsVersion !== version;
  }

  /**
   * Prepares the way to the pods of these mappings and answers the elements that belong to no mapping. `complete` is
   * false while a bridge port is not known yet: ask again soon.
   */
  environment(mappings: readonly Mapping[]): { readonly elements: readonly Element[]; readonly complete: boolean } {
    const bridges = new Set<string>();
    // A pod may have a hundred mappings: each of its addresses is asked for once.
    const used = new Set<string>();
    for (const { podIPs } of mappings) for (const podIP of podIPs) used.add(podIP);
    let complete = true;
    for (const podIP of used) {
      const route = this.#route(podIP);
      if (route === undefined) continue;
      if (!podIP.includes(':')) this.#openLoopback(route.device);
      if (!route.bridge) continue;
      bridges.add(route.device);
      if (!this.#openHairpin(podIP, route.device)) complete = false;
    }
    for (const podIP of this.#routes.keys()) if (!used.has(podIP)) this.#forget(podIP);
    return { elements: [...this.#nodeElements, ...sameDeviceElements([...bridges])], complete };
  }

  #forgetSetting(setting: string): void {
    if (this.#settings.delete(setting)) this.#settingsVersion++;
  }

  #forget(podIP: string): void {
    this.#routes.delete(podIP);
    this.#hairpins.delete(podIP);
    this.#outwardKnown = false;
  }

  #route(podIP: string): PodRoute | undefined {
    if (this.#routes.has(podIP)) return this.#routes.get(podIP);
    const route = this.#try('route', () => this.#network.route(podIP));
    // A pod whose route is not there yet gets one within moments: the network's watch starts another pass then.
    this.#routes.set(podIP, route);
    this.#outwardKnown = false;
    return route;
  }

  #openLoopback(device: string): void {
    if (this.#opened.has(device)) return;
    const changed = this.#try('route_localnet', () => this.#network.openLoopback(device));
    if (changed !== undefined) this.#opened.add(device);
    const setting = loopbackSetting(device);
    const foreseen = this.#foreseen.delete(setting);
    if (changed === true) this.noteSetting({ setting, before: '0' });
    // It could not be done, or somebody else was quicker: it is not Berth's to put back.
    else if (foreseen) this.#forgetSetting(setting);
  }

  #openHairpin(podIP: string, device: string): boolean {
    if (this.#hairpins.has(podIP)) return true;
    const open = this.#try('hairpin', () => this.#network.openHairpin(podIP, device));
    if (open) this.#hairpins.add(podIP);
    return open !== false;
  }

  #try<T>(operation: string, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.#onFailure(operation, error);
      return undefined;
    }
  }
}

function changedTwice(earlier: ChangedSetting, later: ChangedSetting): ChangedSetting {
  if (later.added === undefined) return earlier;
  const added = new Set([...(earlier.added?.split(',') ?? []), ...later.added.split(',')]);
  return { ...earlier, added: [...added].join(',') };
}
