import { rmSync } from 'node:fs';
import test from 'ava';
import { ApiClient } from '../../daemon/kube/api/client.ts';
import { findCredentials } from '../../daemon/kube/api/connect.ts';
import { InClusterCredentials, inClusterServer } from '../../daemon/kube/api/incluster.ts';
import { loadKubeconfig } from '../../daemon/kube/api/kubeconfig.ts';
import { linesOf } from '../../daemon/kube/api/lines.ts';
import { followNode, type NodeFacts, readNode } from '../../daemon/kube/node.ts';
import { TokenBucket } from '../../daemon/reconcile/tokenbucket.ts';
import { ManualClock, Scratch } from './scratch.ts';
import { clientOf } from './standin/connected.ts';
import { StandIn } from './standin/server.ts';

const NODE = { method: 'GET', path: '/api/v1/nodes/node-a' } as const;
const never = new AbortController().signal;

async function collected(chunks: readonly string[], max = 100): Promise<string[]> {
  async function* source() {
    for (const chunk of chunks) yield Buffer.from(chunk, 'latin1');
  }
  const lines: string[] = [];
  for await (const line of linesOf(source(), max)) lines.push(line);
  return lines;
}

test('lines come whole, however they were cut, and half a line is none', async (t) => {
  t.deepEqual(await collected(['a\nb', 'c', '\n\n', 'half']), ['a', 'bc', '']);
  // ä in UTF-8, cut between its bytes.
  t.deepEqual(await collected(['\xc3', '\xa4\n']), ['ä']);
  await t.throwsAsync(collected(['x'.repeat(60), 'x'.repeat(60)]), { instanceOf: RangeError });
});

test('a refusal says what was asked, of whom, and what the answer was', async (t) => {
  await using server = await StandIn.start();
  await using client = clientOf(server.url, new ManualClock());
  server.fault = () => ({ kind: 'status', code: 403, reason: 'Forbidden' });
  const error = await t.throwsAsync(client.send(NODE), { code: 'API_REFUSED' });
  t.is(error.message, `GET ${server.url}/api/v1/nodes/node-a: the answer is 403 Forbidden: as the test wants it`);
  await using nobody = clientOf('http://127.0.0.1:1', new ManualClock());
  await t.throwsAsync(nobody.send(NODE), { code: 'API_UNREACHABLE', message: /ECONNREFUSED/ });
});

test('many requests use few connections', async (t) => {
  await using server = await StandIn.start();
  await using client = clientOf(server.url, new ManualClock());
  for (let count = 0; count < 20; count++) await client.send(NODE);
  await Promise.all(Array.from({ length: 100 }, () => client.send(NODE)));
  t.is(server.count('GET /api/v1/nodes/node-a'), 120);
  t.true(server.connections <= 24, `${server.connections} connections`);
});

test('a request that nobody waits for any more ends', async (t) => {
  await using server = await StandIn.start();
  const clock = new ManualClock();
  await using client = clientOf(server.url, clock);
  server.fault = () => ({ kind: 'silence' });
  const end = new AbortController();
  const answer = client.send({ ...NODE, signal: end.signal });
  end.abort();
  await t.throwsAsync(answer, { code: 'API_UNREACHABLE' });
  t.deepEqual(clock.pending, []);
});

test('labels and addresses of the node are read, but for what is not what its type says', async (t) => {
  await using server = await StandIn.start();
  await using client = clientOf(server.url, new ManualClock());
  t.deepEqual(await readNode(client, 'node-a', never), { labels: { tier: 'edge' }, addresses: [] });
  await t.throwsAsync(readNode(client, 'node-z', never), { code: 'API_REFUSED' });
  const addresses = [
    { type: 'InternalIP', address: '10.0.0.1' },
    { type: 'InternalIP', address: '2001:DB8:0::1' },
    { type: 'ExternalIP', address: '198.51.100.1' },
    { type: 'ExternalDNS', address: 'a.example' },
    { type: 'Hostname', address: '10.0.0.1' },
    { type: 'InternalIP', address: 'a.example' },
    { type: 'ExternalIP', address: '010.0.0.1' },
    { type: 'Hostname', address: 'a b' },
    { type: 'ExternalDNS', address: 'x'.repeat(254) },
    { type: 'Other', address: '10.0.0.2' },
    { type: 'InternalIP' },
    'InternalIP',
  ];
  server.store.nodes.set('node-a', { kind: 'Node', metadata: { name: 'node-a' }, status: { addresses } } as never);
  t.deepEqual((await readNode(client, 'node-a', never)).addresses, [
    { type: 'internal-ip', address: '10.0.0.1' },
    { type: 'internal-ip', address: '2001:db8::1' },
    { type: 'external-ip', address: '198.51.100.1' },
    { type: 'external-dns', address: 'a.example' },
    { type: 'hostname', address: '10.0.0.1' },
  ]);
  server.store.nodes.set('node-a', { kind: 'Node', metadata: { name: 'node-a' }, status: { addresses: 7 } } as never);
  t.deepEqual((await readNode(client, 'node-a', never)).addresses, []);
});

