/** The agent comes and goes: whoever uses a mapping must not notice. */
import test from 'ava';
import { apply, get, kubectl, logState, makeNamespace, mappingsOf, serverPod, type Thing, until } from './cluster.ts';
import { agentOn, install, NAMESPACE, uninstall, untilReady, WATCHES_API } from './install.ts';
import { addressOf, agentPids, fetchOutside, HAS_NODES, inNode, Load } from './lab.ts';

const NODE = 'node-1';
const story = HAS_NODES && WATCHES_API ? test : test.skip;
let namespace: string;
const cleanup = new AsyncDisposableStack();

test.before(async () => {
  if (!(HAS_NODES && WATCHES_API)) return;
  cleanup.defer(() => uninstall());
  await install();
  namespace = cleanup.use(await makeNamespace('agent')).name;
});
test.afterEach.always(async (t) => {
  if (!t.passed) await logState(t);
});
test.after.always(() => cleanup.disposeAsync());

async function mappedPod(name: string): Promise<number> {
  await apply([serverPod(namespace, name, { annotations: { 'berth.dev/ports': '' }, node: NODE })]);
  await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', namespace, '--timeout=60s');
  return (await mappingsOf(namespace, name, ['web', 'play'])).get('web')?.hostPort ?? 0;
}

/** The numbers that the pod's annotation announces, as text. */
async function numbersOf(name: string): Promise<string> {
  return (await get('pod', name, '-n', namespace)).metadata.annotations['berth.dev/mappings'];
}

story('an agent that is killed is started again and adopts every mapping, without a request lost', async (t) => {
  const port = await mappedPod('adopted');
  const before = await numbersOf('adopted');
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
  t.is(await numbersOf('adopted'), before);
  await apply([serverPod(namespace, 'later', { annotations: { 'berth.dev/ports': '' }, node: NODE })]);
  const later = (await mappingsOf(namespace, 'later', ['web'])).get('web')?.hostPort ?? 0;
  t.regex(await until('it answers', 30, () => fetchOutside(addressOf(NODE), later)), /pod=later/);
});

story('a rolling update of the agents loses no request', async (t) => {
  const port = await mappedPod('rolled');
  const before = await numbersOf('rolled');
  const old = (await agentOn(NODE)).metadata.uid;
  using load = new Load(addressOf(NODE), port);
  const template = { metadata: { annotations: { 'berth.test/round': '2' } } };
  await kubectl('patch', 'daemonset/berth-agent', '-n', NAMESPACE, '-p', JSON.stringify({ spec: { template } }));
  await untilReady();
  const { answers, failures } = await load.stop();
  t.not((await agentOn(NODE)).metadata.uid, old);
  t.deepEqual(failures, []);
  t.true(answers > 50);
  t.is(await numbersOf('rolled'), before);
});

story('mappings work on while no agent is there at all', async (t) => {
  const port = await mappedPod('alone');
  const { spec } = await get('daemonset', 'berth-agent', '-n', NAMESPACE);
  using load = new Load(addressOf(NODE), port);
  await kubectl('delete', 'daemonset/berth-agent', '-n', NAMESPACE, '--wait=true', '--timeout=60s');
  await until('the agents are gone', 60, async () => agentsLeft(await get('pods', '-n', NAMESPACE)) === 0);
  t.regex(await inNode(NODE, 'nft', 'list', 'tables'), /inet berth/);
  const metadata = { name: 'berth-agent', namespace: NAMESPACE };
  await apply([{ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec }]);
  await untilReady();
  const { failures } = await load.stop();
  t.deepEqual(failures, []);
});

function agentsLeft({ items }: { readonly items: readonly Thing[] }): number {
  return items.length;
}
