import { status } from '@grpc/grpc-js';
import test from 'ava';
import fc from 'fast-check';
import { Refusal } from '../../daemon/rpc/refusal.ts';
import { readReport } from '../../daemon/rpc/reportmessage.ts';
import type { berth } from '../../proto/service.ts';
import { ReportService, type berth as wire } from '../../proto/service.ts';
import { aggregator, clientOf, eventually, listed, rawReport } from './clusterfixture.ts';

type Request = berth.v1.ReportRequest.$Properties;

const hello = (fields: berth.v1.Hello.$Properties = {}): Request => ({
  hello: { node: 'node-a', bootId: 'boot-1', epoch: 1, version: '1', ...fields },
});
const good = {
  namespace: 'shop',
  pod: 'cart-0',
  podUid: 'u1',
  name: 'web',
  protocol: 1,
  hostPort: 20_000,
  endPort: 20_000,
  containerPort: 80,
  podIps: ['10.0.0.5'],
  pool: 'default',
};
const snapshot = (fields: berth.v1.Mapping.$Properties = {}): Request => ({
  snapshot: { mappings: [{ ...good, ...fields }], last: true, sequence: 1 },
});

const wrong: readonly (readonly [Request, string])[] = [
  [hello({ node: '' }), 'hello.node: required'],
  [hello({ node: 'Node_A' }), 'hello.node: not the name of a Node'],
  [hello({ node: 'a'.repeat(254) }), 'hello.node: not the name of a Node'],
  [hello({ bootId: '' }), 'hello.boot_id: required'],
  [hello({ epoch: 0 }), 'hello.epoch: not a whole number from 1 to 9007199254740991'],
  [hello({ epoch: 2 ** 53 }), 'hello.epoch: not a whole number from 1 to 9007199254740991'],
  [hello({ version: '\u001b[31m' }), 'hello.version: not at most 64 printable characters'],
  [
    hello({ status: { addresses: [{ type: 1, address: 'x' }] } }),
    'hello.status.addresses[0].address: not an IP address in its canonical form',
  ],
  [hello({ status: { pools: Array(257).fill({ name: 'p' }) } }), 'hello.status.pools: more than 256'],
  [
    hello({ status: { pools: [{ name: 'p', ranges: Array(257).fill({ first: 1, last: 1 }) }] } }),
    'hello.status.pools[0].ranges: more than 256',
  ],
  [
    hello({ status: { pools: [{ name: 'p', ranges: [{ first: 9, last: 8 }] }] } }),
    'hello.status.pools[0].ranges[0].last: not a whole number from 9 to 65535',
  ],
  [
    hello({ status: { pools: [{ name: 'p', ports: 70_000 }] } }),
    'hello.status.pools[0].ports: not a whole number from 0 to 65535',
  ],
  [{ status: { addresses: Array(33).fill({ type: 1, address: '192.0.2.1' }) } }, 'status.addresses: more than 32'],
  [{ status: { addresses: [{ type: 6, address: 'a b' }] } }, 'status.addresses[0].address: not an address or a name'],
  [snapshot({ namespace: 'a/b' }), 'snapshot.mappings[0].namespace: not the name of a namespace'],
  [snapshot({ pod: '' }), 'snapshot.mappings[0].pod: required'],
  [snapshot({ podUid: '../x' }), 'snapshot.mappings[0].pod_uid: not the uid of a pod'],
  [snapshot({ name: 'a\0b' }), 'snapshot.mappings[0].name: not the name of a port'],
  [snapshot({ protocol: 0 }), 'snapshot.mappings[0].protocol: required'],
  [snapshot({ hostPort: 0 }), 'snapshot.mappings[0].host_port: not a whole number from 1 to 65535'],
  [snapshot({ hostPort: 65_536 }), 'snapshot.mappings[0].host_port: not a whole number from 1 to 65535'],
  [snapshot({ endPort: 19_999 }), 'snapshot.mappings[0].end_port: not a whole number from 20000 to 20255'],
  [snapshot({ endPort: 20_256 }), 'snapshot.mappings[0].end_port: not a whole number from 20000 to 20255'],
  [snapshot({ containerPort: 0 }), 'snapshot.mappings[0].container_port: not a whole number from 1 to 65535'],
  [snapshot({ hostIp: '010.0.0.1' }), 'snapshot.mappings[0].host_ip: not an IP address in its canonical form'],
  [snapshot({ podIps: ['10.0.0.1', '10.0.0.2'] }), 'snapshot.mappings[0].pod_ips: two of one family'],
  [snapshot({ podIps: ['FD00::1'] }), 'snapshot.mappings[0].pod_ips[0]: not an IP address in its canonical form'],
  [
    snapshot({ allowFrom: { cidrs: ['10.0.0.1/8'] } }),
    'snapshot.mappings[0].allow_from.cidrs[0]: not a range such as 203.0.113.0/24',
  ],
  [
    snapshot({ allowFrom: { cidrs: Array(65).fill('10.0.0.0/8') } }),
    'snapshot.mappings[0].allow_from.cidrs: more than 64',
  ],
  [snapshot({ node: 'node-b' }), 'snapshot.mappings[0].node: must be empty: Hello names the node'],
  [snapshot({ since: { seconds: -1 } }), 'snapshot.mappings[0].since: not a whole number from 0 to 253402300799999'],
  [{ snapshot: { last: true, sequence: -1 } }, 'snapshot.sequence: not a whole number from 0 to 9007199254740991'],
  [
    { delta: { previous: 1, sequence: 2, changes: [{ deleted: { ...good, pod: 'A' } }] } },
    'delta.changes[0].deleted.pod: not the name of a pod',
  ],
  [
    { delta: { previous: 1, sequence: 2, changes: [{ set: { ...good, pool: '-' } }] } },
    'delta.changes[0].set.pool: not the name of a pool',
  ],
];
for (const [index, [message, details]] of wrong.entries()) {
  test(`refused, with the place (${index}): ${details}`, (t) => {
    const refusal = t.throws(() => readReport(message), { instanceOf: Refusal });
    t.is(refusal?.code, status.INVALID_ARGUMENT);
    t.is(refusal?.details, details);
  });
}

