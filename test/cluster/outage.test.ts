/** What the agent depends on goes away for a while: the API server, the node itself. */
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { apply, get, kubectl, logState, makeNamespace, mappingsOf, serverPod, until } from './cluster.ts';
import { agentOn, install, uninstall, untilReady, WATCHES_API } from './install.ts';
import { addressOf, CLIENT, fetchOutside, HAS_NODES, Load, reboot, restart } from './lab.ts';

const NODE = 'node-1';
const ALL_PORTS = { annotations: { 'berth.dev/ports': '' }, node: NODE };
const story = HAS_NODES && WATCHES_API ? test : test.skip;
let namespace: string;
const cleanup = new AsyncDisposableStack();

test.before(async () => {
  if (!(HAS_NODES && WATCHES_API)) return;
  cleanup.defer(() => uninstall());
  await install();
  namespace = cleanup.use(await makeNamespace('outage')).name;
});
test.afterEach.always(async (t) => {
  if (!t.passed) await logState(t);
});
test.after.always(() => cleanup.disposeAsync());

story(
  'with the API server away for a minute every mapping works, and later pods are mapped when it is back',
  async (t) => {
    await apply([serverPod(namespace, 'steady', ALL_PORTS)]);
    await kubectl('wait', '--for=condition=Ready', 'pod/steady', '-n', namespace, '--timeout=60s');
    const port = (await mappingsOf(namespace, 'steady', ['web'])).get('web')?.hostPort ?? 0;
    const { restartCount } = (await agentOn(NODE)).status.containerStatuses[0];
    using load = new Load(addressOf(NODE), port);
    await restart('kube-apiserver', 60);
    await apply([serverPod(namespace, 'after', ALL_PORTS)]);
    const after = (await mappingsOf(namespace, 'after', ['web'])).get('web')?.hostPort ?? 0;
    t.regex(await until('it answers', 30, () => fetchOutside(addressOf(NODE), after)), /pod=after/);
    const { failures, answers } = await load.stop();
    t.deepEqual(failures, []);
    t.true(answers > 500);
    t.is((await agentOn(NODE)).status.containerStatuses[0].restartCount, restartCount, 'the agent was not restarted');
  },
);

story('after a reboot of the node its pods have their ports again, at their new addresses', async (t) => {
  await apply([serverPod(namespace, 'rebooted', ALL_PORTS)]);
  const before = (await mappingsOf(namespace, 'rebooted', ['web'])).get('web');
  await reboot(NODE);
  await delay(1000);
  await untilReady();
  const after = await until('it is announced at its new address', 90, async () => {
    const mapping = (await mappingsOf(namespace, 'rebooted', ['web'])).get('web');
    const { podIP, containerStatuses } = (await get('pod', 'rebooted', '-n', namespace)).status;
    const there = containerStatuses[0].restartCount > 0 && mapping?.podIP === podIP;
    return there ? mapping : undefined;
  });
  t.is(before?.hostPort, after.hostPort);
  const answer = await until('it answers', 30, () => fetchOutside(addressOf(NODE), after.hostPort));
  t.is(answer, `pod=rebooted peer=${CLIENT}`);
});
