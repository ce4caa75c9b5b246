import { createServer } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import test from 'ava';
import type { Flow } from '../../daemon/core/flow.ts';
import { CT_DELETE, CT_GET, deletionOf, everyEntry } from '../../daemon/datapath/conntrack.ts';
import { FlowsDouble } from '../../daemon/datapath/flows.double.ts';
import { ConntrackFlows } from '../../daemon/datapath/flows.ts';
import { errnoName } from '../../daemon/native/errno.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../daemon/native/netlink.ts';
import type { FlowPorts } from '../../daemon/reconcile/ports.ts';
import { flow, track, tracked } from './connections.ts';
import { Namespace } from './namespace.ts';

const FLOWS_URL = new URL('../../daemon/datapath/flows.ts', import.meta.url).href;

const toGone = ({ replySource }: Flow) => replySource === '10.244.0.9' || replySource === 'fd00:244::9';

function purge(namespace: Namespace, ports: readonly FlowPorts[] | 'all', disagrees: (flow: Flow) => boolean) {
  // The socket is opened within the call, before the first await: that decides whose connections are meant.
  return namespace.enter(() => new ConntrackFlows().purge(ports, disagrees));
}

/** Everything that a purge of all ports is shown. */
async function shown(namespace: Namespace): Promise<readonly Flow[]> {
  const flows: Flow[] = [];
  await purge(namespace, 'all', (flow) => {
    flows.push(flow);
    return false;
  });
  return flows;
}

const EVERY_KIND: readonly Flow[] = (['TCP', 'UDP'] as const).flatMap((protocol) => [
  flow({ protocol }),
  flow({ protocol, sourcePort: 5001, replySource: '10.244.0.9' }),
  flow({ protocol, port: 20_001, replySource: '10.244.0.9' }),
  flow({ protocol, port: 20_002, replySource: '192.0.2.1', replyPort: 20_002 }),
  flow({ protocol, source: '2001:db8::c', destination: '2001:db8::1', replySource: 'fd00:244::5' }),
  flow({ protocol, source: '2001:db8::c', destination: '2001:db8::1', port: 20_001, replySource: 'fd00:244::9' }),
]);

test('a connection through a real dnat rule is read as it is: both addresses, both families, TCP and UDP', async (t) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  node.link('eth0', client, 'eth0');
  node.address('eth0', '192.0.2.1/24', '2001:db8::1/64');
  client.address('eth0', '192.0.2.2/24', '2001:db8::2/64');
  node.address('lo', '10.244.0.5/32', 'fd00:244::5/128');
  const rules = ['ip daddr 192.0.2.1', 'ip6 daddr 2001:db8::1'].map((match, index) =>
    ['tcp', 'udp'].map((protocol) => {
      const [family, to] = index === 0 ? ['ip', '10.244.0.5:8080'] : ['ip6', '[fd00:244::5]:8080'];
      return `${match} ${protocol} dport 20000 dnat ${family} to ${to}`;
    }),
  );
  const chain = `type nat hook prerouting priority -110; ${rules.flat().join('; ')}`;
  node.run('/usr/sbin/nft', ['-f', '-'], `table inet t {\n chain pre {\n ${chain}\n}\n}`);

  // Without a listener the kernel forgets a TCP connection at the first RST.
  const server = node.enter(() => createServer((socket) => socket.destroy()).listen(8080));
  t.teardown(() => server.close());

  for (const protocol of ['tcp', 'udp']) {
    for (const address of ['192.0.2.1', '2001:db8::1']) {
      client.run('bash', ['-c', `echo x > /dev/${protocol}/${address}/20000`]);
    }
  }
  const flows = await shown(node);
  for (const protocol of ['TCP', 'UDP'] as const) {
    for (const [source, destination, replySource] of [
      ['192.0.2.2', '192.0.2.1', '10.244.0.5'],
      ['2001:db8::2', '2001:db8::1', 'fd00:244::5'],
    ] as const) {
      const found = flows.find((flow) => flow.protocol === protocol && flow.destination === destination);
      t.like(found, { source, destination, port: 20_000, replySource, replyPort: 8080 });
      t.true((found?.sourcePort ?? 0) > 0);
    }
  }
});

for (const [title, ports, expected] of [
  ['one number', [{ protocol: 'UDP', port: 20_001, size: 1 }], 2],
  ['one number of TCP', [{ protocol: 'TCP', port: 20_000, size: 1 }], 1],
  ['a block', [{ protocol: 'UDP', port: 20_000, size: 2 }], 3],
  [
    'both protocols',
    [
      { protocol: 'UDP', port: 20_001, size: 1 },
      { protocol: 'TCP', port: 20_001, size: 1 },
    ],
    4,
  ],
  ['a number without connections', [{ protocol: 'UDP', port: 20_009, size: 1 }], 0],
  ['a protocol without connections', [{ protocol: 'SCTP', port: 20_001, size: 1 }], 0],
  ['no number', [], 0],
  ['all numbers', 'all', 6],
] as const satisfies readonly (readonly [string, readonly FlowPorts[] | 'all', number])[]) {
  test(`a purge of ${title} deletes what disagrees there and nothing else, in the kernel as in the double`, async (t) => {
    using node = Namespace.create('node');
    await track(node, EVERY_KIND);
    const double = new FlowsDouble();
    double.flows = [...EVERY_KIND];
    const key = (flow: Flow) => JSON.stringify(flow);

    t.is(await purge(node, ports, toGone), expected);
    t.is(await double.purge(ports, toGone), expected);
    t.deepEqual((await shown(node)).map(key).sort(), double.flows.map(key).sort());
  });
}

