import test from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { MappingService, NodeService } from '../../proto/service.ts';
import { agent, aggregator, ask, clientOf, eventually, listed } from './clusterfixture.ts';
import { mapping, NOW } from './fixture.ts';

test('I9: what an agent has, had before it connected and changes afterwards is what the aggregator answers', async (t) => {
  const { cluster, address } = await aggregator(t);
  const registry = new MappingRegistry();
  registry.set('node-a', mapping('early'), NOW);
  agent(t, [address], { registry });
  const client = clientOf(t, address);
  await eventually(() => cluster.mappings.size === 1);
  t.deepEqual(await listed(client), ['node-a/early:20000']);
  registry.set('node-a', mapping('late', { hostPort: 20_001 }), NOW);
  registry.delete('node-a', mapping('early').pod, 'web', 'TCP');
  await eventually(() => cluster.mappings.revision === 3);
  t.deepEqual(await listed(client), ['node-a/late:20001']);

  const got = await ask(client, MappingService.get, { namespace: 'shop', pod: 'late' });
  t.deepEqual(got.mappings[0]?.nodeAddresses, ['192.0.2.10']);
  t.like(got.freshness?.complete, { nodesHeard: 1, nodesKnown: 1 });
  t.truthy(got.freshness?.lastHeard);
  const { nodes } = await ask(client, NodeService.listNodes, {});
  t.is(nodes.length, 1);
  const [node] = nodes;
  t.like(node, { name: 'node-a', stale: false, mappings: 1, bootId: 'boot-1', epoch: 1, agentVersion: '1.2.3' });
  t.like(node?.pools?.[0], { name: 'default', ports: 100, freeTcp: 99, freeUdp: 98, freeSctp: 97 });
  t.deepEqual(cluster.records.get('node-a')?.status.pools[0]?.ranges, [{ first: 20_000, last: 20_099 }]);
});

test('two replicas are told the same, each by itself', async (t) => {
  const one = await aggregator(t);
  const two = await aggregator(t);
  const { registry, reporter } = agent(t, [one.address, two.address]);
  registry.set('node-a', mapping('a'), NOW);
  await eventually(() => one.cluster.mappings.size === 1 && two.cluster.mappings.size === 1);
  t.is(reporter.connected, 2);
  await one.stop();
  registry.set('node-a', mapping('b', { hostPort: 20_001 }), NOW);
  await eventually(() => two.cluster.mappings.size === 2);
  t.is(one.cluster.mappings.size, 1);
});

test('a replica that is restarted knows nothing, and is told everything again', async (t) => {
  const first = await aggregator(t);
  const { registry } = agent(t, [first.address]);
  registry.set('node-a', mapping('a'), NOW);
  await eventually(() => first.cluster.mappings.size === 1);
  await first.stop();
  const second = await aggregator(t, { port: Number(first.address.split(':').at(-1)) });
  await eventually(() => second.cluster.mappings.size === 1);
  t.deepEqual(await listed(clientOf(t, second.address)), ['node-a/a:20000']);
});

test('two agents of one node: the newer epoch wins, and the other one is told', async (t) => {
  const { cluster, address } = await aggregator(t);
  const old = agent(t, [address], { epoch: 1 });
  old.registry.set('node-a', mapping('old'), NOW);
  await eventually(() => cluster.mappings.size === 1);
  const young = agent(t, [address], { epoch: 2 });
  young.registry.set('node-a', mapping('new'), NOW);
  await eventually(() => old.heard.some((line) => line.startsWith('lost')));
  t.regex(
    old.heard.at(-1) ?? '',
    /^lost ABORTED node node-a: the agent with epoch 2 \(boot boot-1\) speaks for it, not .*1/,
  );
  const client = clientOf(t, address);
  t.deepEqual(await listed(client), ['node-a/new:20000']);
  // What it goes on to say, it says to itself.
  old.registry.set('node-a', mapping('older'), NOW);
  young.registry.set('node-a', mapping('newer', { hostPort: 20_001 }), NOW);
  await eventually(() => cluster.mappings.size === 2);
  t.deepEqual(await listed(client), ['node-a/new:20000', 'node-a/newer:20001']);
});

test('an agent with an older epoch is refused', async (t) => {
  const { cluster, address } = await aggregator(t);
  const young = agent(t, [address], { epoch: 2 });
  young.registry.set('node-a', mapping('new'), NOW);
  await eventually(() => cluster.mappings.size === 1);
  const old = agent(t, [address], { epoch: 1 });
  await eventually(() => old.heard.some((line) => line.startsWith('lost ABORTED')));
  t.false(old.heard.some((line) => line.startsWith('connected')));
  t.deepEqual(await listed(clientOf(t, address)), ['node-a/new:20000']);
});

test('an agent that is gone: its mappings stay, are marked stale, and are fresh again when it is back', async (t) => {
  const { cluster, address } = await aggregator(t, { limits: { graceMs: 0 } });
  const first = agent(t, [address], { epoch: 1 });
  first.registry.set('node-a', mapping('a'), NOW);
  await eventually(() => cluster.mappings.size === 1);
  first.reporter[Symbol.dispose]();
  const client = clientOf(t, address);
  await eventually(() => cluster.records.get('node-a')?.stale === true);
  t.deepEqual(await listed(client), ['node-a/a:20000?']);
  agent(t, [address], { epoch: 2, registry: first.registry });
  await eventually(() => cluster.records.get('node-a')?.stale === false);
  t.deepEqual(await listed(client), ['node-a/a:20000']);
});
