import { readdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { parseCidr } from '../../daemon/core/address.ts';
import type { Cidr } from '../../daemon/core/vocabulary.ts';
import { deviceByName } from '../../daemon/datapath/devices.ts';
import { NetworkDouble } from '../../daemon/datapath/network.double.ts';
import { NodeNetwork } from '../../daemon/datapath/network.ts';
import { portOfMac } from '../../daemon/datapath/routes.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../daemon/native/netlink.ts';
import type { Network } from '../../daemon/reconcile/ports.ts';
import { Namespace, until } from './namespace.ts';
import type { Report } from './network.scenario.ts';

const SCENARIO = fileURLToPath(new URL('network.scenario.ts', import.meta.url));

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed.kind !== 'ok') throw new Error(`${text} is no range`);
  return parsed.cidr;
}

const texts = (network: Network) => network.addresses().map(({ address, device }) => `${address} ${device}`);

/** A node with an uplink `eth0` (default routes) and a client behind it. */
function uplink(node: Namespace, client: Namespace): void {
  node.link('eth0', client, 'eth0');
  node.address('eth0', '192.0.2.1/24', '2001:db8::1/64');
  client.address('eth0', '192.0.2.2/24', '2001:db8::2/64');
  node.ip('route add default via 192.0.2.2');
  node.ip('route add default via 2001:db8::2');
}

/** A pod behind a port of a bridge. Returns nothing: the port is called as the pod is. */
function plug(node: Namespace, bridge: string, port: string, pod: Namespace, ...addresses: readonly string[]): void {
  node.link(port, pod, 'eth0');
  node.attach(port, bridge);
  pod.address('eth0', ...addresses);
}

const hairpins = (node: Namespace) =>
  (JSON.parse(node.run('bridge', ['-d', '-j', 'link'])) as { ifname: string; hairpin: boolean }[])
    .filter(({ hairpin }) => hairpin)
    .map(({ ifname }) => ifname);

/** Counts the calls of a watch, until the test is over. */
function watched(node: Namespace, network: Network, signal: AbortSignal): { calls: number } {
  const count = { calls: 0 };
  node.enter(() => network.watch(() => count.calls++, signal));
  return count;
}

test('the node’s addresses are those of its devices, without loopback, link-local and virtual ones', (t) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  uplink(node, client);
  node.address('eth0', '192.0.2.7/24', '2001:db8::7/128', '169.254.20.1/32');
  node.address('lo', '10.99.0.1/32');
  node.bridge('kube-ipvs0', '10.96.0.1/32', '10.96.0.10/32', 'fd00:96::1/128');
  node.bridge('nodelocaldns', '10.96.0.11/32');
  node.ip('addr add 10.7.0.1 peer 10.7.0.2/32 dev eth0');
  // One address on two devices: served once.
  node.bridge('br1', '192.0.2.1/32');

  using network = node.enter(() => new NodeNetwork());
  t.deepEqual(texts(network).sort(), [
    '10.7.0.1 eth0',
    '10.99.0.1 lo',
    '192.0.2.1 eth0',
    '192.0.2.7 eth0',
    '2001:db8::1 eth0',
    '2001:db8::7 eth0',
  ]);
  using chosen = node.enter(
    () => new NodeNetwork({ hostAddresses: [cidr('192.0.2.0/29'), cidr('2001:db8::7/128'), cidr('10.96.0.0/16')] }),
  );
  t.deepEqual(texts(chosen).sort(), ['192.0.2.1 eth0', '192.0.2.7 eth0', '2001:db8::7 eth0']);
  using other = node.enter(() => new NodeNetwork({ excludedDevices: ['eth0'] }));
  t.true(texts(other).includes('10.96.0.1 kube-ipvs0'));
  t.false(texts(other).some((text) => text.endsWith('eth0')));
});

test('an address counts once its duplicate detection is over, and the watch tells when', async (t) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  uplink(node, client);
  using network = node.enter(() => new NodeNetwork());
  const end = new AbortController();
  const count = watched(node, network, end.signal);
  node.ip('addr add 2001:db8::9/64 dev eth0');
  t.false(texts(network).includes('2001:db8::9 eth0'));
  await until(() => count.calls > 0 && texts(network).includes('2001:db8::9 eth0'), 'the address is usable');
  end.abort();
});

