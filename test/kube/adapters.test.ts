import test from 'ava';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { findInCluster, openKubernetes } from '../../daemon/kubernetes.ts';
import { podObject } from './objects.ts';
import { Scratch, until } from './scratch.ts';
import { StandIn } from './standin/server.ts';

const MAPPED = {
  annotations: { 'port.berth.dev/web': '23117' },
  condition: { status: 'True', reason: 'PortsMapped', message: 'mapped' },
} as const;

function kubeconfig(scratch: Scratch, server: string): string {
  scratch.put('config', {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'test', user: { token: 'of-file' } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  });
  return scratch.join('config');
}

function reports(said: string[]) {
  const end = new AbortController();
  const say = (error: unknown) => void said.push(String(error));
  return { end, signal: end.signal, warn: say, podsFailed: say, publishFailed: say };
}

test('the adapters of a cluster: labels of the node, pods as they come, and results written before the end', async (t) => {
  await using server = await StandIn.start();
  using scratch = new Scratch();
  const said: string[] = [];
  const around = reports(said);
  const options = {
    nodeName: 'node-a',
    nodeLabels: { disk: 'ssd' },
    kubeconfig: kubeconfig(scratch, server.url),
    reconnectCapMs: 1_000,
  };
  // Once the server is away: the labels are waited for.
  let left = 1;
  server.fault = () => (left-- > 0 ? { kind: 'refuseConnection' } : undefined);
  const adapters = await openKubernetes(options, around);
  t.deepEqual(adapters.labels, { tier: 'edge', disk: 'ssd' });
  t.is(said.length, 1);

  let pod: Pod | undefined;
  const observer = {
    listed: () => {},
    changed: (one: Pod) => {
      pod = one;
    },
    deleted: () => {},
    failed: (error: Error) => void said.push(error.message),
  };
  const watched = adapters.source.watch(observer, around.signal);
  await until(() => server.watches === 1);
  server.store.put(podObject());
  await until(() => pod !== undefined);
  adapters.publisher.publish(pod as Pod, MAPPED);
  around.end.abort();
  await watched;
  await adapters.close();
  t.is(server.store.pods.get('shop/web')?.metadata.annotations['port.berth.dev/web'], '23117');
  t.is((await findInCluster(options, 'shop', 'web'))?.condition?.reason, 'PortsMapped');
  t.is(said.length, 1);
});

test('an agent that reports knows the addresses of its Node, and closes with the reading of them under way', async (t) => {
  await using server = await StandIn.start();
  using scratch = new Scratch();
  const addresses = [{ type: 'ExternalIP', address: '198.51.100.1' }];
  server.store.nodes.set('node-a', { kind: 'Node', metadata: { name: 'node-a' }, status: { addresses } } as never);
  const options = {
    nodeName: 'node-a',
    nodeLabels: {},
    kubeconfig: kubeconfig(scratch, server.url),
    reconnectCapMs: 1_000,
    aggregator: [{ host: '127.0.0.1', port: 1, literal: true }],
  };
  const adapters = await openKubernetes(options, reports([]));
  t.deepEqual(adapters.addresses, [{ type: 'external-ip', address: '198.51.100.1' }]);
  await adapters.close();
});

for (const [code, what] of [
  [404, /there is no node node-a.*give --node-name as kubectl get nodes prints it/],
  [403, /allow the agent's service account to get nodes, or give --node-labels/],
] as const) {
  test(`labels of the node that cannot be had (${code}) keep no agent from working`, async (t) => {
    await using server = await StandIn.start();
    using scratch = new Scratch();
    server.fault = () => ({ kind: 'status', code });
    const said: string[] = [];
    const options = {
      nodeName: 'node-a',
      nodeLabels: {},
      kubeconfig: kubeconfig(scratch, server.url),
      reconnectCapMs: 1_000,
    };
    const adapters = await openKubernetes(options, reports(said));
    t.deepEqual(adapters.labels, {});
    t.regex(said[0] ?? '', what);
    await adapters.close();
  });
}
