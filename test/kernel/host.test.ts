import test from 'ava';
import type { HostFacts, Passage, Seen } from '../../daemon/core/diagnosis.ts';
import { readHost } from '../../daemon/datapath/host.ts';
import { NodeNetwork } from '../../daemon/datapath/network.ts';
import { Namespace } from './namespace.ts';

const NFT = '/usr/sbin/nft';
/** From outside to port 8080 of a pod behind a bridge. */
const PASSAGE: Passage = {
  family: 4,
  input: 'eth0',
  output: 'br0',
  destination: '10.90.1.11',
  protocol: 'TCP',
  port: 8080,
};
/** As little as is known of it while no pod is named. */
const ANY: Passage = { family: 4, input: 'eth0' };

function known<T>(fact: Seen<T>): T {
  if (fact.kind === 'seen') return fact.value;
  throw new Error(fact.why);
}

async function look(node: Namespace, ...passages: readonly Passage[]): Promise<HostFacts> {
  return node.enter(() => {
    using network = new NodeNetwork();
    return readHost({ addresses: network.addresses(), passages });
  });
}

/** The rules of one chain `f` in the forward hook, other chains before it, and what becomes of PASSAGE and of ANY. */
const RULESETS: readonly (readonly [rules: string, policy: string, pod: string, any: string])[] = [
  ['', 'accept', 'accepts', 'accepts'],
  ['', 'drop', 'drops', 'drops'],
  ['counter', 'drop', 'drops', 'drops'],
  ['accept', 'drop', 'accepts', 'accepts'],
  ['drop', 'accept', 'drops', 'drops'],
  ['reject', 'accept', 'drops', 'drops'],
  ['log prefix "x" counter drop', 'accept', 'drops', 'drops'],
  ['ct status dnat accept', 'drop', 'accepts', 'accepts'],
  ['ct state established,related accept', 'drop', 'drops', 'drops'],
  ['ct state new accept', 'drop', 'accepts', 'accepts'],
  ['ct state established,related,new accept', 'drop', 'accepts', 'accepts'],
  ['ct direction original accept', 'drop', 'accepts', 'accepts'],
  ['iifname "docker0" accept', 'drop', 'drops', 'drops'],
  ['iifname "eth0" accept', 'drop', 'accepts', 'accepts'],
  ['iifname "eth*" accept', 'drop', 'accepts', 'accepts'],
  ['iifname != "docker0" oifname "docker0" accept', 'drop', 'drops', 'undecided'],
  ['oifname "br0" accept', 'drop', 'accepts', 'undecided'],
  ['oifname != "br0" drop', 'accept', 'accepts', 'accepts'],
  ['ip daddr 10.90.1.0/24 accept', 'drop', 'accepts', 'undecided'],
  ['ip daddr 10.90.0.0/18 accept', 'drop', 'accepts', 'undecided'],
  ['ip daddr 10.91.0.0/16 accept', 'drop', 'drops', 'undecided'],
  ['ip daddr != 10.90.1.11 accept', 'drop', 'drops', 'undecided'],
  ['ip saddr 203.0.113.0/24 accept', 'drop', 'undecided', 'undecided'],
  ['tcp dport 8080 accept', 'drop', 'accepts', 'undecided'],
  ['tcp dport < 9000 accept', 'drop', 'accepts', 'undecided'],
  ['udp dport 8080 accept', 'drop', 'drops', 'undecided'],
  ['ip protocol tcp accept', 'drop', 'accepts', 'undecided'],
  ['meta nfproto ipv6 accept', 'drop', 'drops', 'drops'],
  ['ip6 daddr ::1 accept', 'drop', 'drops', 'drops'],
  ['meta mark and 0x4000 == 0x4000 accept', 'drop', 'undecided', 'undecided'],
  ['tcp dport { 80, 8080 } accept', 'drop', 'undecided', 'undecided'],
  ['ct state vmap { established : accept, invalid : drop }', 'drop', 'undecided', 'undecided'],
  // What may drop is no reason to doubt: that is what network policies do.
  ['ip saddr 203.0.113.0/24 drop', 'accept', 'accepts', 'accepts'],
  ['ip saddr 203.0.113.0/24 accept; drop', 'accept', 'undecided', 'undecided'],
  ['ip saddr 203.0.113.0/24 return; drop', 'accept', 'accepts', 'accepts'],
  ['jump sub', 'drop', 'drops', 'undecided'],
  ['ct status dnat jump sub; accept', 'drop', 'accepts', 'accepts'],
  ['jump out; accept', 'drop', 'accepts', 'accepts'],
  ['goto out; accept', 'drop', 'drops', 'drops'],
  ['jump deny', 'accept', 'drops', 'drops'],
];

