/** Another program of the node that translates addresses as kube-proxy does: in a table of its own, at the usual priority. */
import type { Namespace } from '../namespace.ts';
import type { Addresses } from './topology.ts';

/** Service addresses: no host has them, each program serves its own. */
export const VIPS: Readonly<Record<'nft' | 'iptables', Addresses>> = {
  nft: { 4: '10.96.0.10', 6: 'fd00:96::10' },
  iptables: { 4: '10.96.0.11', 6: 'fd00:96::11' },
};

export interface End {
  readonly address: string;
  readonly port: number;
}

/** The mark that the nftables program leaves on its connections. */
export const MARK = 0x4000;

/** Sends TCP and UDP for `from` to `to`, whoever asks, the node included. */
export function translate(node: Namespace, program: 'nft' | 'iptables', from: End, to: End): void {
  const six = from.address.includes(':');
  const target = six ? `[${to.address}]:${to.port}` : `${to.address}:${to.port}`;
  if (program === 'iptables') {
    const words = `-w -t nat -A CHAIN -d ${from.address} -p PROTO --dport ${from.port} -j DNAT --to-destination ${target}`;
    for (const chain of ['PREROUTING', 'OUTPUT']) {
      for (const protocol of ['tcp', 'udp']) {
        const rule = words.replace('CHAIN', chain).replace('PROTO', protocol);
        node.run(six ? 'ip6tables-nft' : 'iptables-nft', rule.split(' '));
      }
    }
    return;
  }
  const family = six ? 'ip6' : 'ip';
  const rules = `${family} daddr ${from.address} meta l4proto { tcp, udp } th dport ${from.port} ct mark set ${MARK} dnat to ${target}`;
  node.run(
    '/usr/sbin/nft',
    ['-f', '-'],
    `table ${family} services {
      chain pre { type nat hook prerouting priority dstnat; policy accept; }
      chain out { type nat hook output priority -100; policy accept; }
    }
    add rule ${family} services pre ${rules}
    add rule ${family} services out ${rules}`,
  );
}
