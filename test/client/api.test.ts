/** What programs see of `berth/client`. */
import test from 'ava';
import { BerthError, connect } from '../../daemon/client.ts';
import { fixture, mapping, NODE, NOW } from '../rpc/fixture.ts';
import { deadAddress, replicas } from './replicas.ts';

test('list goes on at the next replica when one ends between two pages', async (t) => {
  const { each, addresses, node } = await replicas(t, 2);
  const many = Array.from({ length: 1_500 }, (_, index) => mapping(`p-${index}`, { hostPort: 20_000 + index }));
  await node('node-a', ...many);
  using client = connect({ aggregator: addresses.split(',') });
  const pods = new Set<string>();
  let pages = 0;
  for await (const { mappings, freshness } of client.list()) {
    for (const { pod } of mappings) pods.add(pod);
    t.like(freshness, { nodesHeard: 1, nodesKnown: 1 });
    pages += 1;
    if (pages === 1) await each[0]?.stop();
  }
  t.is(pages, 2);
  t.is(pods.size, 1_500);
});

test('the agent of a node is asked the same way, but knows no other nodes', async (t) => {
  const { registry, socketPath } = await fixture(t);
  registry.set(NODE, mapping('cart-0'), NOW);
  using client = connect({ socket: socketPath });
  t.is(client.scope, 'node');
  t.is((await client.get({ namespace: 'shop', pod: 'cart-0', name: 'web', protocol: 'TCP' })).mappings.length, 1);
  await t.throwsAsync(client.listNodes().next(), { code: 'RPC_FAILED', message: /UNIMPLEMENTED|does not implement/ });
});

test('a replica that has answered is asked first from then on', async (t) => {
  const { each, addresses } = await replicas(t, 1);
  using client = connect({ aggregator: [await deadAddress(), addresses] });
  for (let times = 0; times < 3; times += 1) await client.list().next();
  t.is(each.length, 1);
  await each[0]?.stop();
  const error = await t.throwsAsync(client.list().next(), { instanceOf: BerthError });
  // The one that was asked last comes first.
  t.regex(error?.message ?? '', new RegExp(`${addresses}.*; nobody listens at `));
});

test('a call ends with its signal, and every call with the client', async (t) => {
  const { addresses } = await replicas(t, 1);
  const client = connect({ aggregator: addresses });
  const watching = client.watch();
  t.is((await watching.next()).value?.kind, 'synced');
  const end = watching.next();
  client[Symbol.dispose]();
  t.true((await end).done);

  using other = connect({ aggregator: addresses });
  await t.throwsAsync(other.get({ namespace: 'a', pod: 'b' }, { signal: AbortSignal.abort() }), { code: 'RPC_FAILED' });
});

for (const [to, message] of [
  [{ aggregator: [] }, /names none/],
  [{ aggregator: 'berth:1' }, /is not loopback and would be asked in plaintext/],
  [{ aggregator: 'berth' }, /is not HOST:PORT/],
  [{ aggregator: '127.0.0.1:1', tokenFile: '/t' }, /is shown only over TLS/],
  [{ aggregator: '127.0.0.1:1', caFile: '/nowhere/ca.crt' }, /\/nowhere\/ca\.crt cannot be read: ENOENT/],
  [{ aggregator: '127.0.0.1:1', serverName: 'a b' }, /is neither a DNS name nor an IP address/],
  [{ socket: 'agent.sock' }, /is not an absolute path/],
] as const) {
  test(`${JSON.stringify(to)} is refused before anything is opened`, (t) => {
    t.throws(() => connect(to), { code: 'CONFIG_INVALID', message });
  });
}
