/**
 * The peer: CNI portmap's rules in each of its backends, written exactly as it writes them (plugins 1.9.0), by the ten thousand in one go. And
 * the plugin itself, where it is installed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../kernel/namespace.ts';

/** Of Debian and Ubuntu. Their plugin (1.1.1) has the iptables backend alone; that of nftables came with 1.6. */
const PACKAGE = 'containernetworking-plugins';
const PLUGIN = '/usr/lib/cni/portmap';
const NETWORK = 'bench';

export type Backend = 'iptables-legacy' | 'iptables-nft' | 'nftables';

export interface PeerMapping {
  readonly hostPort: number;
  readonly podIP: string;
  readonly containerPort: number;
}

/** Installs the mappings, each for a container of its own, beside what portmap needs once. Into an empty namespace. */
export function fillPortmap(node: Namespace, backend: Backend, mappings: readonly PeerMapping[]): void {
  if (backend === 'nftables') node.run('/usr/sbin/nft', ['-f', '-'], nftablesText(mappings));
  else node.run(`/usr/sbin/${backend}-restore`, ['--noflush'], iptablesText(mappings));
}

/** As a container runtime names its containers. */
export function containerId({ hostPort }: PeerMapping): string {
  return createHash('sha256').update(String(hostPort)).digest('hex');
}

function iptablesText(mappings: readonly PeerMapping[]): string {
  const chains = mappings.map((mapping) => `:${chainOf(mapping)} - [0:0]`);
  const rules = mappings.flatMap((mapping) => {
    const { hostPort, podIP, containerPort } = mapping;
    const chain = chainOf(mapping);
    const comment = `dnat name: \\"${NETWORK}\\" id: \\"${containerId(mapping)}\\"`;
    const match = `-A ${chain} -p tcp -m tcp --dport ${hostPort}`;
    return [
      `-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "${comment}" -m multiport --dports ${hostPort} -j ${chain}`,
      `${match} -s 10.244.0.0/16 -j CNI-HOSTPORT-SETMARK`,
      `${match} -s 127.0.0.1/32 -j CNI-HOSTPORT-SETMARK`,
      `${match} -j DNAT --to-destination ${podIP}:${containerPort}`,
    ];
  });
  return [
    '*nat',
    ':CNI-HOSTPORT-DNAT - [0:0]',
    ':CNI-HOSTPORT-MASQ - [0:0]',
    ':CNI-HOSTPORT-SETMARK - [0:0]',
    ...chains,
    '-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
    '-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
    '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
    '-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE',
    '-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
    ...rules,
    'COMMIT\n',
  ].join('\n');
}

function chainOf(mapping: PeerMapping): string {
  const hash = createHash('sha512')
    .update(NETWORK + containerId(mapping))
    .digest('hex');
  return `CNI-DN-${hash}`.slice(0, 28);
}

/** What portmap's nftables backend makes sure of at each call. */
const NFTABLES_BASE = `add table ip cni_hostport { comment "CNI portmap plugin" ; }
add chain ip cni_hostport hostports
add chain ip cni_hostport hostip_hostports
add chain ip cni_hostport hostports_all
flush chain ip cni_hostport hostports_all
add rule ip cni_hostport hostports_all jump hostip_hostports
add rule ip cni_hostport hostports_all jump hostports
add chain ip cni_hostport prerouting { type nat hook prerouting priority -100 ; }
flush chain ip cni_hostport prerouting
add rule ip cni_hostport prerouting fib daddr type local jump hostports_all
add chain ip cni_hostport output { type nat hook output priority -100 ; }
flush chain ip cni_hostport output
add rule ip cni_hostport output fib daddr type local jump hostports_all
add chain ip cni_hostport masquerading { type nat hook postrouting priority 100 ; }
`;

/** The transaction by which portmap's nftables backend adds these mappings. */
export function nftablesText(mappings: readonly PeerMapping[]): string {
  const rules = mappings.flatMap((mapping) => {
    const { hostPort, podIP, containerPort } = mapping;
    const comment = `comment "${containerId(mapping)}"`;
    return [
      `add rule ip cni_hostport hostports tcp dport ${hostPort} dnat to ${podIP}:${containerPort} ${comment}`,
      `add rule ip cni_hostport masquerading ip saddr ${podIP} ip daddr ${podIP} masquerade ${comment}`,
      `add rule ip cni_hostport masquerading ip saddr 127.0.0.1 ip daddr ${podIP} masquerade ${comment}`,
    ];
  });
  return `${NFTABLES_BASE}${rules.join('\n')}\n`;
}

interface ListedRule {
  readonly rule?: { readonly handle: number; readonly comment?: string };
}

/** What portmap's nftables backend does to remove the mapping, without the start of the plugin and of its probes. */
export function removeFromNftables(node: Namespace, mapping: PeerMapping): void {
  const deletions = ['hostports', 'hostip_hostports', 'masquerading'].flatMap((chain) => {
    const listing = node.run('/usr/sbin/nft', ['--json', 'list', 'chain', 'ip', 'cni_hostport', chain]);
    const { nftables }: { nftables: ListedRule[] } = JSON.parse(listing);
    const own = nftables.filter(({ rule }) => rule?.comment === containerId(mapping));
    return own.map(({ rule }) => `delete rule ip cni_hostport ${chain} handle ${rule?.handle}\n`);
  });
  node.run('/usr/sbin/nft', ['-f', '-'], deletions.join(''));
}

/** The plugin as a container runtime calls it. */
export class PortmapPlugin {
  readonly #node: Namespace;
  readonly #path: string;

  static get installed(): boolean {
    return existsSync(PLUGIN);
  }

  /** That of its package: the plugin itself does not know. */
  static get version(): string {
    // Name, tab, version.
    const { stdout } = spawnSync('dpkg-query', ['-W', PACKAGE], { encoding: 'utf8' });
    return stdout?.split('\t')[1]?.trim() || 'of unknown version';
  }

  /** `directory` gets the links that make the plugin find this backend. */
  constructor(node: Namespace, backend: 'iptables-legacy' | 'iptables-nft', directory: string) {
    this.#node = node;
    this.#path = join(directory, backend);
    mkdirSync(this.#path);
    const program = backend === 'iptables-legacy' ? 'xtables-legacy-multi' : 'xtables-nft-multi';
    for (const name of ['iptables', 'ip6tables']) symlinkSync(`/usr/sbin/${program}`, join(this.#path, name));
  }

  /** `pod`: the namespace of the container. */
  run(command: 'ADD' | 'DEL', mapping: PeerMapping, pod: Namespace): void {
    const { hostPort, containerPort, podIP } = mapping;
    const sandbox = `/run/netns/${pod.name}`;
    const config = {
      cniVersion: '0.4.0',
      name: NETWORK,
      type: 'portmap',
      snat: true,
      runtimeConfig: { portMappings: [{ hostPort, containerPort, protocol: 'tcp' }] },
      prevResult: {
        cniVersion: '0.4.0',
        interfaces: [{ name: 'eth0', sandbox }],
        ips: [{ version: '4', interface: 0, address: `${podIP}/16` }],
      },
    };
    const env = [
      `PATH=${this.#path}`,
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${containerId(mapping)}`,
      `CNI_NETNS=${sandbox}`,
      'CNI_IFNAME=eth0',
      `CNI_PATH=/usr/lib/cni`,
    ];
    this.#node.run('/usr/bin/env', ['-i', ...env, PLUGIN], JSON.stringify(config));
  }
}