test('the node is read again every few minutes, and what was known stays while it cannot be', async (t) => {
  const clock = new ManualClock();
  const end = new AbortController();
  const read: string[] = [];
  let answer: () => object = () => ({ metadata: { labels: { tier: 'edge' } } });
  const client = { send: async () => answer() };
  const take = ({ labels }: NodeFacts) => read.push(labels.tier ?? 'none');
  const following = followNode({ client, node: 'node-a', clock, random: () => 0.5 }, take, end.signal);
  const next = async () => {
    clock.advance(300_000);
    while (clock.pending.length === 0) await new Promise((resolve) => setImmediate(resolve));
  };
  clock.advance(299_999);
  t.deepEqual(read, []);
  await next();
  answer = () => {
    throw new Error('away');
  };
  await next();
  answer = () => ({});
  await next();
  t.deepEqual(read, ['edge', 'none']);
  end.abort();
  await following;
  t.deepEqual(clock.pending, []);
});

test('the server in the cluster is known from the environment', (t) => {
  t.is(
    inClusterServer({ KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }),
    'https://10.96.0.1:443',
  );
  t.is(
    inClusterServer({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }),
    'https://[fd00::1]:443',
  );
  t.is(inClusterServer({}), undefined);
});

test('a token that is replaced is used, and one whose file is gone is used on', async (t) => {
  await using server = await StandIn.start();
  using scratch = new Scratch();
  const clock = new ManualClock();
  const credentials = new InClusterCredentials(server.url, scratch.path, clock);
  await using client = new ApiClient({ credentials, clock, userAgent: 'berth-test' });
  await t.throwsAsync(client.send(NODE), {
    code: 'API_UNREACHABLE',
    message: /ENOENT.*automountServiceAccountToken/,
  });
  scratch.put('ca.crt', 'a certificate');
  const used = async () => {
    await client.send(NODE);
    return server.asked.at(-1)?.headers.authorization;
  };
  scratch.put('token', 'first\n');
  t.is(await used(), 'Bearer first');
  scratch.put('token', 'second');
  t.is(await used(), 'Bearer first', 'a file is not read for every request');
  clock.advance(10_000);
  t.is(await used(), 'Bearer second');
  rmSync(scratch.join('token'));
  clock.advance(60_000);
  t.is(await used(), 'Bearer second');
  scratch.put('token', '');
  t.is(await used(), 'Bearer second');
});

test('a token that the server does not accept is read anew at once', async (t) => {
  await using server = await StandIn.start();
  using scratch = new Scratch();
  const clock = new ManualClock();
  scratch.put('ca.crt', '');
  scratch.put('token', 'old');
  await using client = new ApiClient({
    credentials: new InClusterCredentials(server.url, scratch.path, clock),
    clock,
    userAgent: 'berth-test',
  });
  server.fault = ({ headers }) =>
    headers.authorization === 'Bearer new' ? undefined : { kind: 'status', code: 401, reason: 'Unauthorized' };
  await t.throwsAsync(client.send(NODE), { code: 'API_REFUSED' });
  scratch.put('token', 'new');
  await t.notThrowsAsync(client.send(NODE));
});

test('a kubeconfig gives server and token, an exec plugin too', async (t) => {
  await using server = await StandIn.start();
  using scratch = new Scratch();
  const clock = new ManualClock();
  const config = (user: object) => ({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server: server.url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'test', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  });
  const credential = {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token: 'of-plugin' },
  };
  const plugin = { apiVersion: credential.apiVersion, command: 'echo', args: [JSON.stringify(credential)] };
  for (const [user, authorization] of [
    [{ token: 'of-file' }, 'Bearer of-file'],
    [{ exec: plugin }, 'Bearer of-plugin'],
    [{ username: 'me', password: 'secret' }, `Basic ${Buffer.from('me:secret').toString('base64')}`],
  ] as const) {
    scratch.put('config', config(user));
    const credentials = await findCredentials(scratch.join('config'), {}, clock);
    await using client = new ApiClient({ credentials, clock, userAgent: 'berth-test' });
    await client.send(NODE);
    t.is(server.asked.at(-1)?.headers.authorization, authorization);
  }
});

test('a kubeconfig that cannot be used is named', async (t) => {
  using scratch = new Scratch();
  await t.throwsAsync(loadKubeconfig(scratch.join('none')), {
    code: 'CONFIG_INVALID',
    message: /the kubeconfig .*none.*ENOENT/,
  });
  scratch.put('empty', { clusters: [], contexts: [], users: [], 'current-context': 'x' });
  await t.throwsAsync(loadKubeconfig(scratch.join('empty')), {
    code: 'CONFIG_INVALID',
    message: /"x" names no cluster/,
  });
});

test('the budget of writes allows a burst, then a rate, and does not save up more than the burst', (t) => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, 10, 3);
  const taken = () => [bucket.take(), bucket.take(), bucket.take(), bucket.take()].filter(Boolean).length;
  t.is(taken(), 3);
  t.is(bucket.waitMs, 100);
  clock.advance(99);
  t.false(bucket.take());
  clock.advance(1);
  t.true(bucket.take());
  clock.advance(60_000);
  t.is(taken(), 3);
});
