import test from 'ava';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Nft } from '../../daemon/datapath/nft.ts';
import { Table } from '../../daemon/datapath/table.ts';
import { elementsOf, nodeElements, sameDeviceElements } from '../../rules/elements.ts';
import { cidrs, mapping } from '../rules/mappings.ts';
import { PacketCounter } from './matrix/counter.ts';
import { probe } from './matrix/probe.ts';
import { Server } from './matrix/server.ts';
import { tracked } from './matrix/tracked.ts';
import { answered } from './matrix/waiting.ts';
import { Namespace } from './namespace.ts';

/*
 * client 192.0.2.2 ---- 192.0.2.1, .11 node (br0 10.244.0.1) ---- 10.244.0.5 pod
 *                                                           \---- 10.244.0.6 neighbour
 */
const node = Namespace.create('node');
const client = Namespace.create('client');
const pod = Namespace.create('pod');
const neighbour = Namespace.create('neighbour');
const PORT = 20_000;
const servers: Server[] = [];
let table: Table;
let transport: NetlinkTransport;
let nft: Nft;

test.before(async () => {
  node.link('eth0', client, 'eth0');
  node.address('eth0', '192.0.2.1/24', '192.0.2.11/24', '2001:db8::1/64', '2001:db8::11/64');
  client.address('eth0', '192.0.2.2/24', '192.0.2.3/24', '2001:db8::2/64');
  node.bridge('br0', '10.244.0.1/24', 'fd00:244::1/64');
  for (const [name, namespace, number] of [
    ['pod', pod, 5],
    ['neighbour', neighbour, 6],
  ] as const) {
    node.link(`to-${name}`, namespace, 'eth0');
    node.attach(`to-${name}`, 'br0');
    namespace.address('eth0', `10.244.0.${number}/24`, `fd00:244::${number}/64`);
    namespace.ip('route add default via 10.244.0.1');
    namespace.ip('-6 route add default via fd00:244::1');
    servers.push(new Server(namespace, 8080, name));
  }
  node.sysctl('net.ipv4.ip_forward', 1);
  node.sysctl('net.ipv6.conf.all.forwarding', 1);
  node.sysctl('net.ipv4.conf.br0.route_localnet', 1);
  for (const program of ['iptables', 'ip6tables']) node.sysctl(`net/bridge/bridge-nf-call-${program}`, 0);
  // From here on the thread lives on the node: what it starts (nft) and opens belongs there.
  node.stay();
  nft = await Nft.find();
  transport = new NetlinkTransport();
  table = new Table({ nft, transport });
});

test.after.always(async () => {
  for (const server of servers) server[Symbol.dispose]();
  await table[Symbol.asyncDispose]();
  await transport[Symbol.asyncDispose]();
  for (const namespace of [node, client, pod, neighbour]) namespace[Symbol.dispose]();
});

function served(fields: Partial<Mapping> = {}, pod = 5): Mapping {
  return mapping({ hostPort: PORT, podIPs: [`10.244.0.${pod}`, `fd00:244::${pod}`], ...fields });
}

/** Exactly these mappings, and what belongs to the node. */
async function install(...mappings: readonly Mapping[]): Promise<void> {
  const { elements } = await table.read();
  const addresses = ['192.0.2.1', '192.0.2.11', '10.244.0.1', '2001:db8::1', '2001:db8::11', 'fd00:244::1'];
  const environment = [
    ...nodeElements(
      addresses.map((address) => ({ family: address.includes(':') ? 6 : 4, address, device: 'eth0' }) as const),
    ),
    ...sameDeviceElements(['br0']),
  ];
  await table.apply({ remove: elements, add: [...environment, ...mappings.flatMap(elementsOf)] });
}

test.serial('V5, V25: a source that pretends to be the node does not get past an allow-list', async (t) => {
  // IPv4 drops such packets by itself (martian source); IPv6 does not.
  client.address('lo', '2001:db8::1/128');
  const pretend = () =>
    probe(client, { protocol: 'UDP', address: '2001:db8::11', port: PORT, source: '2001:db8::1', patience: 1 });
  const settled = () => probe(client, { protocol: 'UDP', address: '2001:db8::11', port: PORT, source: '2001:db8::2' });
  using arrived = new PacketCounter(pod, 'input', 'ip6 saddr 2001:db8::1 udp dport 8080');

  await install(served({ protocol: 'UDP' }));
  await pretend();
  t.is(await settled(), 'pod sees 2001:db8::2');
  t.is(arrived.packets, 1, 'without an allow-list it arrives');

  await install(served({ protocol: 'UDP', allowFrom: cidrs('2001:db8::2/128') }));
  node.run('conntrack', ['-F']);
  await pretend();
  t.is(await settled(), 'pod sees 2001:db8::2');
  t.is(arrived.packets, 1);
  client.ip('addr del 2001:db8::1/128 dev lo');
});

