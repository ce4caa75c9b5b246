/** I3: whatever somebody else does to the table, to the node's devices and addresses, the agent puts right, and only that. */
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type AgentProcess, CLIENT, NODE, Site, type StartOptions } from './agent.ts';
import { flow, track, tracked } from './connections.ts';
import { type PodPlan, pod } from './manifest.ts';
import { SECOND } from './matrix/topology.ts';
import type { Namespace } from './namespace.ts';
import { NFT, type TableElement } from './standing.ts';

const POOLS = ['default=20000-20999', 'blocks=21000-21009'];
const BOTH = [
  { name: 'web', containerPort: 8080 },
  { name: 'game', containerPort: 8080, protocol: 'UDP' },
] as const;

/** A node with three pods: for everybody, for the client alone, and with a block. */
class Healthy implements AsyncDisposable {
  readonly site = new Site({ pools: POOLS });
  readonly open: PodPlan;
  readonly listed: PodPlan;
  readonly block: PodPlan;
  /** The one number of the open pod, and of the listed one. */
  port = 0;
  listedPort = 0;

  private constructor() {
    const { site } = this;
    const ips = (name: string, ...ports: readonly number[]) => Object.values(site.place(name, ...ports).address);
    this.open = pod('open', { ports: BOTH, podIPs: ips('open', 8080) });
    this.listed = pod('listed', {
      annotations: { 'berth.dev/ports': '', 'berth.dev/allow-from': CLIENT[4], 'berth.dev/host-ip': NODE[4] },
      ports: BOTH,
      podIPs: ips('listed', 8080),
    });
    this.block = pod('block', {
      annotations: { 'berth.dev/ports': 'rtp=21000-21002/udp', 'berth.dev/pool': 'blocks' },
      podIPs: ips('block', 21_001),
    });
  }

  static async open(): Promise<Healthy> {
    const healthy = new Healthy();
    const { site, open, listed, block } = healthy;
    await site.run();
    site.declare(open, listed, block);
    healthy.port = (await site.mapped(open)).get('web/TCP') ?? 0;
    healthy.listedPort = (await site.mapped(listed)).get('web/TCP') ?? 0;
    await site.mapped(block);
    await healthy.checkTraffic();
    return healthy;
  }