test('I4: what is not TCP, UDP or SCTP is never shown and never deleted', async (t) => {
  using node = Namespace.create('node');
  const gre = '-p gre --srckey 1 --dstkey 1 -s 198.51.100.1 -d 192.0.2.1 -t 600';
  const udplite = '-p udplite -s 198.51.100.1 -d 192.0.2.1 --sport 5000 --dport 20000 -t 600';
  for (const entry of [gre, udplite]) node.run('conntrack', ['-I', ...entry.split(' ')]);
  t.deepEqual(await shown(node), []);
  t.is(await purge(node, 'all', () => true), 0);
  t.is(tracked(node), 2);
});

test('I4: in a zone of its own another program tracks untranslated packets: only what is translated there can disagree', async (t) => {
  using node = Namespace.create('node');
  const untranslated = flow({ replySource: '192.0.2.1', replyPort: 20_000 });
  const translated = flow({ port: 20_001 });
  await track(node, [untranslated, translated]);
  await track(node, [untranslated, translated], 5);
  const zones: string[] = [];
  const deleted = await purge(node, 'all', ({ port }) => {
    zones.push(String(port));
    return port === 20_001;
  });
  t.is(deleted, 2);
  t.deepEqual(zones.sort(), ['20000', '20001', '20001']);
  const left = node.run('conntrack', ['-L', '-o', 'extended']);
  t.is(left.match(/dport=20000 /g)?.length, 2);
  t.regex(left, /zone=5/);
});

test('a deletion is for the entry that was read: one with the same tuple and another id stays', async (t) => {
  using node = Namespace.create('node');
  await track(node, [flow()]);
  await using socket = node.enter(() => NetlinkSocket.open(NETLINK_NETFILTER));
  const [entry] = await socket.dumpAsync(CT_GET, everyEntry());
  const deletion = deletionOf(entry?.body ?? Buffer.alloc(0));
  const other = Buffer.from(deletion);
  // The id is the last attribute.
  other.writeUInt32BE(~other.readUInt32BE(other.length - 4) >>> 0, other.length - 4);
  const commands = [other, deletion, deletion].map((body) => ({ type: CT_DELETE, flags: 0, body }));
  t.deepEqual((await socket.batch(commands)).map(errnoName), ['ENOENT', 'errno 0', 'ENOENT']);
});

test('purges may run at the same time', async (t) => {
  using node = Namespace.create('node');
  await track(node, EVERY_KIND);
  const counts = await Promise.all([
    purge(node, [{ protocol: 'UDP', port: 20_000, size: 2 }], toGone),
    purge(node, [{ protocol: 'TCP', port: 20_000, size: 2 }], toGone),
  ]);
  t.deepEqual(counts, [3, 3]);
});

test.serial('of 100,000 connections those that disagree are deleted, and the loop goes on meanwhile', async (t) => {
  using node = Namespace.create('node');
  const many = Array.from({ length: 100_000 }, (_, index) =>
    flow({
      source: `10.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
      port: 20_000 + (index % 1000),
      replySource: index % 10_000 < 1000 ? '10.244.0.9' : '10.244.0.5',
    }),
  );
  await track(node, many);
  t.is(tracked(node), 100_000);

  const measured = async (what: string, ports: readonly FlowPorts[] | 'all') => {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const start = performance.now();
    const deleted = await purge(node, ports, toGone);
    const ms = performance.now() - start;
    delay.disable();
    t.log(`${what}: ${deleted} deleted in ${ms.toFixed(0)} ms, longest stall ${(delay.max / 1e6).toFixed(1)} ms`);
    return deleted;
  };
  t.is(await measured('one port', [{ protocol: 'UDP', port: 20_001, size: 1 }]), 10);
  t.is(await measured('another port', [{ protocol: 'UDP', port: 20_002, size: 1 }]), 10);
  t.is(await measured('a block of 100', [{ protocol: 'UDP', port: 20_100, size: 100 }]), 1000);
  t.is(await measured('all', 'all'), 10_000 - 1020);
  t.is(tracked(node), 90_000);
  t.is(await purge(node, 'all', toGone), 0);
});

test('without NET_ADMIN a purge rejects and says what is missing', (t) => {
  using node = Namespace.create('node');
  const script = `
    const { ConntrackFlows } = await import(${JSON.stringify(FLOWS_URL)});
    await new ConntrackFlows().purge('all', () => true).catch(({ code, message }) => console.log(code, message));`;
  const caps = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, '--input-type=module', '-e', script];
  t.regex(node.run('setpriv', caps), /^NETLINK_FAILED .*EPERM.* NET_ADMIN/);
});
