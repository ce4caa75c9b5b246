/** Clients that ask and do not read, over real sockets: what an aggregator holds for them, and for how long. */
import type { ClientHttp2Session } from 'node:http2';
import { connect } from 'node:http2';
import test, { type ExecutionContext } from 'ava';
import { OUTBOX_LIMITS } from '../../daemon/rpc/outbox.ts';
import { MappingService, NodeService } from '../../proto/service.ts';
import { type Aggregator, aggregator, clientOf, eventually, listed, rawReport } from './clusterfixture.ts';
import { mapping, NOW } from './fixture.ts';
import { framed, rawCallOn } from './rawcall.ts';
import { CA, outcome, owner, secured } from './tls/secured.ts';

const PAGE = framed(MappingService.list.requestSerialize({ pageSize: 1_000 }));

/** One that grants the server no window: it may say how a call ended, and nothing else. */
async function greedy(t: ExecutionContext, { address }: Aggregator): Promise<ClientHttp2Session> {
  const session = connect(`http://${address}`, { settings: { initialWindowSize: 0 } });
  session.on('error', () => {});
  t.teardown(() => session.destroy());
  await new Promise((resolve) => session.once('localSettings', resolve));
  return session;
}

/** Its page of 1,000 mappings has about 85 KB. */
async function filled(t: ExecutionContext, options: Parameters<typeof aggregator>[1]): Promise<Aggregator> {
  const made = await aggregator(t, options);
  for (let index = 0; index < 1_000; index++) made.cluster.mappings.set('node-a', mapping(`p-${index}`), NOW);
  await eventually(() => made.served.ready);
  return made;
}

test('V15: answers that are not read are refused beyond a bound of their connection, and others are answered', async (t) => {
  const one = await filled(t, { server: { outbox: { ...OUTBOX_LIMITS, ofConnection: 150_000 } } });
  const session = await greedy(t, one);
  const statuses: string[] = [];
  for (let count = 0; count < 20; count++) {
    void rawCallOn(session, MappingService.list.path, PAGE, { unread: true }).then((status) => statuses.push(status));
  }
  await eventually(() => statuses.length === 18);
  // RESOURCE_EXHAUSTED.
  t.true(statuses.every((status) => status === '8'));
  t.is((await listed(clientOf(t, one.address))).length, 500);
});

test('V15: over all connections too there is a bound, and who asks then is told to try again', async (t) => {
  const one = await filled(t, { server: { outbox: { ...OUTBOX_LIMITS, ofAll: 150_000 } } });
  const sessions = await Promise.all(Array.from({ length: 5 }, () => greedy(t, one)));
  const statuses: string[] = [];
  for (const session of sessions) {
    void rawCallOn(session, MappingService.list.path, PAGE, { unread: true }).then((status) => statuses.push(status));
  }
  await eventually(() => statuses.length === 3);
  const client = clientOf(t, one.address);
  t.is(
    await outcome(client, MappingService.list, {}),
    'RESOURCE_EXHAUSTED 150000 bytes of answers wait to be read: try again',
  );
  // Who goes leaves room.
  for (const session of sessions) session.destroy();
  while ((await outcome(client, MappingService.list, {})) !== 'OK');
  t.is(await outcome(client, NodeService.listNodes, {}), 'OK');
});

test('V15: who does not read the end of a call loses its connection, and nobody else does', async (t) => {
  const one = await filled(t, { server: { outbox: { ...OUTBOX_LIMITS, takenMs: 100 } } });
  const stream = rawReport(t, one.address);
  stream.write({ hello: { node: 'node-a', bootId: 'boot-1', epoch: 1, version: '1' } });
  await eventually(() => stream.responses.length > 0);
  const session = await greedy(t, one);
  const closed = new Promise((resolve) => session.once('close', resolve));
  void rawCallOn(session, MappingService.list.path, PAGE, { unread: true });
  await closed;
  t.is(one.served.streams, 1);
  t.is((await listed(clientOf(t, one.address))).length, 500);
});

test('V15: so it is over TLS', async (t) => {
  const { address, cluster, tokens, rights } = await secured(t, {
    server: { outbox: { ...OUTBOX_LIMITS, takenMs: 100 } },
  });
  for (let index = 0; index < 1_000; index++) cluster.mappings.set('node-a', mapping(`p-${index}`), NOW);
  tokens.set('ann', owner('ann'));
  rights.add('ann list *');
  const session = connect(`https://${address}`, {
    ca: CA.cert,
    servername: 'localhost',
    settings: { initialWindowSize: 0 },
  });
  session.on('error', () => {});
  t.teardown(() => session.destroy());
  await new Promise((resolve) => session.once('localSettings', resolve));
  const closed = new Promise((resolve) => session.once('close', resolve));
  const headers = { authorization: 'Bearer ann' };
  void rawCallOn(session, MappingService.list.path, PAGE, { headers, unread: true });
  await closed;
  t.pass();
});