test.serial(
  'the watch tells of addresses, links and routes, and of a route_localnet that another program has reset',
  async (t) => {
    using node = Namespace.create('node');
    using client = Namespace.create('client');
    uplink(node, client);
    using network = node.enter(() => new NodeNetwork());
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const before = descriptors();
    const end = new AbortController();
    const count = watched(node, network, end.signal);
    t.is(descriptors(), before + 1);

    const tells = async (what: string, change: () => void) => {
      const { calls } = count;
      change();
      await until(() => count.calls > calls, what);
    };
    await tells('an address is added', () => node.address('eth0', '192.0.2.8/24'));
    await tells('an address is removed', () => node.ip('addr del 192.0.2.8/24 dev eth0'));
    await tells('an IPv6 address is added', () => node.address('eth0', '2001:db8::8/64'));
    await tells('a link is added', () => node.bridge('cni0', '10.244.0.1/24'));
    await tells('a route is added', () => node.ip('route add 10.244.7.7/32 dev cni0'));
    await tells('a route is removed', () => node.ip('route del 10.244.7.7/32 dev cni0'));
    await tells('this program opens a device', () => network.openLoopback('cni0'));
    await tells('another program closes it', () => node.sysctl('net.ipv4.conf.cni0.route_localnet', 0));
    t.true(network.openLoopback('cni0'));
    await tells('more happens than the socket holds', () => {
      const batch = Array.from({ length: 500 }, (_, index) => `link set cni0 mtu ${1400 + (index % 2)}`);
      node.run('ip', ['-batch', '-'], batch.join('\n'));
    });
    await tells('the device is removed', () => node.ip('link del cni0'));

    end.abort();
    t.is(descriptors(), before);
    node.enter(() => network.watch(() => t.fail(), AbortSignal.abort()));
    t.is(descriptors(), before);
  },
);

test.serial('I3: of many opened devices each that another program resets is told of', async (t) => {
  const pairs = 125;
  using node = Namespace.create('node');
  const batch = Array.from({ length: pairs }, (_, index) => `link add a${index} type veth peer name b${index}`);
  node.run('ip', ['-batch', '-'], batch.join('\n'));
  const devices = batch.flatMap((_, index) => [`a${index}`, `b${index}`]);
  using network = node.enter(() => new NodeNetwork());
  for (const device of devices) network.openLoopback(device);
  const end = new AbortController();
  t.teardown(() => end.abort());
  const count = watched(node, network, end.signal);
  for (const device of [devices.at(-1), devices.at(0), devices.at(100)] as string[]) {
    // The kernel tells of what opened them.
    await setTimeout(500);
    const { calls } = count;
    node.sysctl(`net.ipv4.conf.${device}.route_localnet`, 0);
    // The more devices there are, the rarer the looks: every 30 s at the least.
    await until(() => count.calls > calls, `the reset of ${device} is told of`, 60);
    t.true(network.openLoopback(device));
  }
});

