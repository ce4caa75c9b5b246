import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import test from 'ava';
import { type HolderProbe, listSockets, probeHolder } from '../../../daemon/ops/doctor/holderprobe.ts';

const unused = { sockets: new Map(), agent: undefined, isFree: () => true } satisfies HolderProbe;

test('a listening socket belongs to its process, or is that of the agent', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets = await listSockets();
  const ask = (agent: number | undefined) => probeHolder({ protocol: 'TCP', port }, 1, { ...unused, sockets, agent });
  const other = await ask(undefined);
  t.true(
    other.kind === 'seen' && other.value.kind === 'process' && other.value.process?.pid === process.pid,
    JSON.stringify(other),
  );
  t.deepEqual(await ask(process.pid), { kind: 'seen', value: { kind: 'agent' } });
  const elsewhere = await probeHolder({ protocol: 'TCP', port, hostIP: '192.0.2.7' }, 1, { ...unused, sockets });
  t.deepEqual(elsewhere, { kind: 'seen', value: { kind: 'nobody' } });
});

test('a TCP number that is in no list is bound, or free, as an attempt to bind it tells', async (t) => {
  const ask = (isFree: () => boolean) => probeHolder({ protocol: 'TCP', port: 20_000 }, 1, { ...unused, isFree });
  t.deepEqual(await ask(() => true), { kind: 'seen', value: { kind: 'nobody' } });
  t.deepEqual(await ask(() => false), { kind: 'seen', value: { kind: 'bound' } });
  const failing = await ask(() => {
    throw new Error('EPERM');
  });
  t.deepEqual(failing, { kind: 'unseen', why: 'EPERM' });
});

test('of a block the first number that is not held counts', async (t) => {
  const probe = { ...unused, isFree: ({ port }: { port: number }) => port === 20_002 };
  const held = await probeHolder({ protocol: 'TCP', port: 20_000 }, 2, probe);
  t.deepEqual(held, { kind: 'seen', value: { kind: 'bound' } });
  const broken = await probeHolder({ protocol: 'TCP', port: 20_000 }, 4, probe);
  t.deepEqual(broken, { kind: 'seen', value: { kind: 'nobody' } });
});
