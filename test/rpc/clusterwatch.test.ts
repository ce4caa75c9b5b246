/** Watches of an aggregator over real sockets whose clients read slowly, or not at all. */
import { once } from 'node:events';
import { connect } from 'node:http2';
import test from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { MappingService } from '../../proto/service.ts';
import { agent, aggregator, eventually } from './clusterfixture.ts';
import { mapping, NODE, NOW } from './fixture.ts';
import { framed } from './rawcall.ts';
import { type Answer, slowWatch } from './slowwatch.ts';

/** About 3 KiB on the wire: what connections buffer is full after some hundreds. */
const allowFrom = Array.from({ length: 64 }, (_, index) => ({
  family: 6 as const,
  text: `2001:db8:aaaa:bbbb:cccc:dddd:eeee:${(0x1000 + index).toString(16)}/128`,
}));

test('I10: a slow watcher gets the latest state of what changed meanwhile, and the others notice nothing', async (t) => {
  const { cluster, address, served } = await aggregator(t);
  await eventually(() => served.ready);
  const slow = slowWatch(t, address);
  const other = slowWatch(t, address);
  await Promise.all([slow.synced(), other.synced()]);
  const heardOf = (last: number) => (answer: Answer) =>
    (answer.changes ?? []).some(({ set }) => set?.hostPort === last);
  for (let step = 1; step <= 3_000; step += 1) {
    cluster.mappings.set(NODE, mapping(`p-${step % 10}`, { hostPort: step, allowFrom }), NOW);
    if (step % 100 === 0) for (const isLast = heardOf(step); !isLast(await other.next()); );
  }
  const ports = new Map<string, number>();
  let heard = 0;
  for (let last = 0; last !== 3_000; ) {
    for (const { set } of (await slow.next()).changes ?? []) {
      heard += 1;
      last = set?.hostPort ?? 0;
      ports.set(set?.pod ?? '', last);
    }
  }
  t.log(`${heard} of 3,000 changes were sent`);
  t.true(heard < 2_000);
  t.deepEqual([...ports.values()].sort(), [2_991, 2_992, 2_993, 2_994, 2_995, 2_996, 2_997, 2_998, 2_999, 3_000]);
});

test('I10: a watcher slower than the history is cut with RESOURCE_EXHAUSTED, and the others are not', async (t) => {
  const { cluster, address, served } = await aggregator(t, { limits: { history: 100 } });
  await eventually(() => served.ready);
  const slow = slowWatch(t, address);
  const other = slowWatch(t, address);
  await Promise.all([slow.synced(), other.synced()]);
  for (let step = 1; step <= 1_500; step += 1) {
    cluster.mappings.set(NODE, mapping(`p-${step % 300}`, { hostPort: step, allowFrom }), NOW);
    if (step % 50 === 0) while ((await other.next()).changes?.at(-1)?.set?.hostPort !== step);
  }
  t.is(await slow.end(), '8 the client reads too slowly: changes were lost');
  cluster.mappings.delete(NODE, mapping('p-1').pod, 'web', 'TCP');
  t.is((await other.next()).changes?.[0]?.deleted?.pod, 'p-1');
  t.is(served.watchers, 1);
});

test('I10: a watcher that reads nothing for half a minute is cut, and its connection with it', async (t) => {
  // Half a minute is half a second.
  const clock = {
    ...systemClock,
    after: (ms: number, call: () => void) => systemClock.after(ms === 30_000 ? 500 : ms, call),
  };
  const { cluster, address, served, heard } = await aggregator(t, { clock, readyMs: 0 });
  for (let index = 0; index < 4_000; index += 1) cluster.mappings.set(NODE, mapping(`p-${index}`, { allowFrom }), NOW);
  await eventually(() => served.ready);
  const other = slowWatch(t, address, { namespace: 'other' });
  await other.synced();
  const greedy = slowWatch(t, address, {}, 0);
  await eventually(() => served.watchers === 2);
  await eventually(() => served.watchers === 1);
  // The end of the watch is stuck behind what it does not read.
  t.regex(await greedy.end(), /^reset/);
  const { pod } = mapping('late');
  cluster.mappings.set(NODE, mapping('late', { pod: { ...pod, namespace: 'other' } }), NOW);
  t.is((await other.next()).changes?.[0]?.set?.pod, 'late');
  t.deepEqual(heard, []);
});

