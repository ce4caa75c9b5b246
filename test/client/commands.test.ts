/** `berth get`, `list` and `nodes` against aggregators over real sockets. */
import test from 'ava';
import { eventually } from '../rpc/clusterfixture.ts';
import { mapping, NOW } from '../rpc/fixture.ts';
import { deadAddress, replicas } from './replicas.ts';
import { berth } from './terminal.ts';

const now = () => NOW + 60_000;
const two = [mapping('cart-0'), mapping('cart-1', { hostPort: 20_001, protocol: 'UDP', pool: 'games' })] as const;

test('berth list answers for every node, with addresses to copy', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  await node('node-a', mapping('cart-0'));
  await node('node-b', mapping('cart-1', { hostPort: 20_001 }));
  const { code, out, err } = await berth(`list --aggregator ${addresses}`);
  t.deepEqual([code, err], [0, '']);
  t.deepEqual(
    out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ +/).filter((_, index) => index !== 7)),
    [
      ['NAMESPACE', 'POD', 'PORT', 'PROTOCOL', 'ADDRESS', 'POD-PORT', 'NODE', 'STATE'],
      ['shop', 'cart-0', 'web', 'TCP', '192.0.2.10:20000', '8080', 'node-a', 'live'],
      ['shop', 'cart-1', 'web', 'TCP', '192.0.2.10:20001', '8080', 'node-b', 'live'],
    ],
  );
});

for (const [filter, found] of [
  ['-n shop', ['cart-0', 'cart-1']],
  ['-n bank', []],
  ['--pod cart-1', ['cart-1']],
  ['--node node-a', ['cart-0', 'cart-1']],
  ['--node node-b', []],
  ['--pool games', ['cart-1']],
  ['--protocol udp', ['cart-1']],
  ['--host-port 20000', ['cart-0']],
] as const) {
  test(`berth list ${filter} lists ${found.join(' and ') || 'nothing'}`, async (t) => {
    const { addresses, node } = await replicas(t, 1);
    await node('node-a', ...two);
    const { code, out } = await berth(`list -o json --aggregator ${addresses} ${filter}`);
    t.is(code, 0);
    t.deepEqual(
      JSON.parse(out).mappings.map(({ pod }: { pod: string }) => pod),
      found,
    );
  });
}

test('berth list fetches every page: 2,500 mappings are in three of them', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  const many = Array.from({ length: 2_500 }, (_, index) => mapping(`p-${index}`, { hostPort: 20_000 + index }));
  await node('node-a', ...many);
  const { out } = await berth(`list -o json --aggregator ${addresses}`);
  const ports = JSON.parse(out).mappings.map(({ hostPort }: { hostPort: number }) => hostPort);
  t.is(ports.length, 2_500);
  t.is(new Set(ports).size, 2_500);
});

test('berth get finds a port, and ends with 3 where there is none', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  await node('node-a', ...two);
  t.regex((await berth(`get shop/cart-0 web --aggregator ${addresses}`)).out, / 192\.0\.2\.10:20000 /);
  const missing = await berth(`get shop/cart-7 --aggregator ${addresses}`);
  t.deepEqual([missing.code, missing.out], [3, '']);
  t.regex(missing.err, /^berth: no port of pod "cart-7" .* is mapped on any node that has been heard/);
});

test('an answer without every node says so on stderr, and is given', async (t) => {
  const { addresses, node, each } = await replicas(t, 1);
  await node('node-a', mapping('cart-0'));
  each[0]?.cluster.know(new Set(['node-a', 'node-b']));
  for (const line of ['list', 'get shop/cart-0', 'nodes']) {
    const { code, out, err } = await berth(`${line} --aggregator ${addresses}`);
    t.is(code, 0);
    t.regex(out, /node-a/);
    t.is(err, 'berth: the answer is incomplete: 1 of 2 nodes have been heard\n', line);
  }
});