  async checkTraffic(): Promise<void> {
    const { site } = this;
    await site.answers(this.port, 'open sees 192.0.2.2');
    await site.answers(this.port, 'open sees 2001:db8:1::2', { protocol: 'UDP', address: NODE[6] });
    await site.answers(this.listedPort, 'listed sees 192.0.2.2');
    await site.answers(this.listedPort, 'ECONNREFUSED', { source: '192.0.2.3' });
    await site.answers(21_001, 'block sees 192.0.2.2', { protocol: 'UDP' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.site[Symbol.asyncDispose]();
  }
}

function nft(node: Namespace, commands: string): void {
  node.run(NFT, ['-f', '-'], commands);
}

/** The table without its elements, and its elements, in an order of their own. */
function table(site: Site): { readonly rules: string; readonly elements: readonly string[] } {
  const list = site.node.run(NFT, ['--terse', 'list', 'ruleset', 'inet']);
  // The comment of a table is only set when the table is made.
  const rules = /^table inet berth \{\n(?:\tcomment .*?\n)?(.*?)^\}$/ms.exec(list)?.[1] ?? '';
  return { rules, elements: site.elements().map(textOf).sort() };
}

function textOf({ set, key, value, comment }: TableElement): string {
  return `${set} ${key.join(' . ')} : ${value.join(' . ')} ${comment}`;
}

/** The number by which nft knows a rule of the table. */
function handleOf(node: Namespace, chain: string, rule: string): string {
  const line = node
    .run(NFT, ['-a', 'list', 'chain', 'inet', 'berth', chain])
    .split('\n')
    .find((text) => text.includes(rule));
  return /# handle (\d+)$/.exec(line ?? '')?.[1] ?? '';
}

/** Does damage and waits until the table is as it was, the heal is counted, and every pod is served. Resolves to the ms until then. */
async function heals(t: ExecutionContext, healthy: Healthy, what: string, damage: () => void): Promise<number> {
  const { site } = healthy;
  const before = table(site);
  const heals = await site.metric('berth_heals_total');
  damage();
  const began = performance.now();
  await site.until(() => JSON.stringify(table(site)) === JSON.stringify(before), `healed: ${what}`);
  const took = performance.now() - began;
  await site.until(async () => (await site.metric('berth_heals_total')) > heals, `counted: ${what}`);
  await healthy.checkTraffic();
  t.is((await site.list()).length, 5, what);
  return took;
}

/** Every kind of change that somebody with nft can make, and that leaves other tables alone. */
const DAMAGES: Readonly<Record<string, (healthy: Healthy) => string>> = {
  'the table is deleted': () => 'delete table inet berth',
  'the table is deleted and an empty one stands in its place': () => 'delete table inet berth\nadd table inet berth',
  'the table sleeps': () => 'add table inet berth { flags dormant; }',
  'one element is deleted': ({ port }) => `delete element inet berth any4 { tcp . ${port} }`,
  'one element leads elsewhere': ({ port }) =>
    `delete element inet berth any4 { tcp . ${port} }\nadd element inet berth any4 { tcp . ${port} : 10.244.0.99 . 80 }`,
  'one element has the comment of another pod': ({ port, open, block }) =>
    `delete element inet berth any4 { tcp . ${port} }\nadd element inet berth any4 { tcp . ${port} comment "${block.uid}/rtp" : ${open.podIPs?.[0]} . 8080 }`,
  'a foreign element is added': () => 'add element inet berth any4 { tcp . 20998 : 10.244.0.99 . 80 }',
  'a foreign element is added that claims to be of a pod': ({ open }) =>
    `add element inet berth any4 { tcp . 20998 comment "${open.uid}/web" : 10.244.0.99 . 80 }`,
  'a foreign element of another port of the node is added': () =>
    'add element inet berth any4 { tcp . 22 : 10.244.0.99 . 22 }',
  'a block is replaced by a larger one': () =>
    'delete element inet berth anyblock4 { udp . 21000-21002 }\nadd element inet berth anyblock4 { udp . 20990-21009 : 10.244.0.99 }',
  'the allow-list is flushed': () => 'flush set inet berth allowhost4\nflush set inet berth limitedhost4',
  'somebody is added to the allow-list': ({ listedPort }) =>
    `add element inet berth allowhost4 { ${NODE[4]} . tcp . ${listedPort} . 192.0.2.3 }`,
  'an address of another host is added to those of the node': () => 'add element inet berth nodeaddr4 { 198.51.100.2 }',
  'the addresses of the node are flushed': () => 'flush set inet berth nodeaddr4',
  'a chain is flushed': () => 'flush chain inet berth hostports4',
  'a rule is deleted': ({ site }) =>
    `delete rule inet berth gate4 handle ${handleOf(site.node, 'gate4', '@limitedhost4')}`,
  'a rule is put in front': () => 'insert rule inet berth pre tcp dport 20000-21009 drop',
  'a rule is replaced': ({ site }) =>
    `replace rule inet berth gate4 handle ${handleOf(site.node, 'gate4', 'goto hostports4')} drop`,
  'a foreign chain stands in the table': () =>
    'add chain inet berth evil { type filter hook prerouting priority -400; policy drop; }',
  'the policy of a chain is to drop': () =>
    'add chain inet berth in { type filter hook input priority 0; policy drop; }',
  'a foreign set stands in the table': () => 'add set inet berth evil { type ipv4_addr; }',
};

test.serial('I3, I4: every change of the table is healed and counted, and no other table is touched', async (t) => {
  await using healthy = await Healthy.open();
  const { site } = healthy;
  others(site.node);
  const before = foreign(site.node);
  const times: number[] = [];
  for (const [what, commands] of Object.entries(DAMAGES)) {
    times.push(await heals(t, healthy, what, () => nft(site.node, commands(healthy))));
    t.deepEqual(foreign(site.node), before, what);
  }
  t.log(`healed within ${Math.round(Math.max(...times))} ms, as seen by looking with nft`);
});

test.serial(
  'I3: nft flush ruleset is healed, with the allow-list in the same moment, and nothing but the own table is made',
  async (t) => {
    await using healthy = await Healthy.open();
    others(healthy.site.node);
    await heals(t, healthy, 'flush ruleset', () => nft(healthy.site.node, 'flush ruleset'));
    t.is(healthy.site.node.run(NFT, ['list', 'tables']).trim(), 'table inet berth');
  },
);

/** Tables as portmap, kube-proxy and a firewall make them. */
function others(node: Namespace): void {
  for (const [program, address] of [
    ['iptables-nft', '10.244.0.99'],
    ['ip6tables-nft', '[fd00:244::99]'],
  ] as const) {
    const iptables = (words: string) => node.run(program, ['-w', '-t', 'nat', ...words.split(' ')]);
    for (const chain of ['CNI-HOSTPORT-DNAT', 'CNI-HOSTPORT-SETMARK', 'CNI-DN-0123456789abcdef01234', 'KUBE-SERVICES'])
      iptables(`-N ${chain}`);
    iptables('-A CNI-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000');
    iptables('-A CNI-DN-0123456789abcdef01234 -p tcp --dport 19000 -j CNI-HOSTPORT-SETMARK');
    iptables(`-A CNI-DN-0123456789abcdef01234 -p tcp --dport 19000 -j DNAT --to-destination ${address}:80`);
    iptables('-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 19000 -j CNI-DN-0123456789abcdef01234');
    for (const chain of ['PREROUTING', 'OUTPUT']) {
      iptables(`-A ${chain} -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT`);
      iptables(`-A ${chain} -j KUBE-SERVICES`);
    }
    iptables('-A POSTROUTING -m mark --mark 0x2000/0x2000 -j MASQUERADE');
  }
  nft(
    node,
    `table ip kube-proxy {
      map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
      chain service {
        meta l4proto tcp dnat to 10.244.0.99:80
      }
      chain nat-prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr . meta l4proto . th dport vmap @service-ips
      }
    }
    add element ip kube-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service }
    table inet firewall {
      chain input {
        type filter hook input priority 0; policy accept;
        tcp dport 22 accept
      }
    }`,
  );
}

/** Every other table to the byte, with the handles, which tell what was made anew. */
function foreign(node: Namespace): Readonly<Record<string, string>> {
  const tables = node.run(NFT, ['list', 'tables']).trim().split('\n');
  const texts = tables
    .filter((name) => name !== 'table inet berth')
    .map((name) => [name, node.run(NFT, ['--handle', '--stateless', 'list', ...name.split(' ')])]);
  const saved = ['iptables-nft-save', 'ip6tables-nft-save'].map((program) => [
    program,
    // Times, and counters of the built-in chains, which count the packets of this test.
    node.run(program).replaceAll(/^#.*$|\[\d+:\d+\]$/gm, ''),
  ]);
  return Object.fromEntries([...texts, ...saved]);
}

test.serial('I3: route_localnet that another program resets is set again', async (t) => {
  await using healthy = await Healthy.open();
  const { site, port } = healthy;
  const setting = 'net.ipv4.conf.br0.route_localnet';
  await site.until(() => site.node.sysctl(setting) === '1', 'it is set');
  for (let round = 0; round < 2; round++) {
    site.node.sysctl(setting, 0);
    await site.until(() => site.node.sysctl(setting) === '1', 'it is set again');
  }
  await site.answers(port, 'open sees 10.244.0.1', { from: site.node, address: '127.0.0.1' });
  t.is(site.node.sysctl('net.ipv4.conf.all.route_localnet'), '0');
});

test.serial('I3: the bridge gets another name: what hangs on the name follows', async (t) => {
  await using healthy = await Healthy.open();
  const { site, port } = healthy;
  site.node.ip('link set br0 name pods0');
  await site.until(
    () => site.elements().some(({ set, key }) => set === 'samedev' && key.includes('pods0')),
    'the set follows',
  );
  await site.until(() => site.node.sysctl('net.ipv4.conf.pods0.route_localnet') === '1', 'the setting follows');
  t.deepEqual(
    site
      .elements()
      .filter(({ set }) => set === 'samedev')
      .map(({ key }) => key),
    [['pods0', 'pods0']],
  );
  await healthy.checkTraffic();
  await site.answers(port, 'open sees 10.244.0.1', { from: site.topology.place('open').namespace });
});

test.serial("I8: a pod's device is removed and comes back: others are served meanwhile, and it is again", async (t) => {
  await using healthy = await Healthy.open();
  const { site, port, listedPort } = healthy;
  const place = site.topology.place('open');
  const device =
    site.node
      .ip('-o link show master br0')
      .split('\n')[0]
      ?.match(/: (\w+)@/)?.[1] ?? '';
  site.node.ip(`link del ${device}`);
  await site.answers(listedPort, 'listed sees 192.0.2.2');
  const other = pod('other', { ports: BOTH, podIPs: [site.place('other', 8080).address[4]] });
  site.declare(other);
  const otherPort = (await site.mapped(other)).get('web/TCP') ?? 0;
  await site.answers(otherPort, 'other sees 192.0.2.2');
  t.is(site.told(healthy.open)?.conditions[0]?.status, 'True');

  site.node.link(device, place.namespace, 'eth0');
  site.node.attach(device, 'br0');
  place.namespace.address('eth0', `${place.address[4]}/24`, `${place.address[6]}/64`);
  place.namespace.ip('route add default via 10.244.0.1');
  // A new pod makes itself known with its new MAC address.
  site.node.ip('neigh flush dev br0');
  await site.answers(port, 'open sees 192.0.2.2');
  // The new port of the bridge sends back what comes from it, too.
  await site.answers(port, 'open sees 10.244.0.1', { from: place.namespace });
});

test.serial('I3: addresses of the node come and go: mappings are served at each, and pods are told', async (t) => {
  await using healthy = await Healthy.open();
  const { site, port, open } = healthy;
  const added = { 4: '192.0.2.9', 6: '2001:db8:1::9' } as const;
  const served = (address: string) =>
    site.elements().some(({ set, key }) => set.startsWith('nodeaddr') && key.includes(address));
  const toldOf = (address: string) =>
    site.told(open)?.annotations['berth.dev/mappings']?.includes(`"${address}"`) ?? false;

  site.node.address('eth0', `${added[4]}/24`, `${added[6]}/64`);
  await site.answers(port, 'open sees 192.0.2.2', { address: added[4] });
  await site.answers(port, 'open sees 2001:db8:1::2', { address: added[6] });
  await site.until(() => toldOf(added[4]) && toldOf(added[6]), 'the pod is told of them');

  site.node.ip(`addr del ${added[4]}/24 dev eth0`);
  site.node.ip(`addr del ${added[6]}/64 dev eth0`);
  await site.until(() => !served(added[4]) && !served(added[6]), 'they are served no more');
  await site.until(() => !toldOf(added[4]) && !toldOf(added[6]), 'the pod is told of that');

  site.node.ip('link set eth0 down');
  site.node.ip('link set eth0 up');
  site.node.address('eth0', `${NODE[6]}/64`, `${SECOND[6]}/64`);
  await healthy.checkTraffic();
  t.is((await site.list()).length, 5);
});

/** The agent with an nft that takes its time: `seconds` before each run. */
function slowNft(site: Site, seconds: number): StartOptions {
  const real = join(site.directory, 'nft-real');
  const slow = join(site.directory, 'nft-slow');
  copyFileSync(NFT, real);
  writeFileSync(slow, `#!/bin/sh\ncase "$1" in --version) ;; *) /bin/sleep ${seconds} ;; esac\nexec ${real} "$@"\n`);
  for (const path of [real, slow]) chmodSync(path, 0o755);
  return { under: ['unshare', '--mount', 'sh', '-c', `mount --bind ${slow} ${NFT} && exec "$@"`, 'sh'] };
}

test.serial('a slow nft delays and breaks nothing: start, a new pod, a flush', async (t) => {
  await using site = new Site();
  const agent = await site.run(slowNft(site, 1));
  const one = pod('one', { ports: BOTH, podIPs: [site.place('one', 8080).address[4]] });
  site.declare(one);
  const port = (await site.mapped(one)).get('web/TCP') ?? 0;
  await site.answers(port, 'one sees 192.0.2.2');
  nft(site.node, 'flush ruleset');
  await site.answers(port, 'one sees 192.0.2.2');
  await site.agreed(agent, (all) => all.length === 2);
  t.deepEqual(agent.logged('failure'), []);
});

test.serial('I1, I3: an nft that a killed agent left behind commits later: the next agent puts it right', async (t) => {
  await using site = new Site();
  const slow: StartOptions = { ...slowNft(site, 1), flags: ['--nft-transport', 'nft'] };
  const one = pod('one', { ports: BOTH, podIPs: [site.place('one', 8080).address[4]] });
  const two = pod('two', { ports: BOTH, podIPs: [site.place('two', 8080).address[4]] });
  const first = await site.run(slow);
  site.declare(one);
  const port = (await site.mapped(one)).get('web/TCP') ?? 0;

  // The number of pod two is promised, its rule is on the way, and the rule of pod one is about to go.
  site.withdraw(one);
  site.declare(two);
  await site.until(
    () => site.state().grants.some(({ pod: name }) => name === 'two') && orphans(site) > 0,
    'nft is at work',
  );
  await first.stop();
  t.true(orphans(site) > 0);
  site.withdraw(two);
  const agent: AgentProcess = await site.run();
  await site.until(() => orphans(site) === 0, 'the other nft has done its work');
  await site.agreed(agent, (all) => all.length === 0);
  t.deepEqual(
    site.elements().filter(({ comment }) => comment !== ''),
    [],
  );
  t.is(await site.ask(port), 'ECONNREFUSED');
});

/** How many runs of the slow nft are under way in the node. */
function orphans(site: Site): number {
  return site.node
    .run('ip', ['netns', 'pids', site.node.name])
    .trim()
    .split('\n')
    .filter((pid) => {
      try {
        return site.node.run('cat', [`/proc/${pid}/cmdline`]).includes('/nft');
      } catch {
        return false;
      }
    }).length;
}

test.serial(
  'a full table of connections: the kernel refuses new ones, the agent goes on, and all is well once there is room',
  async (t) => {
    await using healthy = await Healthy.open();
    const { site, port } = healthy;
    const max = Number(site.node.sysctl('net.netfilter.nf_conntrack_max'));
    const flows = Array.from({ length: max - tracked(site.node) + 10 }, (_, index) =>
      flow({
        source: `198.${51 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
        replySource: '203.0.113.1',
        destination: '203.0.113.1',
        port: 53,
        replyPort: 53,
      }),
    );
    await track(site.node, flows).catch((error: Error) => t.log(error.message));
    t.true(tracked(site.node) >= max - 10);
    t.is(await site.ask(port, { patience: 300 }), 'silence');

    const other = pod('other', { ports: BOTH, podIPs: [site.place('other', 8080).address[4]] });
    site.declare(other);
    const otherPort = (await site.mapped(other)).get('web/TCP') ?? 0;
    site.withdraw(healthy.listed);
    await site.until(() => site.told(healthy.listed) === undefined, 'a pod ends meanwhile');
    nft(site.node, 'flush ruleset');
    await site.until(
      () => site.elements().some(({ comment }) => comment.startsWith(other.uid)),
      'a flush is healed meanwhile',
    );
    t.true(tracked(site.node) >= max - 10);

    site.node.run('conntrack', ['-F']);
    await site.answers(otherPort, 'other sees 192.0.2.2');
    await site.answers(port, 'open sees 192.0.2.2');
  },
);
