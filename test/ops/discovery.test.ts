import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'ava';
import type { ReportedAddress } from '../../daemon/core/noderecord.ts';
import { at } from '../core/reports.ts';
import { mapping } from '../rpc/fixture.ts';
import { type Discovered, discovered, type Target } from './discovered.ts';

const ADDRESSES: readonly ReportedAddress[] = [
  { type: 'hostname', address: 'node-a' },
  { type: 'device', address: '192.0.2.1' },
  { type: 'external-ip', address: '198.51.100.1' },
  { type: 'internal-ip', address: '10.0.0.1' },
  { type: 'internal-ip', address: 'fd00::1' },
  { type: 'external-dns', address: 'a.example' },
];

async function ask({ url }: Discovered, query = '') {
  const response = await fetch(url + query);
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

async function targetsOf(made: Discovered, query = ''): Promise<readonly Target[]> {
  const { status, text } = await ask(made, query);
  if (status !== 200) throw new Error(`${status} ${text}`);
  return JSON.parse(text);
}

async function pods(made: Discovered, query: string): Promise<readonly string[]> {
  return (await targetsOf(made, query)).map(({ labels }) => labels.__meta_berth_pod ?? '');
}

test('a mapping is a target at an address of its node, with all that is known of it in labels', async (t) => {
  const made = await discovered(t);
  made.tell('node-a', ADDRESSES, [mapping('p', { hostPort: 23_117 })]);
  t.like(await ask(made), { status: 200, type: 'application/json' });
  t.deepEqual(await targetsOf(made), [
    {
      targets: ['10.0.0.1:23117'],
      labels: {
        __meta_berth_namespace: 'shop',
        __meta_berth_pod: 'p',
        __meta_berth_pod_uid: 'uid-of-p',
        __meta_berth_pod_ip: '10.0.0.5',
        __meta_berth_port_name: 'web',
        __meta_berth_protocol: 'TCP',
        __meta_berth_host_port: '23117',
        __meta_berth_end_port: '23117',
        __meta_berth_container_port: '8080',
        __meta_berth_node: 'node-a',
        __meta_berth_pool: 'default',
        __meta_berth_stale: 'false',
        __meta_berth_node_address_InternalIP: '10.0.0.1',
        __meta_berth_node_address_Device: '192.0.2.1',
        __meta_berth_node_address_ExternalIP: '198.51.100.1',
        __meta_berth_node_address_ExternalDNS: 'a.example',
        __meta_berth_node_address_Hostname: 'node-a',
      },
    },
  ]);
});

test('the address is one at which the mapping answers: its own, or of the family of the pod', async (t) => {
  const made = await discovered(t);
  made.tell('node-a', ADDRESSES, [
    mapping('any', { podIPs: ['10.0.0.5', 'fd00::5'] }),
    mapping('own', { hostIP: '198.51.100.1', hostPort: 20_001 }),
    mapping('six', { podIPs: ['fd00::6'], hostPort: 20_002 }),
  ]);
  made.tell('node-b', [{ type: 'internal-ip', address: 'fd00::2' }], [mapping('unreachable', { hostPort: 20_003 })]);
  t.deepEqual(
    (await targetsOf(made)).map(({ targets }) => targets[0]),
    ['10.0.0.1:20000', '198.51.100.1:20001', '[fd00::1]:20002'],
  );
});

test('a stale mapping stays a target, and says so', async (t) => {
  const made = await discovered(t);
  made.tell('node-a', ADDRESSES, [mapping('p')]);
  made.cluster.sweep(at(60_000));
  t.is((await targetsOf(made))[0]?.labels.__meta_berth_stale, 'true');
});

test('the query says which ones; without a protocol those that can be scraped', async (t) => {
  const made = await discovered(t);
  made.tell('node-a', ADDRESSES, [
    mapping('a'),
    mapping('b', { pod: { namespace: 'games', name: 'b', uid: 'u' }, hostPort: 20_001, pool: 'games' }),
    mapping('c', { name: 'metrics', hostPort: 20_002 }),
    mapping('d', { protocol: 'UDP' }),
  ]);
  made.tell('node-b', [{ type: 'device', address: '192.0.2.2' }], [mapping('e')]);
  for (const [query, expected] of [
    ['', ['b', 'a', 'c', 'e']],
    ['?namespace=games', ['b']],
    ['?pod=a', ['a']],
    ['?node=node-b', ['e']],
    ['?pool=games', ['b']],
    ['?port=metrics', ['c']],
    ['?protocol=UDP', ['d']],
    ['?protocol=udp&namespace=shop', ['d']],
    ['?protocol=SCTP', []],
    ['?namespace=shop&node=node-a&port=web', ['a']],
    ['?namespace=sho', []],
  ] as const) {
    t.deepEqual(await pods(made, query), expected, query);
  }
});

test('a query that is not understood is refused: a typing error must not list everything', async (t) => {
  const made = await discovered(t);
  made.tell('node-a', ADDRESSES, [mapping('a')]);
  for (const [query, text] of [
    ['?name=web', 'there is no parameter name: there are namespace, pod, node, pool, port, protocol\n'],
    ['?namespace=', 'namespace must have 1 to 253 characters\n'],
    ['?namespace=a%00b', 'namespace must have 1 to 253 characters\n'],
    [`?pod=${'x'.repeat(254)}`, 'pod must have 1 to 253 characters\n'],
    ['?pod=a&pod=b', 'pod is given twice\n'],
    ['?protocol=HTTP', 'protocol must be one of TCP, UDP, SCTP\n'],
    ['?%1b%5b2J=a', 'there is no parameter \\x1b[2J: there are namespace, pod, node, pool, port, protocol\n'],
  ] as const) {
    t.like(await ask(made, query), { status: 400, text }, query);
  }
});

test('until every node was heard or waited for it is 503, whatever is known already', async (t) => {
  const made = await discovered(t);
  made.tell('node-a', ADDRESSES, [mapping('a')]);
  made.state.ready = false;
  t.like(await ask(made), { status: 503, text: 'not every node has been heard yet: ask again\n' });
  made.state.ready = true;
  t.is((await ask(made)).status, 200);
});

test('an empty list is never the answer while a node is missing that may have what is asked for', async (t) => {
  const made = await discovered(t);
  const missing = { status: 503, text: 'nothing is known, and not every node has been heard: ask again\n' };
  t.like(await ask(made), missing);
  made.cluster.know(new Set(['node-a', 'node-b']));
  t.like(await ask(made), missing);
  made.tell('node-a', ADDRESSES, []);
  t.like(await ask(made), missing);
  t.like(await ask(made, '?node=node-b'), missing);
  t.deepEqual(await targetsOf(made, '?node=node-a'), []);
  made.tell('node-b', ADDRESSES, []);
  t.deepEqual(await targetsOf(made), []);
});

test('a long list comes whole, to a client that reads slowly too', async (t) => {
  const made = await discovered(t);
  const many = Array.from({ length: 5_000 }, (_, index) => mapping(`p${index}`, { hostPort: 20_000 + index }));
  made.tell('node-a', ADDRESSES, many);
  const found = await targetsOf(made);
  t.is(found.length, 5_000);
  t.is(new Set(found.map(({ targets }) => targets[0])).size, 5_000);
  t.is((await fetch(made.url, { method: 'HEAD' })).status, 200);
});

test('I10: who asks and does not read holds one of four places, until it is gone', async (t) => {
  const made = await discovered(t);
  made.tell(
    'node-a',
    ADDRESSES,
    Array.from({ length: 20_000 }, (_, i) => mapping(`p${i}`, { hostPort: 20_000 + i })),
  );
  const { port, pathname } = new URL(made.url);
  const greedy = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const socket = connect(Number(port), '127.0.0.1');
      t.teardown(() => socket.destroy());
      socket.write(`GET ${pathname} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await once(socket, 'readable');
      return socket;
    }),
  );
  t.like(await ask(made), { status: 503, text: 'at most 4 clients are answered at once: ask again\n' });
  for (const socket of greedy) socket.destroy();
  let { status } = await ask(made);
  while (status === 503) ({ status } = await ask(made));
  t.is(status, 200);
});
