import test from 'ava';
import { AgentPods } from '../../daemon/kube/agentpods.ts';
import { ManualClock, until } from './scratch.ts';
import { clientOf } from './standin/connected.ts';
import { StandIn } from './standin/server.ts';

function agentPod(node: string, more: object = {}): object {
  return {
    metadata: {
      name: `berth-agent-${node}`,
      namespace: 'berth-system',
      uid: `uid-${node}`,
      labels: { app: 'berth' },
      annotations: {},
    },
    spec: { nodeName: node },
    status: { phase: 'Running' },
    ...more,
  };
}

async function scene() {
  const server = await StandIn.start();
  const clock = new ManualClock();
  const client = clientOf(server.url, clock);
  const nodes: string[] = [];
  const errors: Error[] = [];
  const pods = new AgentPods({
    client,
    namespace: 'berth-system',
    labelSelector: 'app=berth',
    clock,
    random: () => 0.5,
    reconnectCapMs: 8_000,
    onNodes: (known) => nodes.push([...known].sort().join(' ')),
    onError: (error) => errors.push(error),
  });
  const end = new AbortController();
  return {
    server,
    clock,
    nodes,
    errors,
    pods,
    start: () => pods.run(end.signal),
    async [Symbol.asyncDispose]() {
      end.abort();
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

test('the nodes of the agents are known, and follow their pods', async (t) => {
  await using s = await scene();
  s.server.store.put(agentPod('node-a'));
  s.server.store.put(agentPod('node-b'));
  s.server.store.put({
    ...agentPod('node-c'),
    metadata: { name: 'other', namespace: 'berth-system', uid: 'uid-other', annotations: {} },
  });
  s.server.store.put({
    ...agentPod('node-d'),
    metadata: { name: 'x', namespace: 'shop', uid: 'uid-x', labels: { app: 'berth' }, annotations: {} },
  });
  void s.start();
  await until(() => s.nodes.length === 1 && s.server.watches === 1);
  s.server.store.put(agentPod('node-e'));
  await until(() => s.nodes.length === 2);
  s.server.store.remove('berth-system/berth-agent-node-a');
  await until(() => s.nodes.length === 3);
  s.server.store.put(agentPod('node-b', { status: { phase: 'Failed' } }));
  await until(() => s.nodes.length === 4);
  t.deepEqual(s.nodes, ['node-a node-b', 'node-a node-b node-e', 'node-b node-e', 'node-e']);
});

test('V17: a pod is known by its name and its uid together', async (t) => {
  await using s = await scene();
  s.server.store.put(agentPod('node-a'));
  s.server.store.put(agentPod('node-b'));
  t.false(s.pods.listed);
  void s.start();
  await until(() => s.pods.listed);
  t.is(s.pods.nodeOf('berth-agent-node-a', 'uid-node-a'), 'node-a');
  t.is(s.pods.nodeOf('berth-agent-node-a', 'uid-node-b'), undefined);
  t.is(s.pods.nodeOf('berth-agent-node-z', 'uid-node-z'), undefined);
});

test('while the API server is away every agent stays known, and what cannot be read hides no other', async (t) => {
  await using s = await scene();
  s.server.store.put(agentPod('node-a'));
  s.server.store.put(agentPod('node-b', { spec: {} }));
  s.server.store.put({
    ...agentPod('node-c'),
    metadata: { name: '../etc', namespace: 'berth-system', uid: 'uid-e', labels: { app: 'berth' }, annotations: {} },
  });
  void s.start();
  await until(() => s.nodes.length === 1 && s.server.watches === 1);
  s.server.fault = () => ({ kind: 'refuseConnection' });
  s.server.endWatches(false);
  await s.clock.runUntil(() => s.errors.length > 2, 10_000);
  t.is(s.pods.nodeOf('berth-agent-node-a', 'uid-node-a'), 'node-a');
  s.server.fault = () => undefined;
  s.server.store.put(agentPod('node-f'));
  await s.clock.runUntil(() => s.nodes.length === 2, 10_000);
  t.is(s.nodes.at(-1)?.split(' ').at(-1), 'node-f');
});