test('what a newer agent may say is passed over: kinds of messages and changes, protocols, types of addresses', (t) => {
  t.deepEqual(readReport({}), { kind: 'unknown' });
  t.deepEqual(readReport(snapshot({ protocol: 9 as berth.v1.Protocol })), {
    kind: 'snapshot',
    part: { mappings: [], sequence: 1 },
  });
  t.like(readReport({ delta: { previous: 1, sequence: 2, changes: [{}] } }), { kind: 'delta' });
  const type = 99 as wire.v1.NodeAddress.Type;
  t.like(readReport({ status: { addresses: [{ type, address: 'x' }] } }), { kind: 'status' });
});

test('any bytes are refused or read, and nothing else happens', (t) => {
  const text = fc.oneof(fc.string(), fc.constantFrom('shop', 'cart-0', 'web', '10.0.0.5'));
  const mapping = fc.record({
    namespace: text,
    pod: text,
    podUid: text,
    name: text,
    protocol: fc.nat(4),
    hostPort: fc.nat(),
    endPort: fc.nat(),
    containerPort: fc.nat(),
    podIps: fc.array(text, { maxLength: 3 }),
    hostIp: text,
  });
  const reads = (message: Request): boolean => {
    try {
      return readReport(message).kind !== undefined;
    } catch (error) {
      return error instanceof Refusal;
    }
  };
  t.notThrows(() => {
    fc.assert(
      fc.property(fc.array(mapping, { maxLength: 3 }), (mappings) => reads({ snapshot: { mappings } })),
      { numRuns: 2_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        let message: Request;
        try {
          message = ReportService.report.requestDeserialize(Buffer.from(bytes));
        } catch {
          return true;
        }
        return reads(message);
      }),
      { numRuns: 5_000 },
    );
  });
});

const endings: readonly (readonly [string, readonly (Request | Buffer)[], status, RegExp])[] = [
  [
    'a stream that does not begin with Hello',
    [snapshot()],
    status.INVALID_ARGUMENT,
    /^hello: must be the first message$/,
  ],
  ['a second Hello', [hello(), hello()], status.INVALID_ARGUMENT, /^hello: a second one$/],
  [
    'a message that breaks the contract',
    [hello(), snapshot({ pod: '' })],
    status.INVALID_ARGUMENT,
    /^snapshot\.mappings\[0\]\.pod: required$/,
  ],
  [
    'bytes that are no message',
    [hello(), Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])],
    status.INTERNAL,
    /deserializing/,
  ],
  [
    'a message of more than 1 MiB',
    [hello(), Buffer.alloc(1024 * 1024 + 1)],
    status.RESOURCE_EXHAUSTED,
    /^the message is longer than 1048576 bytes$/,
  ],
  [
    'more messages than are allowed',
    [hello(), ...Array(1_100).fill({ status: {} })],
    status.RESOURCE_EXHAUSTED,
    /^more than 100 messages a second$/,
  ],
];
for (const [title, messages, code, details] of endings) {
  test(`I10: ${title} ends its stream with ${status[code]}, and no other`, async (t) => {
    const { address, cluster } = await aggregator(t);
    const other = rawReport(t, address);
    other.write(hello({ node: 'node-b' }));
    other.write(snapshot());
    await eventually(() => cluster.mappings.size === 1);
    const stream = rawReport(t, address);
    for (const message of messages) stream.write(message);
    const ended = await stream.ended;
    t.is(ended.code, code, ended.details);
    t.regex(ended.details, details);
    t.deepEqual(await listed(clientOf(t, address)), ['node-b/cart-0:20000']);
    t.falsy(cluster.records.get('node-b')?.stale);
  });
}

test('I10: more mappings than a node may have end its stream with RESOURCE_EXHAUSTED', async (t) => {
  const { address } = await aggregator(t, { limits: { mappings: 1 } });
  const stream = rawReport(t, address);
  stream.write(hello());
  stream.write({ snapshot: { mappings: [good, { ...good, pod: 'cart-1' }], last: true, sequence: 1 } });
  t.like(await stream.ended, { code: status.RESOURCE_EXHAUSTED, details: 'node node-a: more than 1 mappings' });
});

test('an agent is told that it was accepted, by which replica, and which state is answered from', async (t) => {
  const { address } = await aggregator(t);
  const stream = rawReport(t, address);
  stream.write(hello());
  stream.write(snapshot());
  await eventually(() => stream.responses.length === 2);
  t.regex(stream.responses[0]?.accepted?.replica ?? '', /^[0-9a-f-]{36}$/);
  t.is(stream.responses[1]?.ack?.sequence, 1);
  stream.write({ delta: { previous: 7, sequence: 8 } });
  await eventually(() => stream.responses.length === 3);
  t.is(stream.responses[2]?.resync?.reason, 'the delta changes state 7, known is state 1');
});

test('an aggregator that stops says UNAVAILABLE to its agents', async (t) => {
  const { address, stop, cluster } = await aggregator(t);
  const stream = rawReport(t, address);
  stream.write(hello());
  await eventually(() => cluster.records.size === 1);
  await stop();
  t.like(await stream.ended, { code: status.UNAVAILABLE, details: 'the aggregator is stopping' });
});
