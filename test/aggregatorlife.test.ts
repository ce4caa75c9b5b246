/** Beginning and end of `berth aggregator` as a process: what its clients and agents see of them. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import test from 'ava';
import { connect } from '../daemon/client.ts';
import { MappingRegistry } from '../daemon/core/registry.ts';
import { MappingService } from '../proto/service.ts';
import { running, starting } from './aggregatorprocess.ts';
import { agent, eventually } from './rpc/clusterfixture.ts';
import { mapping, NOW } from './rpc/fixture.ts';
import { slowWatch } from './rpc/slowwatch.ts';
import { authority, serverOf } from './rpc/tls/material.ts';
import { outcome } from './rpc/tls/secured.ts';

test.serial(
  'SIGTERM with open watches: each is told, clients go on at the other replica, and the process ends by itself',
  async (t) => {
    const [one, other] = [await running(t, '--review-tokens=false'), await running(t, '--review-tokens=false')];
    const addresses = [one, other].map((each) => each.addresses[0] ?? '');
    const registry = new MappingRegistry();
    registry.set('node-a', mapping('cart-0'), NOW);
    const { heard } = agent(t, addresses, { registry });
    await eventually(() => heard.filter((line) => line.startsWith('connected')).length === 2);
    const abort = new AbortController();
    const client = connect({ aggregator: addresses });
    t.teardown(() => {
      abort.abort();
      client[Symbol.dispose]();
    });
    const events = client.watch({}, { signal: abort.signal });
    const told: string[] = [];
    const next = async () => {
      const { value } = await events.next();
      if (value === undefined) throw new Error('the watch ended');
      told.push('mapping' in value ? `${value.kind} ${value.mapping.pod}` : value.kind);
    };
    while (!told.includes('live cart-0') || !told.includes('synced')) await next();
    const watches = Array.from({ length: 50 }, () => slowWatch(t, addresses[0] ?? ''));
    await Promise.all(watches.map(({ synced }) => synced()));

    told.length = 0;
    one.child.kill('SIGTERM');
    const exited = once(one.child, 'exit');
    for (const watch of watches) t.is(await watch.end(), '14 the server is stopping');
    // Idle connections do not hold it up: it has no need of its time of grace.
    for (const { close } of watches) close();
    t.deepEqual(await exited, [0, null]);
    t.truthy(one.logged('stopped'));
    while (!told.includes('synced')) await next();
    registry.set('node-a', mapping('cart-1'), NOW);
    while (!told.includes('live cart-1')) await next();
    t.deepEqual(told, ['lost', 'synced', 'live cart-1']);
    t.true(heard.some((line) => line === 'lost UNAVAILABLE the aggregator is stopping'));
  },
);

test.serial('a node whose agent is gone is stale after --stale-after, and forgotten after --drop-after', async (t) => {
  const { addresses } = await running(t, '--review-tokens=false', '--stale-after=1s', '--drop-after=3s');
  const registry = new MappingRegistry();
  registry.set('node-a', mapping('cart-0'), NOW);
  const { reporter } = agent(t, addresses, { registry });
  using client = connect({ aggregator: addresses });
  const told: string[] = [];
  for await (const event of client.watch({}, { signal: AbortSignal.timeout(60_000) })) {
    if (!('mapping' in event)) continue;
    told.push(`${event.kind}${event.mapping.stale ? ' stale' : ''}`);
    if (told.length === 1) reporter[Symbol.dispose]();
    if (event.kind === 'gone') break;
  }
  t.deepEqual(told, ['live', 'changed stale', 'gone stale']);
});

test.serial('SIGTERM with a client that never closes: the process ends after its time of grace', async (t) => {
  const { child, addresses, metrics } = await running(t, '--review-tokens=false');
  const watch = slowWatch(t, addresses[0] ?? '', {}, 0);
  const exposed = async () => (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  while (!/^berth_watchers 1$/m.test(await exposed()));
  const socket = connectTcp(Number(addresses[0]?.split(':').at(-1)), '127.0.0.1');
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  t.deepEqual(await exited, [0, null]);
  t.regex(await watch.end(), /^reset/);
});

test.serial(
  'without a certificate there is no door at all, and no readiness: no agent could come in, and an answer would be empty',
  async (t) => {
    const place = mkdtempSync(join(tmpdir(), 'berth-certificate-'));
    t.teardown(() => rmSync(place, { recursive: true, force: true }));
    const at = (name: string) => join(place, name);
    const flags = ['--secure-listen=127.0.0.1:0', `--tls-cert=${at('tls.crt')}`, `--tls-key=${at('tls.key')}`];
    const begun = await starting(t, flags);
    await eventually(() => begun.logged('failure') !== undefined);
    t.is(begun.logged('failure')?.operation, 'certificates');
    t.is(begun.logged('listening'), undefined);
    const { cert, key } = serverOf(authority());
    writeFileSync(at('tls.key'), key);
    writeFileSync(at('tls.crt'), cert);
    await eventually(() => begun.logged('listening') !== undefined);
    t.is(begun.addresses.length, 2);
    const client = new Client(begun.addresses[0] ?? '', credentials.createInsecure());
    t.teardown(() => client.close());
    await eventually(() => begun.logged('ready') !== undefined);
    t.is(await outcome(client, MappingService.list, {}), 'OK');
  },
);

test.serial('SIGTERM while it waits for its first certificate ends it at once', async (t) => {
  const flags = ['--secure-listen=127.0.0.1:0', '--tls-cert=/nonexistent/tls.crt', '--tls-key=/nonexistent/tls.key'];
  const begun = await starting(t, flags);
  await eventually(() => begun.logged('failure') !== undefined);
  const exited = once(begun.child, 'exit');
  begun.child.kill('SIGTERM');
  t.deepEqual(await exited, [0, null]);
});