for (const protocol of ['TCP', 'UDP'] as const) {
  test.serial(`${protocol}: an allow-list at one address says nothing about the same number at another`, async (t) => {
    await install(
      served({ protocol, hostIP: '192.0.2.1', allowFrom: cidrs('192.0.2.3/32') }),
      served({ protocol, hostIP: '192.0.2.11' }, 6),
    );
    const ask = (source: string, address: string) => probe(client, { protocol, source, address, port: PORT });
    t.is(await ask('192.0.2.3', '192.0.2.1'), 'pod sees 192.0.2.3');
    t.is(await ask('192.0.2.2', '192.0.2.1'), 'ECONNREFUSED');
    t.is(await ask('192.0.2.2', '192.0.2.11'), 'neighbour sees 192.0.2.2');
    t.is(await ask('192.0.2.3', '192.0.2.11'), 'neighbour sees 192.0.2.3');
  });
}

test.serial('I4, I5: what another program sends to a mapped pod is masked by Berth nowhere', async (t) => {
  await install(served(), served({ protocol: 'UDP' }));
  const rule = (family: string, address: string, to: string) =>
    `${family} daddr ${address} meta l4proto { tcp, udp } th dport 30080 dnat ${family} to ${to}`;
  const rules = [
    rule('ip', '192.0.2.1', '10.244.0.5:8080'),
    rule('ip', '127.0.0.1', '10.244.0.5:8080'),
    rule('ip6', '2001:db8::1', '[fd00:244::5]:8080'),
  ].join('; ');
  node.run(
    '/usr/sbin/nft',
    ['-f', '-'],
    `table inet nodeport {
      chain pre { type nat hook prerouting priority dstnat; ${rules}; }
      chain out { type nat hook output priority -100; ${rules}; }
    }`,
  );
  t.teardown(() => node.run('/usr/sbin/nft', ['delete', 'table', 'inet', 'nodeport']));
  for (const [from, address, source] of [
    [neighbour, '192.0.2.1', '10.244.0.6'],
    [neighbour, '2001:db8::1', 'fd00:244::6'],
    [pod, '192.0.2.1', '10.244.0.5'],
    [node, '127.0.0.1', '127.0.0.1'],
  ] as const) {
    node.run('conntrack', ['-F']);
    // The answer goes astray, as it would without Berth.
    await probe(from, { protocol: 'UDP', address, port: 30_080, patience: 1 });
    const entry = await answered(
      () => tracked(node).find(({ original }) => original.port === 30_080),
      'the connection is tracked',
    );
    t.is(entry.reply.sourcePort, 8080);
    t.is(entry.reply.destination, source, `${source} to ${address}`);
  }
});

test.serial('what Berth itself sends is masked where it must be: neighbours, the pod itself, loopback', async (t) => {
  await install(served(), served({ protocol: 'UDP' }));
  node.run('bridge', ['link', 'set', 'dev', 'to-pod', 'hairpin', 'on']);
  for (const protocol of ['TCP', 'UDP'] as const) {
    for (const [from, address, seen] of [
      [neighbour, '192.0.2.1', '10.244.0.1'],
      [neighbour, '2001:db8::1', 'fd00:244::1'],
      [pod, '192.0.2.1', '10.244.0.1'],
      [pod, '2001:db8::1', 'fd00:244::1'],
      [node, '127.0.0.1', '10.244.0.1'],
      [client, '192.0.2.1', '192.0.2.2'],
      [client, '2001:db8::1', '2001:db8::2'],
    ] as const) {
      t.is(await probe(from, { protocol, address, port: PORT }), `pod sees ${seen}`);
    }
  }
});

test.serial(
  'I6, V5: while the skeleton is declared anew, no connection fails and no denied one gets through',
  async (t) => {
    await install(served({ allowFrom: cidrs('192.0.2.2/32') }));
    let running = true;
    const answers: Record<string, number> = {};
    const knock = async (source: string): Promise<void> => {
      while (running) {
        const answer = await probe(client, { protocol: 'TCP', source, address: '192.0.2.1', port: PORT });
        const line = `${source}: ${answer}`;
        answers[line] = (answers[line] ?? 0) + 1;
      }
    };
    const knocking = [knock('192.0.2.2'), knock('192.0.2.2'), knock('192.0.2.3')];
    for (let round = 0; round < 30; round++) {
      await using next = new Table({ nft, transport });
      await next.read();
    }
    running = false;
    await Promise.all(knocking);
    t.log(answers);
    t.deepEqual(Object.keys(answers).sort(), ['192.0.2.2: pod sees 192.0.2.2', '192.0.2.3: ECONNREFUSED']);
  },
);

test.serial('a live port is moved between pods under load, and every client is answered by one of them', async (t) => {
  await install(served());
  let running = true;
  const answers: Record<string, number> = {};
  const knock = async (): Promise<void> => {
    while (running) {
      const answer = await probe(client, { protocol: 'TCP', source: '192.0.2.2', address: '192.0.2.1', port: PORT });
      answers[answer] = (answers[answer] ?? 0) + 1;
    }
  };
  const knocking = [knock(), knock()];
  const [here, there] = [elementsOf(served()), elementsOf(served({}, 6))];
  let moves = 0;
  for (; moves < 2000 && Object.values(answers).reduce((sum, count) => sum + count, 0) < 1000; moves++) {
    await table.apply(moves % 2 === 0 ? { remove: here, add: there } : { remove: there, add: here });
    await new Promise((resolve) => setImmediate(resolve));
  }
  running = false;
  await Promise.all(knocking);
  t.log(moves, answers);
  t.deepEqual(Object.keys(answers).sort(), ['neighbour sees 192.0.2.2', 'pod sees 192.0.2.2']);
});
