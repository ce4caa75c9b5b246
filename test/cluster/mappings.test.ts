/** What users of Kubernetes see of a port request: annotations, condition, Events, and an open port. */
import {
  announced,
  apply,
  conditionOf,
  get,
  kubectl,
  mappingsOf,
  serverPod,
  serverSet,
  type Thing,
  until,
} from './cluster.ts';
import { addressOf, askByUdp, CLIENT, fetchOutside, inNode, isRefused, setPortmap } from './lab.ts';
import { story, withAgent } from './story.ts';

const ALL_PORTS = { annotations: { 'berth.dev/ports': '' } };
const GATE = 'berth.dev/PortsMapped';
const namespace = withAgent('mappings');

async function podsOf(app: string): Promise<readonly Thing[]> {
  const { items } = await get('pods', '-n', namespace, '-l', `app=${app}`);
  return items.filter((pod: Thing) => pod.metadata.deletionTimestamp === undefined);
}

async function eventsOf(pod: string): Promise<readonly Thing[]> {
  return (await get('events', '-n', namespace, '--field-selector', `involvedObject.name=${pod}`)).items;
}

story('three pods of a Deployment are reached from outside, each by a port of its own, and see who asks', async (t) => {
  await apply([serverSet('Deployment', namespace, 'web', 3, ALL_PORTS)]);
  await kubectl('rollout', 'status', 'deployment/web', '-n', namespace, '--timeout=90s');
  const pods = await podsOf('web');
  t.is(pods.length, 3);
  const reached = new Set<string>();
  for (const { metadata, spec } of pods) {
    const mapping = (await mappingsOf(namespace, metadata.name, ['web'])).get('web');
    t.deepEqual(mapping?.nodeIPs, [addressOf(spec.nodeName)]);
    t.is(await fetchOutside(addressOf(spec.nodeName), mapping?.hostPort ?? 0), `pod=${metadata.name} peer=${CLIENT}`);
    reached.add(`${spec.nodeName}:${mapping?.hostPort}`);
  }
  t.is(reached.size, 3);
});

story('UDP arrives too, and the promise in the annotations is what was announced', async (t) => {
  await apply([serverPod(namespace, 'game', ALL_PORTS)]);
  const mappings = await mappingsOf(namespace, 'game', ['web', 'play']);
  const { metadata, spec } = await get('pod', 'game', '-n', namespace);
  const { hostPort = 0, protocol } = mappings.get('play') ?? {};
  t.is(protocol?.toUpperCase(), 'UDP');
  t.is(await askByUdp(addressOf(spec.nodeName), hostPort), `pod=game peer=${CLIENT}`);
  t.is(metadata.annotations['port.berth.dev/play'], String(hostPort));
});

story('a readiness gate holds a pod back until its ports are open', async (t) => {
  await apply([serverPod(namespace, 'gated', { ...ALL_PORTS, readinessGates: [GATE] })]);
  await kubectl('wait', '--for=condition=Ready', 'pod/gated', '-n', namespace, '--timeout=60s');
  const gated = await get('pod', 'gated', '-n', namespace);
  t.is(conditionOf(gated, GATE)?.status, 'True');
  await apply([serverPod(namespace, 'never', { readinessGates: [GATE] })]);
  const never = await until('the containers are ready', 60, async () => {
    const pod = await get('pod', 'never', '-n', namespace);
    return conditionOf(pod, 'ContainersReady')?.status === 'True' && pod;
  });
  t.is(conditionOf(never, 'Ready').status, 'False', 'it asks for no port, so nobody opens its gate');
});