for (const [rules, policy, pod, any] of RULESETS) {
  test.serial(
    `the forward hook: "${rules}" with policy ${policy} ${pod}; nothing known of the pod: ${any}`,
    async (t) => {
      using node = Namespace.create('node');
      node.run(
        NFT,
        ['-f', '-'],
        `table inet x {
        chain deny { drop; }
        chain out { return; }
        chain sub { ip daddr 10.91.0.0/16 accept; }
        chain f { type filter hook forward priority 0; policy ${policy}; ${rules}${rules === '' ? '' : ';'} }
      }`,
      );
      const forward = known((await look(node, PASSAGE, ANY)).forward);
      t.deepEqual(
        forward.map(({ chain, verdict }) => `${chain.family} ${chain.table} ${chain.name} ${verdict}`),
        [`inet x f ${pod}`, `inet x f ${any}`],
      );
    },
  );
}

/** Arguments of iptables, and what becomes of PASSAGE. */
const IPTABLES: readonly (readonly [commands: readonly string[], verdict: string])[] = [
  [['-P FORWARD DROP'], 'drops'],
  [['-A FORWARD -j REJECT --reject-with icmp-host-prohibited'], 'drops'],
  [['-P FORWARD DROP', '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'], 'drops'],
  [['-P FORWARD DROP', '-A FORWARD -m conntrack ! --ctstate RELATED,ESTABLISHED -j ACCEPT'], 'accepts'],
  [['-P FORWARD DROP', '-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT'], 'accepts'],
  [['-P FORWARD DROP', '-A FORWARD -d 10.90.1.0/24 -m comment --comment pods -j ACCEPT'], 'accepts'],
  [['-P FORWARD DROP', '-A FORWARD -i docker0 ! -o docker0 -j ACCEPT'], 'drops'],
  [['-P FORWARD DROP', '-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT'], 'undecided'],
  [['-P FORWARD DROP', '-N USER', '-A USER -o br0 -j ACCEPT', '-A FORWARD -j USER'], 'accepts'],
];

for (const [commands, verdict] of IPTABLES) {
  test.serial(`the forward hook: iptables ${commands.join('; ')}: ${verdict}`, async (t) => {
    using node = Namespace.create('node');
    for (const words of commands) node.run('/usr/sbin/iptables-nft', words.split(' '));
    const forward = known((await look(node, PASSAGE, { family: 6 })).forward);
    t.deepEqual(
      forward.map(({ chain, verdict }) => [chain.table, chain.name, verdict]),
      [['filter', 'FORWARD', verdict]],
    );
  });
}

test('a connection of which it is not known where it comes in comes in by the uplink, not by a bridge or a pod', async (t) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  using pod = Namespace.create('pod');
  node.bridge('br0', '10.90.1.1/24');
  node.link('veth1', pod, 'eth0');
  node.address('veth1', '10.91.1.1/32');
  node.link('eth0', client, 'eth0');
  node.address('eth0', '192.0.2.1/24');
  for (const [device, verdict] of [
    ['br0', 'drops'],
    ['veth1', 'drops'],
    ['eth0', 'accepts'],
  ] as const) {
    const chain = `chain f { type filter hook forward priority 0; policy drop; iifname "${device}" accept; };`;
    node.run(NFT, ['-f', '-'], `table ip x {}; delete table ip x; table ip x { ${chain} }`);
    const { forward, uplinks } = await look(node, { family: 4 });
    t.is(known(forward)[0]?.verdict, verdict, device);
    t.deepEqual(
      known(uplinks).map((one) => one.device),
      ['eth0'],
    );
  }
});

test('iptables without nf_tables: its policy is read, its rules are left undecided, and no table is created by looking', async (t) => {
  using node = Namespace.create('node');
  const names = () => node.enter(() => node.run('cat', ['/proc/net/ip_tables_names']));
  t.deepEqual(known((await look(node, PASSAGE)).forward), []);
  t.is(names(), '');
  const verdict = async () =>
    known((await look(node, PASSAGE, { family: 6 })).forward).map((one) => [one.chain.family, one.verdict]);
  node.run('/usr/sbin/iptables-legacy', ['-A', 'FORWARD', '-s', '203.0.113.0/24', '-j', 'DROP']);
  t.deepEqual(await verdict(), [['legacy', 'accepts']]);
  node.run('/usr/sbin/iptables-legacy', ['-P', 'FORWARD', 'DROP']);
  t.deepEqual(await verdict(), [['legacy', 'undecided']]);
  node.run('/usr/sbin/iptables-legacy', ['-F', 'FORWARD']);
  t.deepEqual(await verdict(), [['legacy', 'drops']]);
});

