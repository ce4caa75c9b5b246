/** The agent comes and goes: whoever uses a mapping must not notice. */
import { announcementOf, apply, get, kubectl, mappedPod, until } from './cluster.ts';
import { agentOn, NAMESPACE, removeAgents, untilReady } from './install.ts';
import { addressOf, agentPids, fetchOutside, inNode, Load } from './lab.ts';
import { story, withAgent } from './story.ts';

const NODE = 'node-1';
const namespace = withAgent('agent');

story('an agent that is killed is started again and adopts every mapping, without a request lost', async (t) => {
  const { hostPort: port } = await mappedPod(namespace, 'adopted', NODE);
  const before = await announcementOf(namespace, 'adopted');
  using load = new Load(addressOf(NODE), port);
  const [pid, ...more] = agentPids(NODE);
  t.deepEqual(more, []);
  process.kill(pid as number, 'SIGKILL');
  await until('another agent is ready', 60, async () => {
    const { restartCount, ready } = (await agentOn(NODE)).status.containerStatuses[0];
    return restartCount === 1 && ready;
  });
  const { answers, failures } = await load.stop();
  t.deepEqual(failures, []);
  t.true(answers > 50);
  t.is(await announcementOf(namespace, 'adopted'), before);
  const { hostPort: later } = await mappedPod(namespace, 'later', NODE);
  t.regex(await until('it answers', 30, () => fetchOutside(addressOf(NODE), later)), /pod=later/);
});

story('a rolling update of the agents loses no request', async (t) => {
  const { hostPort: port } = await mappedPod(namespace, 'rolled', NODE);
  const before = await announcementOf(namespace, 'rolled');
  const old = (await agentOn(NODE)).metadata.uid;
  using load = new Load(addressOf(NODE), port);
  const template = { metadata: { annotations: { 'berth.test/round': '2' } } };
  await kubectl('patch', 'daemonset/berth-agent', '-n', NAMESPACE, '-p', JSON.stringify({ spec: { template } }));
  await untilReady();
  const { answers, failures } = await load.stop();
  t.not((await agentOn(NODE)).metadata.uid, old);
  t.deepEqual(failures, []);
  t.true(answers > 50);
  t.is(await announcementOf(namespace, 'rolled'), before);
});

story('mappings work on while no agent is there at all', async (t) => {
  const { hostPort: port } = await mappedPod(namespace, 'alone', NODE);
  const { spec } = await get('daemonset', 'berth-agent', '-n', NAMESPACE);
  using load = new Load(addressOf(NODE), port);
  await removeAgents();
  t.regex(await inNode(NODE, 'nft', 'list', 'tables'), /inet berth/);
  const metadata = { name: 'berth-agent', namespace: NAMESPACE };
  await apply([{ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec }]);
  await untilReady();
  const { failures } = await load.stop();
  t.deepEqual(failures, []);
});