test('berth nodes tells of each node when it was heard, its mappings, and what is free in each pool', async (t) => {
  const { addresses, node, each } = await replicas(t, 1);
  await node('node-a', ...two);
  each[0]?.cluster.know(new Set(['node-a', 'node-b']));
  const { out } = await berth(`nodes --aggregator ${addresses}`);
  const rows = out
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ +/));
  t.deepEqual(rows[0], ['NODE', 'STATE', 'LAST-HEARD', 'MAPPINGS', 'FREE-TCP', 'FREE-UDP']);
  t.deepEqual(rows[1]?.toSpliced(2, 1), ['node-a', 'live', '2', 'default=99', 'default=98']);
  t.regex(rows[1]?.[2] ?? '', /^\d+s$/);
  t.deepEqual(rows[2], ['node-b', 'unheard', 'never', '0', '-', '-']);
  const wide = (await berth(`nodes -o wide --aggregator ${addresses}`)).out;
  t.regex(wide, /default=97 +default=100 +192\.0\.2\.10,a\.internal +1\.2\.3\n/);
  const [json] = JSON.parse((await berth(`nodes -o json --aggregator ${addresses}`)).out).nodes;
  t.like(json, {
    name: 'node-a',
    mappings: 2,
    pools: [{ name: 'default', ports: 100, free: { TCP: 99, UDP: 98, SCTP: 97 } }],
    addresses: [
      { type: 'DEVICE', address: '192.0.2.10' },
      { type: 'INTERNAL_DNS', address: 'a.internal' },
    ],
  });
  t.regex((await berth(`nodes -o yaml --aggregator ${addresses}`)).out, /^nodes:\n {2}- name: node-a\n/);
});

test('a node that is gone is stale, and so is each of its mappings', async (t) => {
  const { addresses, node, each } = await replicas(t, 1, { limits: { graceMs: 0 } });
  const { reporter } = await node('node-a', mapping('cart-0'));
  reporter[Symbol.dispose]();
  await eventually(() => each[0]?.cluster.records.get('node-a')?.stale === true);
  t.regex((await berth(`list --aggregator ${addresses}`)).out, / stale\n$/);
  t.regex((await berth(`nodes --aggregator ${addresses}`)).out, /\nnode-a +stale /);
});

test('where one replica is down the next is asked, whatever is asked', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  await node('node-a', mapping('cart-0'));
  const both = `${await deadAddress()},${addresses}`;
  for (const line of ['list', 'get shop/cart-0', 'nodes']) {
    const { code, out, err } = await berth(`${line} --aggregator ${both}`, now);
    t.deepEqual([code, err], [0, ''], line);
    t.regex(out, /node-a/);
  }
});

test('a replica that is not ready yet is passed over too', async (t) => {
  const [young, old] = [await replicas(t, 1, { readyMs: 3_600_000 }), await replicas(t, 1)];
  await old.node('node-a', mapping('cart-0'));
  const { code, out } = await berth(`list --aggregator ${young.addresses},${old.addresses}`);
  t.is(code, 0);
  t.regex(out, /cart-0/);
  const alone = await berth(`list --aggregator ${young.addresses}`);
  t.is(alone.code, 1);
  t.regex(alone.err, /^berth: the aggregator at 127\.0\.0\.1:\d+ is not available: /);
});

for (const line of ['list', 'get shop/cart-0', 'nodes', 'watch']) {
  test(`berth ${line} says of each replica why it does not answer: exit code 1`, async (t) => {
    const [one, other] = [await deadAddress(), await deadAddress()];
    const { code, out, err } = await berth(`${line} --aggregator ${one},${other}`);
    t.deepEqual([code, out], [1, '']);
    const refused = (at: string) =>
      `nobody listens at ${at}: is an aggregator running there? Give its address with --aggregator`;
    t.is(err, `berth: ${refused(one)}; ${refused(other)}\n`);
  });
}

test('a name that leads nowhere is told from an aggregator that is down', async (t) => {
  const { code, err } = await berth('list --aggregator nowhere.invalid:1 --insecure-aggregator');
  t.is(code, 1);
  t.regex(err, /^berth: the name in nowhere\.invalid:1 leads nowhere from here/);
});
