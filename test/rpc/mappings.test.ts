import { status } from '@grpc/grpc-js';
import test from 'ava';
import type { Cidr } from '../../daemon/core/vocabulary.ts';
import { berth, MappingService } from '../../proto/service.ts';
import { ADDRESSES, call, fixture, mapping, NODE, NOW } from './fixture.ts';

const SINCE = NOW - 90_000;

test('get answers with every field of a mapping, and how fresh that is', async (t) => {
  const { registry, client } = await fixture(t);
  const allowFrom = [
    { family: 4, text: '203.0.113.0/24' },
    { family: 6, text: '2001:db8::/32' },
  ] as const;
  registry.set(NODE, mapping('cart-0', { podIPs: ['10.0.0.5', 'fd00::5'], allowFrom }), SINCE);
  t.deepEqual(await client.get({ namespace: 'shop', pod: 'cart-0' }), {
    mappings: [
      {
        namespace: 'shop',
        pod: 'cart-0',
        podUID: 'uid-of-cart-0',
        name: 'web',
        protocol: 'TCP',
        hostPort: 20_000,
        endPort: 20_000,
        containerPort: 8080,
        node: NODE,
        nodeAddresses: ADDRESSES,
        podIPs: ['10.0.0.5', 'fd00::5'],
        pool: 'default',
        allowFrom: ['203.0.113.0/24', '2001:db8::/32'],
        since: SINCE,
      },
    ],
    freshness: { lastHeard: NOW, nodesHeard: 1, nodesKnown: 1 },
  });
});

test('a pod without mappings is an empty answer, not an error', async (t) => {
  const { client } = await fixture(t);
  const { mappings, freshness } = await client.get({ namespace: 'shop', pod: 'cart-0' });
  t.deepEqual(mappings, []);
  t.is(freshness.nodesHeard, 1);
});

test('a block shows its last port', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('sip', { name: 'rtp', hostPort: 40_000, size: 100, containerPort: 40_000 }), SINCE);
  const [block] = (await client.get({ namespace: 'shop', pod: 'sip' })).mappings;
  t.deepEqual([block?.hostPort, block?.endPort, block?.containerPort], [40_000, 40_099, 40_000]);
});

test('only addresses at which the mapping answers are told: those of the families of the pod', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('four'), SINCE);
  registry.set(NODE, mapping('six', { podIPs: ['fd00::6'] }), SINCE);
  registry.set(NODE, mapping('one', { hostIP: '192.0.2.11' }), SINCE);
  const addresses = async (pod: string) => (await client.get({ namespace: 'shop', pod })).mappings[0]?.nodeAddresses;
  t.deepEqual(await addresses('four'), ['192.0.2.10']);
  t.deepEqual(await addresses('six'), ['2001:db8::10']);
  t.deepEqual(await addresses('one'), ['192.0.2.11']);
});

test('a mapping that admits no source at all is told from one that admits every source', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('closed', { allowFrom: [] }), SINCE);
  registry.set(NODE, mapping('open'), SINCE);
  t.deepEqual((await client.get({ namespace: 'shop', pod: 'closed' })).mappings[0]?.allowFrom, []);
  t.is((await client.get({ namespace: 'shop', pod: 'open' })).mappings[0]?.allowFrom, undefined);
});

test('get narrows to a port name and a protocol', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('p', { name: 'dns', protocol: 'UDP' }), SINCE);
  registry.set(NODE, mapping('p', { name: 'dns', protocol: 'TCP' }), SINCE);
  registry.set(NODE, mapping('p', { name: 'web', protocol: 'SCTP' }), SINCE);
  const got = async (question: object) => {
    const { mappings } = await client.get({ namespace: 'shop', pod: 'p', ...question });
    return mappings.map(({ name, protocol }) => `${name}/${protocol}`);
  };
  t.deepEqual(await got({}), ['dns/TCP', 'dns/UDP', 'web/SCTP']);
  t.deepEqual(await got({ name: 'dns' }), ['dns/TCP', 'dns/UDP']);
  t.deepEqual(await got({ name: 'dns', protocol: 'UDP' }), ['dns/UDP']);
  t.deepEqual(await got({ protocol: 'SCTP' }), ['web/SCTP']);
});