test('a table that is switched off filters nothing', async (t) => {
  using node = Namespace.create('node');
  node.run(
    NFT,
    ['-f', '-'],
    'table ip x { flags dormant; chain f { type filter hook forward priority 0; policy drop; }; }',
  );
  t.deepEqual(known((await look(node, PASSAGE)).forward), []);
});

test('NAT chains of other programs that come before Berth’s are told from those that come after', async (t) => {
  using node = Namespace.create('node');
  const chain = (name: string, hook: string, priority: number) =>
    `chain ${name} { type nat hook ${hook} priority ${priority}; }`;
  node.run(NFT, ['-f', '-'], `table ip early { ${chain('a', 'prerouting', -150)}; ${chain('b', 'output', -150)}; }`);
  node.run(NFT, ['-f', '-'], `table inet same { ${chain('c', 'prerouting', -110)}; }`);
  node.run(NFT, ['-f', '-'], `table inet berth { ${chain('pre', 'prerouting', -110)}; }`);
  node.run(NFT, ['-f', '-'], `table ip late { ${chain('d', 'prerouting', -100)}; }`);
  node.run('/usr/sbin/iptables-nft', ['-t', 'nat', '-A', 'PREROUTING', '-j', 'RETURN']);
  const found = known((await look(node)).earlierNat);
  t.deepEqual(found.map(({ family, table, name, priority }) => [family, table, name, priority]).sort(), [
    ['inet', 'same', 'c', -110],
    ['ip', 'early', 'a', -150],
  ]);
});

test('the settings and devices of the host are read as they are', async (t) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  using other = Namespace.create('other');
  node.link('eth0', client, 'eth0');
  node.link('eth1', other, 'eth0');
  node.address('eth0', '192.0.2.1/24');
  node.address('eth1', '203.0.113.1/24');
  other.address('eth0', '203.0.113.2/24');
  node.bridge('br0', '10.90.1.1/24');
  for (const [setting, value] of [
    ['ipv4/ip_forward', 1],
    ['ipv6/conf/all/forwarding', 0],
    ['ipv4/conf/all/rp_filter', 0],
    ['ipv4/conf/eth0/rp_filter', 1],
    ['ipv4/conf/eth1/rp_filter', 2],
    ['ipv4/conf/eth1/forwarding', 0],
    ['bridge/bridge-nf-call-iptables', 0],
  ] as const) {
    node.sysctl(`net/${setting}`, value);
  }
  let facts = await look(node);
  t.deepEqual(facts.forwarding, { 4: { kind: 'seen', value: true }, 6: { kind: 'seen', value: false } });
  t.deepEqual(known(facts.uplinks), [
    { device: 'eth0', address: '192.0.2.1', strict: true, forwards: true },
    { device: 'eth1', address: '203.0.113.1', strict: false, forwards: false },
  ]);
  t.is(known(facts.reversePathDrops), 0);
  t.deepEqual(known(facts.ebpfDevices), []);
  t.is(known(facts.serviceAddresses), undefined);
  t.is(known(facts.bridgeFilter), false);

  node.ip('route add default via 203.0.113.2');
  node.ip('rule add from 192.0.2.1 lookup 100');
  node.bridge('kube-ipvs0', '10.96.0.1/32', '192.0.2.1/32');
  node.bridge('cilium_host');
  facts = await look(node);
  t.deepEqual(
    known(facts.uplinks).map(({ device, replyDevice }) => [device, replyDevice]),
    [
      ['eth0', 'eth1'],
      ['eth1', 'eth1'],
    ],
  );
  node.ip('route add default via 192.0.2.2 table 100');
  facts = await look(node);
  t.is(known(facts.uplinks)[0]?.replyDevice, 'eth0', 'routing by source address counts');
  t.deepEqual(known(facts.serviceAddresses), ['192.0.2.1']);
  t.deepEqual(known(facts.ebpfDevices), ['cilium_host']);
});
