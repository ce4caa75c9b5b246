/**
 * A small node with everything around it, in network namespaces: clients in front, another host behind, pods inside. It
 * knows no agent; what the packets do here without one is what they must go on doing beside one.
 *
 *   client .2, .3 -- 192.0.2.0/24 -- .1, .7 (eth0) node (eth1) .1 -- 198.51.100.0/24 -- .2 remote
 *                                                    |
 *                             10.244.0.1 on a bridge, or on every pod's own device
 *                                                    |
 *                                        pods 10.244.0.11, .12, ...
 *
 * IPv6 alike, with the same last numbers.
 */
import type { Family } from '../../../daemon/core/vocabulary.ts';
import { Namespace } from '../namespace.ts';

/** One address a family. */
export type Addresses = Readonly<Record<Family, string>>;

export const FAMILIES = [4, 6] as const;

/** The node at which clients aim. */
export const NODE: Addresses = { 4: '192.0.2.1', 6: '2001:db8:1::1' };
/** Another address of the node, on the same device. */
export const SECOND: Addresses = { 4: '192.0.2.7', 6: '2001:db8:1::7' };
export const CLIENT: Addresses = { 4: '192.0.2.2', 6: '2001:db8:1::2' };
/** The client's machine under another address. */
export const STRANGER: Addresses = { 4: '192.0.2.3', 6: '2001:db8:1::3' };
/** A host beyond the node: what the clients say to it is routed through the node. */
export const REMOTE: Addresses = { 4: '198.51.100.2', 6: '2001:db8:2::2' };
/** The node as pods see it. */
export const GATEWAY: Addresses = { 4: '10.244.0.1', 6: 'fd00:244::1' };
export const LOOPBACK: Addresses = { 4: '127.0.0.1', 6: '::1' };

/** How pods hang on the node, and for a bridge whether iptables sees what it forwards. */
export interface Layout {
  readonly name: string;
  readonly bridge: boolean;
  readonly callIptables: boolean;
}

export const LAYOUTS: readonly Layout[] = [
  { name: 'routed', bridge: false, callIptables: false },
  { name: 'bridge', bridge: true, callIptables: false },
  { name: 'bridge with bridge-nf-call-iptables', bridge: true, callIptables: true },
];

/** Where a pod lives. */
export interface Place extends Disposable {
  readonly name: string;
  readonly namespace: Namespace;
  readonly address: Addresses;
  /** The node's device that leads to it. */
  readonly device: string;
}

export class Topology implements Disposable {
  readonly layout: Layout;
  readonly node = Namespace.create('node');
  readonly client = Namespace.create('client');
  readonly remote = Namespace.create('remote');
  readonly #places = new Map<string, Place>();

  constructor(layout: Layout) {
    this.layout = layout;
    const { node, client, remote } = this;
    node.sysctl('net.ipv4.ip_forward', 1);
    node.sysctl('net.ipv6.conf.all.forwarding', 1);
    // By default the kernel sends one host six ICMP errors and then one a second, a thousand a second to all. It counts
    // redirects among them, which it makes for neighbours on one bridge (and drops again, as the connection is
    // translated). The tests ask far more: here no type is limited (in IPv6 only type 0, which does not exist).
    node.sysctl('net.ipv4.icmp_ratemask', 0);
    node.sysctl('net.ipv6.icmp.ratemask', 0);
    node.link('eth0', client, 'eth0');
    node.link('eth1', remote, 'eth0');
    addresses(node, 'eth0', 24, NODE);
    further(node, 'eth0', SECOND);
    addresses(node, 'eth1', 24, { 4: '198.51.100.1', 6: '2001:db8:2::1' });
    addresses(client, 'eth0', 24, CLIENT);
    further(client, 'eth0', STRANGER);
    addresses(remote, 'eth0', 24, REMOTE);
    defaultRoute(node, CLIENT);
    defaultRoute(client, NODE);
    defaultRoute(remote, { 4: '198.51.100.1', 6: '2001:db8:2::1' });
    if (!layout.bridge) return;
    node.bridge('br0', `${GATEWAY[4]}/24`, `${GATEWAY[6]}/64`);
    for (const program of ['iptables', 'ip6tables']) {
      node.sysctl(`net.bridge.bridge-nf-call-${program}`, Number(layout.callIptables));
    }
  }

  /** The place of this name, made when it is first asked for. */
  place(name: string): Place {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const number = 11 + this.#places.size;
    const address = { 4: `10.244.0.${number}`, 6: `fd00:244::${number}` };
    const namespace = Namespace.create(name);
    const veth = `pod${number}`;
    this.node.link(veth, namespace, 'eth0');
    if (this.layout.bridge) this.node.attach(veth, 'br0');
    else this.#route(veth, address);
    addresses(namespace, 'eth0', this.layout.bridge ? 24 : 32, address);
    if (!this.layout.bridge) for (const family of FAMILIES) namespace.ip(`route add ${GATEWAY[family]} dev eth0`);
    defaultRoute(namespace, GATEWAY);
    const place: Place = {
      name,
      namespace,
      address,
      device: this.layout.bridge ? 'br0' : veth,
      [Symbol.dispose]: () => namespace[Symbol.dispose](),
    };
    this.#places.set(name, place);
    return place;
  }

  /** As the CNI plugin ptp does it: the gateway's address on every device, a route a pod. */
  #route(device: string, address: Addresses): void {
    addresses(this.node, device, 32, GATEWAY);
    for (const family of FAMILIES) this.node.ip(`route add ${address[family]} dev ${device}`);
  }

  [Symbol.dispose](): void {
    for (const owner of [...this.#places.values(), this.node, this.client, this.remote]) owner[Symbol.dispose]();
  }
}

/** `prefix` is that of IPv4: 24 goes with 64, 32 with 128. */
function addresses(namespace: Namespace, device: string, prefix: 24 | 32, both: Addresses): void {
  namespace.address(device, `${both[4]}/${prefix}`, `${both[6]}/${prefix === 24 ? 64 : 128}`);
}

/** More addresses, which the kernel uses as a source only where it is told to (deprecated, RFC 4862 section 5.5.4). */
function further(namespace: Namespace, device: string, both: Addresses): void {
  namespace.ip(`addr add ${both[4]}/24 dev ${device}`);
  namespace.ip(`addr add ${both[6]}/64 dev ${device} nodad preferred_lft 0`);
}

function defaultRoute(namespace: Namespace, via: Addresses): void {
  for (const family of FAMILIES) namespace.ip(`route add default via ${via[family]}`);
}
