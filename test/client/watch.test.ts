/** A watch that goes from replica to replica, over real sockets, and what it tells meanwhile. */
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { connect, type WatchEvent } from '../../daemon/client.ts';
import { type Handlers, MappingService } from '../../proto/service.ts';
import { eventually } from '../rpc/clusterfixture.ts';
import { mapping, NOW } from '../rpc/fixture.ts';
import { deadAddress, replicas, silentAddress } from './replicas.ts';
import { begin, readUntil } from './terminal.ts';

function watched(t: ExecutionContext, aggregator: string, options: { readonly patient?: boolean } = {}) {
  const abort = new AbortController();
  const client = connect({ aggregator: aggregator.split(',') });
  t.teardown(() => {
    abort.abort();
    client[Symbol.dispose]();
  });
  const events = client.watch({}, { signal: abort.signal, ...options });
  const next = async (count = 1): Promise<string[]> => {
    const told: string[] = [];
    while (told.length < count) {
      const { value } = await events.next();
      if (value === undefined) return [...told, 'end'];
      told.push(shownEvent(value));
    }
    return told;
  };
  return { next, interrupt: () => abort.abort() };
}

function shownEvent(event: WatchEvent): string {
  return 'mapping' in event ? `${event.kind} ${event.mapping.pod}:${event.mapping.hostPort}` : event.kind;
}

test('the end of a replica: the next one is asked, and only what differs is told', async (t) => {
  const { each, addresses, node } = await replicas(t, 2);
  const { registry } = await node('node-a', mapping('cart-0'), mapping('cart-1', { hostPort: 20_001 }));
  const { next, interrupt } = watched(t, addresses);
  t.deepEqual(await next(3), ['live cart-0:20000', 'live cart-1:20001', 'synced']);

  const lost = next();
  await each[0]?.stop();
  t.deepEqual(await lost, ['lost']);
  registry.set('node-a', mapping('cart-1', { hostPort: 20_007 }), NOW);
  registry.set('node-a', mapping('cart-2', { hostPort: 20_002 }), NOW);
  registry.delete('node-a', mapping('cart-0').pod, 'web', 'TCP');
  await eventually(() => each[1]?.cluster.mappings.size === 2);
  const told = await next(4);
  t.deepEqual(told.toSorted(), ['changed cart-1:20007', 'gone cart-0:20000', 'live cart-2:20002', 'synced'].toSorted());
  t.is(told.at(-1), 'synced');

  registry.set('node-a', mapping('cart-3', { hostPort: 20_003 }), NOW);
  t.deepEqual(await next(), ['live cart-3:20003']);
  interrupt();
  t.deepEqual(await next(), ['end']);
});

test('a replica that comes back as another process is watched anew, and nothing is told twice', async (t) => {
  const first = await replicas(t, 1);
  await first.node('node-a', mapping('cart-0'));
  const { next } = watched(t, first.addresses);
  t.deepEqual(await next(2), ['live cart-0:20000', 'synced']);
  const lost = next();
  await first.each[0]?.stop();
  t.deepEqual(await lost, ['lost']);
  const again = await replicas(t, 1, { port: Number(first.addresses.split(':')[1]) });
  await eventually(() => again.each[0]?.cluster.mappings.size === 1);
  // It may have been asked before the node had reported: what it did not know then came back since.
  const told = await next();
  if (told[0] === 'gone cart-0:20000') t.deepEqual(await next(2), ['synced', 'live cart-0:20000']);
  else t.deepEqual(told, ['synced']);
});

test('replicas that are down at the beginning are passed over; without any that answers it is an error', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  await node('node-a', mapping('cart-0'));
  const dead = await deadAddress();
  const { next } = watched(t, `${dead},${addresses}`);
  t.deepEqual(await next(2), ['live cart-0:20000', 'synced']);
  await t.throwsAsync(watched(t, dead).next(), { code: 'RPC_FAILED', message: /^nobody listens at / });
});