test('the state comes in parts, and what changes in a part that was told is told once more, before it is synced', async (t) => {
  const { cluster, address, served } = await aggregator(t);
  const name = (index: number) => `p-${String(index).padStart(4, '0')}`;
  for (let index = 0; index < 4_000; index += 1) cluster.mappings.set(NODE, mapping(name(index), { allowFrom }), NOW);
  await eventually(() => served.ready);
  const slow = slowWatch(t, address);
  const first = await slow.next();
  t.falsy(first.synced);
  // Of the part that was told, of one that was not, and what came and went while nobody read it.
  cluster.mappings.set(NODE, mapping(name(0), { hostPort: 1 }), NOW);
  cluster.mappings.delete(NODE, mapping(name(1)).pod, 'web', 'TCP');
  cluster.mappings.set(NODE, mapping(name(3_998), { hostPort: 2 }), NOW);
  cluster.mappings.delete(NODE, mapping(name(3_999)).pod, 'web', 'TCP');
  cluster.mappings.set(NODE, mapping('p-9999'), NOW);
  const told = [first, ...(await slow.synced())];
  const state = new Map<string, number>();
  const times = new Map<string, number>();
  for (const { set, deleted } of told.flatMap(({ changes }) => changes ?? [])) {
    const pod = set?.pod ?? deleted?.pod ?? '';
    times.set(pod, (times.get(pod) ?? 0) + 1);
    if (set) state.set(pod, set.hostPort ?? 0);
    else t.true(state.delete(pod), `${pod} was told to be gone, and had not been told`);
  }
  t.is(state.size, 3_999);
  t.deepEqual(
    [state.get(name(0)), state.get(name(1)), state.get(name(3_998)), state.get(name(3_999)), state.get('p-9999')],
    [1, undefined, 2, undefined, 20_000],
  );
  t.deepEqual(
    [...times].filter(([, count]) => count > 1).map(([pod]) => pod),
    [name(0), name(1)],
  );
  t.true(told.slice(0, -1).every(({ synced, revision }) => !synced && revision === ''));
  // What it was told is where it goes on.
  cluster.mappings.set(NODE, mapping('later'), NOW);
  t.is((await slow.next()).changes?.[0]?.set?.pod, 'later');
});

test('I10: watchers, streams and connections have limits; who goes makes room', async (t) => {
  const { address, served } = await aggregator(t, {
    server: { watchers: { ofAll: 2, ofOne: 2 }, connections: { ofAll: 4, ofOne: 4 } },
  });
  await eventually(() => served.ready);
  const watches = [slowWatch(t, address), slowWatch(t, address)];
  await Promise.all(watches.map(({ synced }) => synced()));
  t.is(await slowWatch(t, address).end(), '8 at most 2 clients can watch at once');
  t.is(await slowWatch(t, address).end(), '8 at most 2 clients can watch at once');
  t.regex(await slowWatch(t, address).end(), /^reset/);
  watches[0]?.close();
  await eventually(() => served.watchers === 1);
  await slowWatch(t, address).synced();
  t.is(served.watchers, 2);
});

test('I10: a connection has at most 100 streams, and one that ends makes room', async (t) => {
  const { address, served } = await aggregator(t);
  await eventually(() => served.ready);
  const session = connect(`http://${address}`);
  session.on('error', () => {});
  t.teardown(() => session.destroy());
  await once(session, 'remoteSettings');
  t.is(session.remoteSettings.maxConcurrentStreams, 100);
  const { path, requestSerialize } = MappingService.watch;
  let answered = 0;
  const open = () => {
    const grpc = { 'content-type': 'application/grpc', te: 'trailers' };
    const stream = session.request({ ':method': 'POST', ':path': path, ...grpc });
    stream.on('error', () => {});
    stream.once('data', () => {
      answered += 1;
    });
    stream.end(framed(requestSerialize({})));
    return stream;
  };
  const streams = Array.from({ length: 101 }, open);
  await eventually(() => served.watchers === 100 && answered === 100);
  await new Promise((resolve) => session.ping(resolve));
  t.is(answered, 100, 'a client that has heard of the limit waits');
  streams[0]?.close();
  // Node resets one that comes so soon that it has not forgotten the other.
  await eventually(() => answered > 100 || streams[100]?.closed === true);
  while (answered === 100) {
    const next = open();
    await eventually(() => answered > 100 || next.closed);
  }
  t.is(served.watchers, 100);
});

test('I10: when all nodes go at once, more mappings than the history holds go stale, and no watch is lost', async (t) => {
  const limits = { history: 2_000, sweep: 500, graceMs: 0 };
  const { cluster, address, served } = await aggregator(t, { limits });
  const agents = Array.from({ length: 10 }, (_, node) => {
    const registry = new MappingRegistry();
    for (let index = 0; index < 400; index += 1) registry.set(`n${node}`, mapping(`p-${index}`), NOW);
    return agent(t, [address], { node: `n${node}`, registry });
  });
  await eventually(() => served.ready && cluster.mappings.size === 4_000);
  const watch = slowWatch(t, address);
  await watch.synced();
  for (const { reporter } of agents) reporter[Symbol.dispose]();
  const stale = new Set<string>();
  while (stale.size < 4_000) {
    for (const { set } of (await watch.next()).changes ?? []) if (set?.stale) stale.add(`${set.node}/${set.pod}`);
  }
  t.is(served.watchers, 1);
});