test('two lives of a pod of one name are both told, apart by their uids', async (t) => {
  const { registry, client } = await fixture(t);
  for (const uid of ['old', 'new']) {
    registry.set(NODE, mapping('db-0', { pod: { namespace: 'shop', name: 'db-0', uid } }), SINCE);
  }
  const { mappings } = await client.get({ namespace: 'shop', pod: 'db-0' });
  t.deepEqual(
    mappings.map(({ podUID }) => podUID),
    ['new', 'old'],
  );
});

const filters: readonly (readonly [object, readonly string[]])[] = [
  [{}, ['a', 'b', 'c', 'd']],
  [{ namespace: 'shop' }, ['a', 'b', 'c']],
  [{ pod: 'b' }, ['b']],
  [{ namespace: 'shop', pod: 'd' }, []],
  [{ node: 'node-b' }, ['c']],
  [{ pool: 'games' }, ['b']],
  [{ protocol: 'UDP' }, ['c']],
  [{ hostPort: 20_105 }, ['b']],
  [{ protocol: 'UDP', hostPort: 20_000 }, ['c']],
];
for (const [filter, expected] of filters) {
  test(`list with ${JSON.stringify(filter)} gives what meets every condition`, async (t) => {
    const { registry, client } = await fixture(t);
    registry.set(NODE, mapping('a'), SINCE);
    registry.set(NODE, mapping('b', { pool: 'games', hostPort: 20_100, size: 10 }), SINCE);
    registry.set('node-b', mapping('c', { protocol: 'UDP' }), SINCE);
    registry.set(NODE, mapping('d', { pod: { namespace: 'test', name: 'd', uid: 'u' } }), SINCE);
    const found: string[] = [];
    for await (const { mappings } of client.list(filter)) found.push(...mappings.map(({ pod }) => pod));
    t.deepEqual(found.sort(), expected);
  });
}

test('pages stay valid while mappings come and go', async (t) => {
  const { registry, socketPath } = await fixture(t);
  for (const name of ['b', 'd', 'f', 'h']) registry.set(NODE, mapping(name), SINCE);
  const page = (pageToken: string) => call(socketPath, MappingService.list, { pageSize: 2, pageToken });
  const pods = (answer: berth.v1.ListResponse.$Properties) => answer.mappings?.map(({ pod }) => pod);

  const first = await page('');
  registry.delete(NODE, mapping('d').pod, 'web', 'TCP');
  registry.set(NODE, mapping('a'), SINCE);
  registry.set(NODE, mapping('e'), SINCE);
  const second = await page(first.nextPageToken ?? '');
  const third = await page(second.nextPageToken ?? '');

  t.deepEqual([pods(first), pods(second), pods(third)], [['b', 'd'], ['e', 'f'], ['h']]);
  t.falsy(third.nextPageToken);
});

test('a page has 500 mappings unless asked otherwise and never more than 1,000', async (t) => {
  const { registry, socketPath } = await fixture(t);
  for (let index = 0; index < 1_100; index += 1) registry.set(NODE, mapping(`p-${index}`), SINCE);
  const size = async (pageSize: number) => (await call(socketPath, MappingService.list, { pageSize })).mappings?.length;
  t.is(await size(0), 500);
  t.is(await size(3), 3);
  t.is(await size(2_000_000_000), 1_000);
});