story('the pod has Events: what was mapped, and what is wrong with a request', async (t) => {
  await apply([
    serverPod(namespace, 'good', ALL_PORTS),
    serverPod(namespace, 'bad', { annotations: { 'berth.dev/ports': 'webb' } }),
  ]);
  const find = (pod: string, reason: string) =>
    until(`Event ${reason} of ${pod}`, 60, async () => (await eventsOf(pod)).find((event) => event.reason === reason));
  const mapped = await find('good', 'PortsMapped');
  t.is(mapped.type, 'Normal');
  t.is(mapped.involvedObject.uid, (await get('pod', 'good', '-n', namespace)).metadata.uid);
  const invalid = await find('bad', 'InvalidPortRequest');
  t.is(invalid.type, 'Warning');
  t.regex(invalid.message, /"webb"/);
  const bad = await get('pod', 'bad', '-n', namespace);
  t.is(conditionOf(bad, GATE).status, 'False');
  t.is(announced(bad), undefined);
});

story('a pod of a StatefulSet that is made anew keeps its port', async (t) => {
  await apply([serverSet('StatefulSet', namespace, 'kafka', 1, { ...ALL_PORTS, node: 'node-1' })]);
  const first = await until('kafka-0 is there', 30, () => get('pod', 'kafka-0', '-n', namespace));
  const before = (await mappingsOf(namespace, 'kafka-0', ['web'])).get('web');
  await kubectl('delete', 'pod', 'kafka-0', '-n', namespace, '--wait=true', '--timeout=180s');
  const second = await until('kafka-0 is there again', 60, async () => {
    const pod = await get('pod', 'kafka-0', '-n', namespace);
    return pod.metadata.uid !== first.metadata.uid && pod;
  });
  const after = (await mappingsOf(namespace, 'kafka-0', ['web'])).get('web');
  t.is(after?.hostPort, before?.hostPort);
  t.is(after?.podUID, second.metadata.uid);
  const answer = await until('it answers', 30, () => fetchOutside(addressOf('node-1'), after?.hostPort ?? 0));
  t.is(answer, `pod=kafka-0 peer=${CLIENT}`);
});

story('a deleted pod leaves nothing behind on its node', async (t) => {
  await apply([serverPod(namespace, 'gone', { ...ALL_PORTS, node: 'node-1' })]);
  const { hostPort = 0 } = (await mappingsOf(namespace, 'gone', ['web'])).get('web') ?? {};
  const { uid } = (await get('pod', 'gone', '-n', namespace)).metadata;
  t.regex(await inNode('node-1', 'nft', 'list', 'table', 'inet', 'berth'), new RegExp(uid));
  await kubectl('delete', 'pod', 'gone', '-n', namespace, '--wait=true', '--timeout=180s');
  await until(
    'its rules are gone',
    10,
    async () => !(await inNode('node-1', 'nft', 'list', 'table', 'inet', 'berth')).includes(uid),
  );
  t.true(await isRefused(addressOf('node-1'), hostPort));
  t.false((await inNode('node-1', 'ss', '-Htnl')).includes(`:${hostPort} `));
  t.false((await inNode('node-1', 'conntrack', '-L')).includes(`dport=${hostPort} `));
});

story('a static hostPort by the portmap plugin and a mapping work beside each other', async (t) => {
  await setPortmap('node-1', true);
  try {
    const both = serverPod(namespace, 'both', { ...ALL_PORTS, node: 'node-1' });
    const [server] = both.spec.containers;
    Object.assign(server?.ports[0] ?? {}, { hostPort: 8088 });
    await apply([both]);
    const mappings = await mappingsOf(namespace, 'both', ['play']);
    t.deepEqual([...mappings.keys()], ['play'], 'a port with a hostPort of its own is not mapped');
    await kubectl('wait', '--for=condition=Ready', 'pod/both', '-n', namespace, '--timeout=60s');
    const answer = `pod=both peer=${CLIENT}`;
    t.is(await fetchOutside(addressOf('node-1'), 8088), answer);
    t.is(await askByUdp(addressOf('node-1'), mappings.get('play')?.hostPort ?? 0), answer);
  } finally {
    await setPortmap('node-1', false);
  }
});