test('a pod’s route names the device that leads to it, and whether that is a bridge', (t) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  using pod = Namespace.create('pod');
  uplink(node, client);
  node.bridge('cni0', '10.244.0.1/24', 'fd00:244::1/64');
  node.link('cali1', pod, 'eth0');
  node.ip('route add 10.245.0.2/32 dev cali1');
  node.ip('route add fd00:245::2/128 dev cali1');
  // As Cilium does: by way of an address of the node's own.
  node.address('cali1', '10.246.0.1/32');
  node.ip('route add 10.246.0.1/32 dev cali1 scope link');
  node.ip('route add 10.246.0.0/24 via 10.246.0.1 dev cali1');
  for (const kind of ['unreachable', 'blackhole', 'prohibit']) {
    const number = kind.length;
    node.ip(`route add ${kind} 10.250.${number}.0/24`);
    node.ip(`route add ${kind} fd00:250:${number}::/64`);
  }
  node.ip('link add link eth0 name uplink0 type macvlan');
  node.ip('link set uplink0 up');
  node.ip('route add 10.247.0.0/24 dev uplink0');

  using network = node.enter(() => new NodeNetwork());
  const to = (podIP: string) => {
    const route = network.route(podIP);
    return route && [route.podIP, route.device, route.bridge];
  };
  t.deepEqual(to('10.244.0.2'), ['10.244.0.2', 'cni0', true]);
  t.deepEqual(to('fd00:244::2'), ['fd00:244::2', 'cni0', true]);
  t.deepEqual(to('10.245.0.2'), ['10.245.0.2', 'cali1', false]);
  t.deepEqual(to('fd00:245::2'), ['fd00:245::2', 'cali1', false]);
  t.deepEqual(to('10.246.0.2'), ['10.246.0.2', 'cali1', false]);
  for (const [podIP, why] of [
    ['198.51.100.1', 'over another router'],
    ['2001:db8:1::1', 'over another router'],
    ['192.0.2.1', 'the node itself'],
    ['127.0.0.1', 'the node itself'],
    ['2001:db8::1', 'the node itself'],
    ['10.250.11.1', 'unreachable'],
    ['10.250.9.1', 'blackhole'],
    ['10.250.8.1', 'prohibited'],
    ['fd00:250:11::1', 'unreachable'],
    ['fd00:250:9::1', 'blackhole'],
    ['fd00:250:8::1', 'prohibited'],
    ['10.247.0.1', 'on the uplink'],
    ['224.0.0.1', 'multicast'],
    ['no address', 'no address'],
  ] as const) {
    t.is(network.route(podIP), undefined, `${podIP}: ${why}`);
  }
  node.ip('route del default');
  node.ip('-6 route del default');
  t.is(network.route('198.51.100.1'), undefined);
  t.is(network.route('2001:db8:1::1'), undefined);
});

test('V4: loopback is opened on the one device, and never on the uplink, on all or by default', (t) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  uplink(node, client);
  node.bridge('cni0', '10.244.0.1/24');
  node.bridge('eth0.100');
  using network = node.enter(() => new NodeNetwork());
  const open = (device: string) => node.sysctl(`net/ipv4/conf/${device}/route_localnet`);

  t.true(network.openLoopback('cni0'));
  t.false(network.openLoopback('cni0'));
  t.true(network.openLoopback('eth0.100'));
  t.deepEqual(['cni0', 'eth0.100'].map(open), ['1', '1']);
  t.deepEqual(['all', 'default', 'lo', 'eth0'].map(open), ['0', '0', '0', '0']);
  t.throws(() => network.openLoopback('gone0'), { code: 'NETLINK_FAILED', message: /ENODEV/ });
});

test('hairpin is opened on the pod’s own bridge port and on no other, for IPv4 and IPv6', async (t) => {
  using node = Namespace.create('node');
  using one = Namespace.create('one');
  using two = Namespace.create('two');
  using three = Namespace.create('three');
  node.bridge('cni0', '10.244.0.1/24', 'fd00:244::1/64');
  plug(node, 'cni0', 'veth1', one, '10.244.0.2/24', 'fd00:244::2/64');
  plug(node, 'cni0', 'veth2', two, '10.244.0.3/24', 'fd00:244::3/64');
  plug(node, 'cni0', 'veth3', three, '10.244.0.4/24', 'fd00:244::4/64');
  using network = node.enter(() => new NodeNetwork());

  t.false(network.openHairpin('10.244.0.3', 'cni0'), 'nobody has heard of the pod');
  await until(() => network.openHairpin('10.244.0.3', 'cni0'), 'the bridge knows the pod');
  t.deepEqual(hairpins(node), ['veth2']);
  await until(() => network.openHairpin('fd00:244::4', 'cni0'), 'the bridge knows the pod');
  t.deepEqual(hairpins(node), ['veth2', 'veth3']);
  t.true(network.openHairpin('10.244.0.3', 'cni0'));

  // The neighbour is remembered, the bridge has forgotten it.
  node.ip('link set veth2 type bridge_slave fdb_flush');
  node.ip('link set veth2 type bridge_slave hairpin off');
  t.false(network.openHairpin('10.244.0.3', 'cni0'));
  await until(() => network.openHairpin('10.244.0.3', 'cni0'), 'the bridge knows the pod again');
  t.deepEqual(hairpins(node), ['veth2', 'veth3']);

  t.false(network.openHairpin('10.244.0.99', 'cni0'), 'there is no such pod');
  t.false(network.openHairpin('10.244.0.3', 'gone0'), 'there is no such bridge');
});