test('a replica that takes connections and says nothing is passed over', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  await node('node-a', mapping('cart-0'));
  const aggregator = `${await silentAddress(t)},${addresses}`;
  const { next } = watched(t, aggregator);
  using client = connect({ aggregator: aggregator.split(',') });
  const [told, answer] = await Promise.all([next(2), client.get({ namespace: 'shop', pod: 'cart-0' })]);
  t.deepEqual(told, ['live cart-0:20000', 'synced']);
  t.is(answer.mappings.length, 1);
});

test('who is patient waits also for what has never answered', async (t) => {
  const dead = await deadAddress();
  const { next } = watched(t, dead, { patient: true });
  t.deepEqual(await next(), ['lost']);
  const told = next();
  const late = await replicas(t, 1, { port: Number(dead.split(':')[1]) });
  t.deepEqual(await told, ['synced']);
  await late.node('node-a', mapping('cart-0'));
  t.deepEqual(await next(), ['live cart-0:20000']);
});

/** A replica that ends each watch once it has told everything, as one does with watches that are old. */
async function shortWatches(t: ExecutionContext, asked: string[], name: string): Promise<string> {
  const server = new Server();
  server.addService(MappingService, {
    watch: (call) => {
      asked.push(`${name} ${call.request.revision}`);
      const revision = `${name}.${asked.length}`;
      if (asked.length >= 3) call.write({ synced: true, revision, changes: [{ set: { pod: 'late', hostPort: 1 } }] });
      else {
        call.write({ synced: true, revision });
        call.emit('error', { code: status.UNAVAILABLE, details: 'the stream is old: watch again' });
      }
    },
  } satisfies Partial<Handlers<typeof MappingService>>);
  const { promise, resolve } = Promise.withResolvers<number>();
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, port) => resolve(port));
  t.teardown(() => server.forceShutdown());
  return `127.0.0.1:${await promise}`;
}

test('a watch that is ended because it is old is resumed at the same replica, where its revision means something', async (t) => {
  const asked: string[] = [];
  const addresses = [await shortWatches(t, asked, 'one'), await shortWatches(t, asked, 'other')].join(',');
  const { next } = watched(t, addresses);
  t.deepEqual(await next(6), ['synced', 'lost', 'synced', 'lost', 'live late:1', 'synced']);
  t.deepEqual(asked, ['one ', 'one one.1', 'one one.2']);
});

test('berth watch says when it is cut off and connected again, and shows the change as one line', async (t) => {
  const { each, addresses, node } = await replicas(t, 2);
  const { registry } = await node('node-a', mapping('cart-0'));
  const { stdout, stderr, ended, interrupt } = begin(`watch --aggregator ${addresses}`);
  t.regex(await readUntil(stdout, 'cart-0'), /^EVENT .*\nlive .* cart-0 .* live\n$/);
  await each[0]?.stop();
  t.regex(
    await readUntil(stderr, 'connected again\n'),
    /^berth: connection lost, trying again: .*\nberth: connected again\n$/,
  );
  registry.set('node-a', mapping('cart-1', { hostPort: 20_001 }), NOW);
  t.regex(await readUntil(stdout, '\n'), /^live .* cart-1 .*\n$/);
  interrupt();
  t.is(await ended, 0);
});

test('berth watch marks a node that is not heard any more: each of its mappings is shown as changed, and stale', async (t) => {
  const { addresses, node } = await replicas(t, 1, { limits: { graceMs: 0 } });
  const { reporter } = await node('node-a', mapping('cart-0'));
  const { stdout, ended, interrupt } = begin(`watch --aggregator ${addresses}`);
  await readUntil(stdout, 'cart-0');
  reporter[Symbol.dispose]();
  t.regex(await readUntil(stdout, '\n'), /^changed .* cart-0 .* stale\n$/);
  interrupt();
  t.is(await ended, 0);
});
