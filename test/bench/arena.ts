/**
 * One client and one pod with several nodes between them, one a variant of rules, so that variants are measured in turn
 * and in the same second:
 *
 *     client 10.100.K.2 ---- 10.100.K.1 node K 10.244.K.1 ---- 10.244.K.2 pod
 */

import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { close } from '../../daemon/native/libc.ts';
import { elementsOf, nodeElements } from '../../rules/elements.ts';
import { SKELETON } from '../../rules/skeleton.ts';
import { Namespace } from '../kernel/namespace.ts';
import { dial, listenIn, sockaddr, type Talk } from './dialer.ts';
import { FIRST_PORT, mapping } from './mappings.ts';
import { type Backend, fillPortmap } from './portmap.ts';

const POD_PORT = 8080;
/** How many of the installed mappings are connected to, spread evenly. */
const TARGETS = 32;
/** Every node tracks connections, whatever its rules. */
const TRACKING =
  'table ip tracking { chain forward { type filter hook forward priority 0; ct state established accept; }; }';

/** The rules of one node. */
export type Rules =
  | { readonly kind: 'none' }
  /** One DNAT rule and no more: what the kernel takes for any translation. */
  | { readonly kind: 'dnat' }
  | { readonly kind: 'berth'; readonly count: number }
  | { readonly kind: 'portmap'; readonly backend: Backend; readonly count: number };

/** Where the connections go: through every mapping alike, through the one installed last, to the pod itself, or to a service of the node. */
export type Target = 'mapping' | 'last' | 'pod' | 'node';

export interface Variant {
  readonly rules: Rules;
  readonly target: Target;
  /** Nothing unless given. */
  readonly talk?: Talk;
}

interface Place {
  readonly node: Namespace;
  readonly service: number;
  readonly addresses: Readonly<Record<Target, readonly Uint8Array[]>>;
}

export class Arena implements Disposable {
  readonly #client = Namespace.create('client');
  readonly #pod = Namespace.create('pod');
  readonly #places = new Map<string, Place>();
  readonly #listener = listenIn(this.#pod, POD_PORT);

  /** Makes the variant's node, unless it is there. */
  async add({ rules }: Variant): Promise<void> {
    const key = JSON.stringify(rules);
    if (!this.#places.has(key)) this.#places.set(key, await this.#make(rules));
  }

  /** CPU time of one connection, ms. The variant must have been added. */
  measure({ rules, target, talk = 'nothing' }: Variant, count: number): number {
    const place = this.#places.get(JSON.stringify(rules));
    if (place === undefined) throw new Error('the variant was not added');
    return dial(this.#client, target === 'node' ? place.service : this.#listener, place.addresses[target], count, talk);
  }

  [Symbol.dispose](): void {
    close(this.#listener);
    for (const { node, service } of this.#places.values()) {
      close(service);
      node[Symbol.dispose]();
    }
    this.#client[Symbol.dispose]();
    this.#pod[Symbol.dispose]();
  }

  async #make(rules: Rules): Promise<Place> {
    const number = 1 + this.#places.size;
    const node = Namespace.create(`node${number}`);
    const [outside, inside] = [`10.100.${number}`, `10.244.${number}`];
    this.#client.link(`node${number}`, node, 'eth0');
    this.#pod.link(`node${number}`, node, 'pod0');
    this.#client.address(`node${number}`, `${outside}.2/24`);
    this.#pod.address(`node${number}`, `${inside}.2/24`);
    node.address('eth0', `${outside}.1/24`);
    node.address('pod0', `${inside}.1/24`);
    this.#client.ip(`route add ${inside}.0/24 via ${outside}.1`);
    this.#pod.ip(`route add ${outside}.0/24 via ${inside}.1`);
    node.sysctl('net.ipv4.ip_forward', 1);
    node.run('/usr/sbin/nft', ['-f', '-'], TRACKING);
    node.sysctl('net.netfilter.nf_conntrack_tcp_timeout_close', 1);
    const mapped = await install(node, rules, `${outside}.1`, `${inside}.2`);
    const step = Math.max(1, Math.floor(mapped.length / TARGETS));
    const addresses = {
      mapping: mapped.filter((_, index) => index % step === 0),
      last: mapped.slice(-1),
      pod: [sockaddr(`${inside}.2`, POD_PORT)],
      node: [sockaddr(`${outside}.1`, POD_PORT)],
    };
    return { node, service: listenIn(node, POD_PORT), addresses };
  }
}

/** Installs the rules; resolves to where the mappings are, in the order in which they were installed. */
async function install(node: Namespace, rules: Rules, nodeIP: string, podIP: string): Promise<readonly Uint8Array[]> {
  if (rules.kind === 'none') return [];
  const count = rules.kind === 'dnat' ? 1 : rules.count;
  const mappings = Array.from({ length: count }, (_, index) => mapping(index, podIP, POD_PORT));
  const peers = mappings.map(({ hostPort }) => ({ hostPort, podIP, containerPort: POD_PORT }));
  if (rules.kind === 'dnat') {
    const rule = `tcp dport ${FIRST_PORT} dnat to ${podIP}:${POD_PORT};`;
    node.run(
      '/usr/sbin/nft',
      ['-f', '-'],
      `table ip one { chain pre { type nat hook prerouting priority -110; ${rule} }; }`,
    );
  } else if (rules.kind === 'berth') {
    node.run('/usr/sbin/nft', ['-f', '-'], SKELETON);
    await using transport = node.enter(() => new NetlinkTransport());
    const add = [...nodeElements([{ family: 4, address: nodeIP, device: 'eth0' }]), ...mappings.flatMap(elementsOf)];
    await transport.commit({ add, remove: [] });
  } else {
    fillPortmap(node, rules.backend, peers);
  }
  return mappings.map(({ hostPort }) => sockaddr(nodeIP, hostPort));
}