test('hairpin finds the new port of a pod that has moved', async (t) => {
  using node = Namespace.create('node');
  using pod = Namespace.create('pod');
  using next = Namespace.create('next');
  node.bridge('cni0', '10.244.0.1/24');
  plug(node, 'cni0', 'veth1', pod, '10.244.0.2/24');
  using network = node.enter(() => new NodeNetwork());
  await until(() => network.openHairpin('10.244.0.2', 'cni0'), 'the bridge knows the pod');
  t.deepEqual(hairpins(node), ['veth1']);

  // A bridge with VLANs is searched, not asked; both ways find the same.
  using socket = node.enter(() => NetlinkSocket.open(NETLINK_ROUTE));
  const bridge = deviceByName(socket, 'cni0');
  const mac = Buffer.from(pod.run('cat', ['/sys/class/net/eth0/address']).trim().replaceAll(':', ''), 'hex');
  const port = deviceByName(socket, 'veth1').index;
  t.is(portOfMac(socket, mac, bridge), port);
  t.is(portOfMac(socket, mac, { ...bridge, vlans: true }), port);
  t.is(portOfMac(socket, Buffer.alloc(6, 2), { ...bridge, vlans: true }), undefined);

  node.ip('link del veth1');
  plug(node, 'cni0', 'veth2', next, '10.244.0.2/24');
  // A real pod announces itself when it gets its address; the kernel asks again by itself only after seconds.
  node.ip('neigh flush dev cni0');
  await until(() => network.openHairpin('10.244.0.2', 'cni0'), 'the bridge knows the new pod');
  t.deepEqual(hairpins(node), ['veth2']);
});

test('NET_ADMIN alone is enough, with /proc/sys read-only', (t) => {
  using node = Namespace.create('node');
  using pod = Namespace.create('pod');
  node.bridge('cni0', '10.244.0.1/24');
  plug(node, 'cni0', 'veth1', pod, '10.244.0.2/24');
  const program = `mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"`;
  const rights = ['--bounding-set=-all,+net_admin', '--inh-caps=-all,+net_admin'];
  const scenario = [process.execPath, SCENARIO, '10.244.0.2', 'cni0'];
  const args = ['-m', 'sh', '-c', program, 'sh', 'setpriv', ...rights, ...scenario];
  const report = JSON.parse(node.run('unshare', args)) as Report;
  t.regex(report.readOnly, /EROFS/);
  t.is(report.capabilities, '0000000000001000');
  t.deepEqual(report.addresses, [{ family: 4, address: '10.244.0.1', device: 'cni0' }]);
  t.deepEqual(report.route, { podIP: '10.244.0.2', device: 'cni0', bridge: true });
  t.is(report.loopback, true);
  t.is(report.setting, '1');
  t.deepEqual(hairpins(node), ['veth1']);
});

test('the double answers as the kernel does', (t) => {
  const double = new NetworkDouble();
  const end = new AbortController();
  let calls = 0;
  double.watch(() => calls++, end.signal);
  double.setAddresses([{ family: 4, address: '192.0.2.1', device: 'eth0' }]);
  double.setRoute({ podIP: '10.244.0.2', device: 'cni0', bridge: true });
  t.is(calls, 2);
  t.deepEqual(texts(double), ['192.0.2.1 eth0']);
  t.is(double.route('10.244.0.3'), undefined);
  t.true(double.openLoopback('cni0'));
  t.false(double.openLoopback('cni0'));
  double.closeLoopback('cni0');
  t.is(calls, 3);
  t.true(double.openLoopback('cni0'));
  t.throws(() => double.openLoopback('gone0'), { code: 'NETLINK_FAILED', message: /ENODEV/ });
  double.unlearnt.add('10.244.0.2');
  t.false(double.openHairpin('10.244.0.2', 'cni0'));
  double.unlearnt.clear();
  t.true(double.openHairpin('10.244.0.2', 'cni0'));
  t.deepEqual([...double.hairpins], ['10.244.0.2']);
  double.fault = (operation) => {
    throw new Error(operation);
  };
  t.throws(() => double.route('10.244.0.2'), { message: 'route' });
  end.abort();
  double.changed();
  t.is(calls, 3);
  t.is(double.watchers, 0);
});
