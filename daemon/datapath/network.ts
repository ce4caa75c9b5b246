/**
 * The node's addresses, its routes to pods and the two switches on their devices, in the network namespace of the
 * process. It needs NET_ADMIN and nothing writable in /proc/sys. It must never switch anything for `all` devices, nor
 * on a device that does not lead to pods.
 */
import { type Address, classifyAddress, containsAddress, parseAddress } from '../core/address.ts';
import type { Cidr, NodeAddress } from '../core/vocabulary.ts';
import { isErrno } from '../native/errno.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../native/netlink.ts';
import type { Network, PodRoute } from '../reconcile/ports.ts';
import { assignedAddresses } from './addresses.ts';
import { type Device, deviceByIndex, deviceByName, routeLocalnets, setHairpin, setRouteLocalnet } from './devices.ts';
import { watchEvents } from './events.ts';
import { deviceToward, neighbourMac, portOfMac, resolveNeighbour } from './routes.ts';

/** Devices whose addresses are not the node's: kube-proxy's Services in IPVS mode, and the node-local DNS cache. */
export const VIRTUAL_DEVICES: readonly string[] = ['kube-ipvs0', 'nodelocaldns'];

/**
 * Kinds of device that lead to pods. All else (hardware, bond, vlan, tunnel) leads off the node: where pods have
 * addresses of the node's own subnet, a pod whose route does not stand yet would otherwise open the uplink (CVE-2020-8558).
 */
const POD_KINDS: ReadonlySet<string> = new Set(['veth', 'bridge', 'netkit', 'openvswitch', 'tun']);

/** Looking at 500 devices takes 2 to 20 ms (caches are cold by then): a two-thousandth of one processor may go into it. */
const LOOK = { minMs: 1_000, maxMs: 30_000, share: 1 / 2_000 } as const;

export interface NetworkOptions {
  /** Devices whose addresses are left out. Default: VIRTUAL_DEVICES. */
  readonly excludedDevices?: readonly string[] | undefined;
  /** Only addresses in these ranges count. Default: any. */
  readonly hostAddresses?: readonly Cidr[] | undefined;
}

export class NodeNetwork implements Network, Disposable {
  readonly #socket = NetlinkSocket.open(NETLINK_ROUTE);
  readonly #excluded: ReadonlySet<string>;
  readonly #ranges: readonly Cidr[] | undefined;
  /** Indexes of the devices whose `route_localnet` was seen or set. */
  readonly #open = new Set<number>();

  /** Throws SYSCALL_FAILED. */
  constructor({ excludedDevices = VIRTUAL_DEVICES, hostAddresses }: NetworkOptions = {}) {
    this.#excluded = new Set(excludedDevices);
    this.#ranges = hostAddresses;
  }

  /** Loopback, link-local and metadata addresses are never among them. Throws NETLINK_FAILED. */
  addresses(): readonly NodeAddress[] {
    const names = new Map<number, string | undefined>();
    const served = new Map<string, NodeAddress>();
    for (const { device, ...address } of assignedAddresses(this.#socket)) {
      if (!this.#mayServe(address) || served.has(address.text)) continue;
      if (!names.has(device)) names.set(device, this.#find(() => deviceByIndex(this.#socket, device))?.name);
      const name = names.get(device);
      if (name === undefined || this.#excluded.has(name)) continue;
      served.set(address.text, { family: address.family, address: address.text, device: name });
    }
    return [...served.values()];
  }

  #mayServe(address: Address): boolean {
    if (classifyAddress(address) !== 'ordinary') return false;
    return this.#ranges?.some((range) => containsAddress(range, address.text)) ?? true;
  }

  /** Throws NETLINK_FAILED. */
  route(podIP: string): PodRoute | undefined {
    const address = parseAddress(podIP);
    const index = address && deviceToward(this.#socket, address);
    const device = index && this.#find(() => deviceByIndex(this.#socket, index));
    if (!device || device.kind === undefined || !POD_KINDS.has(device.kind)) return undefined;
    return { podIP, device: device.name, bridge: device.kind === 'bridge' };
  }

  openLoopback(name: string): boolean {
    const device = deviceByName(this.#socket, name);
    if (!device.routeLocalnet) setRouteLocalnet(this.#socket, device, true);
    this.#open.add(device.index);
    return !device.routeLocalnet;
  }

  /** Whether `route_localnet` is set; undefined when there is no such device. Throws NETLINK_FAILED. */
  loopbackOpen(name: string): boolean | undefined {
    return this.#find(() => deviceByName(this.#socket, name))?.routeLocalnet;
  }

  /** Takes `openLoopback` back. A device that is gone is no error. Throws NETLINK_FAILED. */
  closeLoopback(name: string): void {
    const device = this.#find(() => deviceByName(this.#socket, name));
    if (device === undefined) return;
    this.#open.delete(device.index);
    if (device.routeLocalnet) setRouteLocalnet(this.#socket, device, false);
  }

  /**
   * Only on the one port behind which the pod is: everywhere else it would send the pods' own IPv6 duplicate detection back
   * to them (RFC 4862 section 5.4.3), and their addresses would be refused. Throws NETLINK_FAILED.
   */
  openHairpin(podIP: string, name: string): boolean {
    const address = parseAddress(podIP);
    const bridge = this.#find(() => deviceByName(this.#socket, name));
    if (address === undefined || bridge === undefined) return false;
    const port = this.#portOf(address, bridge);
    if (port?.port?.bridge !== bridge.index) return false;
    if (!port.port.hairpin) setHairpin(this.#socket, port);
    return true;
  }

  #portOf(address: Address, bridge: Device): Device | undefined {
    const mac = neighbourMac(this.#socket, address, bridge.index);
    const index = mac && portOfMac(this.#socket, mac, bridge);
    // A neighbour known for long may be forgotten by the bridge: its answer to the question makes it known to both.
    if (index === undefined) resolveNeighbour(this.#socket, address, bridge.index);
    return index === undefined ? undefined : this.#find(() => deviceByIndex(this.#socket, index));
  }

  /** Calls at most every 100 ms. What happens in the meantime is one call. */
  watch(onChange: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    watchEvents(onChange, signal);
    let timer: NodeJS.Timeout;
    const lookAfter = (ms: number): void => {
      timer = setTimeout(() => {
        const began = performance.now();
        if (this.#anyClosed()) onChange();
        const rest = (performance.now() - began) / LOOK.share;
        if (!signal.aborted) lookAfter(Math.min(Math.max(LOOK.minMs, rest), LOOK.maxMs));
      }, ms).unref();
    };
    lookAfter(LOOK.minMs);
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  }

  /**
   * Another program has reset `route_localnet` of a device that was opened: no netlink group tells of that. Also true when the
   * devices cannot be read: the pass that follows says why. True once: until the pass opens them again they are not looked at.
   */
  #anyClosed(): boolean {
    if (this.#open.size === 0) return false;
    let closed = false;
    try {
      const { found, complete } = routeLocalnets(this.#socket);
      for (const index of this.#open) {
        const open = found.get(index);
        if (open === false || (open === undefined && complete)) this.#open.delete(index);
        closed ||= open === false;
      }
    } catch {
      this.#open.clear();
      closed = true;
    }
    return closed;
  }

  /** The device, undefined when it vanished meanwhile. */
  #find(read: () => Device): Device | undefined {
    try {
      return read();
    } catch (error) {
      if (isErrno(error, 'ENODEV')) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