test('I10: a page of huge mappings is cut below what clients accept, and the walk still sees all of them', async (t) => {
  const { registry, client, socketPath } = await fixture(t);
  const allowFrom = Array.from({ length: 64 }, (_, index) => ({
    family: 6 as const,
    text: `2001:db8:aaaa:bbbb:cccc:dddd:eeee:${(0x1000 + index).toString(16)}/128`,
  }));
  const name = (index: number) => `${'p'.repeat(240)}-${index}`;
  for (let index = 0; index < 1_000; index += 1) registry.set(NODE, mapping(name(index), { allowFrom }), SINCE);
  const page = await call(socketPath, MappingService.list, { pageSize: 1_000 });
  const bytes = berth.v1.ListResponse.encode(page).finish().length;
  t.true(bytes > 500_000 && bytes < 1_500_000, `${bytes} bytes`);
  const seen = new Set<string>();
  for await (const { mappings } of client.list({})) for (const { pod } of mappings) seen.add(pod);
  t.is(seen.size, 1_000);
});

const refused: readonly (readonly [string, berth.v1.ListRequest.$Properties])[] = [
  ['page_size', { pageSize: -1 }],
  ['page_token', { pageToken: 'not a token' }],
  ['page_token', { pageToken: Buffer.from('a\0b').toString('base64url') }],
  ['page_token', { pageToken: 'A'.repeat(10_000) }],
  ['host_port', { filter: { hostPort: 65_536 } }],
  ['host_port', { filter: { hostPort: 4_294_967_295 } }],
  ['protocol', { filter: { protocol: 99 as berth.v1.Protocol } }],
  ['protocol', { filter: { protocol: -1 as berth.v1.Protocol } }],
  ['namespace', { filter: { namespace: 'n'.repeat(254) } }],
  ['pod', { filter: { pod: 'a\0b' } }],
];
for (const [field, request] of refused) {
  test(`V23: list refuses a bad ${field}: ${JSON.stringify(request).slice(0, 60)}`, async (t) => {
    const { socketPath } = await fixture(t);
    const error = await t.throwsAsync(call(socketPath, MappingService.list, request));
    t.like(error, { code: status.INVALID_ARGUMENT });
    t.regex(error.message, new RegExp(`INVALID_ARGUMENT: ${field}:`));
  });
}

for (const request of [{}, { namespace: 'shop' }, { pod: 'cart-0' }]) {
  test(`get refuses ${JSON.stringify(request)}: namespace and pod are required`, async (t) => {
    const { socketPath } = await fixture(t);
    const error = await t.throwsAsync(call(socketPath, MappingService.get, request));
    t.like(error, { code: status.INVALID_ARGUMENT });
  });
}

test('until the agent knows the state of its node it says UNAVAILABLE rather than "no mappings"', async (t) => {
  const { registry, client, served } = await fixture(t, { serving: false });
  const error = await t.throwsAsync(client.get({ namespace: 'shop', pod: 'cart-0' }), { code: 'RPC_FAILED' });
  t.regex(error.message, /the agent is starting/);
  registry.set(NODE, mapping('cart-0'), SINCE);
  served.setServing(true);
  t.is((await client.get({ namespace: 'shop', pod: 'cart-0' })).mappings.length, 1);
});

test('what fails inside the server is told to its log and not to the client', async (t) => {
  const { registry, socketPath, defects } = await fixture(t);
  const broken = { ...mapping('cart-0'), allowFrom: [undefined as unknown as Cidr] };
  registry.set(NODE, broken, SINCE);
  const error = await t.throwsAsync(call(socketPath, MappingService.get, { namespace: 'shop', pod: 'cart-0' }));
  t.like(error, { code: status.INTERNAL });
  t.false(error.message.includes('undefined'));
  t.is(defects.splice(0).length, 1);
});

test.serial('listing 1,000 mappings takes a few milliseconds', async (t) => {
  const { registry, client } = await fixture(t);
  for (let index = 0; index < 1_000; index += 1) registry.set(NODE, mapping(`p-${index}`), SINCE);
  const times: number[] = [];
  for (let round = 0; round < 60; round += 1) {
    const start = performance.now();
    for await (const { mappings } of client.list({})) t.is(mappings.length, 1_000);
    times.push(performance.now() - start);
  }
  times.sort((one, other) => one - other);
  t.log(`list of 1,000: p50 ${times[30]?.toFixed(1)} ms, p95 ${times[57]?.toFixed(1)} ms`);
});
