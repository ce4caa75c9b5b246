/** What the agent depends on goes away for a while: the API server, the node itself. */
import { setTimeout as delay } from 'node:timers/promises';
import { announcementOf, get, mappedPod, until, webOf } from './cluster.ts';
import { agentOn, untilReady } from './install.ts';
import { addressOf, CLIENT, fetchOutside, Load, reboot, restart } from './lab.ts';
import { story, withAgent } from './story.ts';

const NODE = 'node-1';
const namespace = withAgent('outage');

story(
  'with the API server away for a minute every mapping works, and later pods are mapped when it is back',
  async (t) => {
    const { hostPort: port } = await mappedPod(namespace, 'steady', NODE);
    const before = await announcementOf(namespace, 'steady');
    const { restartCount } = (await agentOn(NODE)).status.containerStatuses[0];
    using load = new Load(addressOf(NODE), port);
    await restart('kube-apiserver', 60);
    const { hostPort: after } = await mappedPod(namespace, 'after', NODE);
    t.regex(await until('it answers', 30, () => fetchOutside(addressOf(NODE), after)), /pod=after/);
    const { failures, answers } = await load.stop();
    t.deepEqual(failures, []);
    t.true(answers > 500);
    t.is(await announcementOf(namespace, 'steady'), before);
    t.is((await agentOn(NODE)).status.containerStatuses[0].restartCount, restartCount, 'the agent was not restarted');
  },
);

story('after a reboot of the node its pods have their ports again, at their new addresses', async (t) => {
  const before = await mappedPod(namespace, 'rebooted', NODE);
  await reboot(NODE);
  await delay(1000);
  await untilReady();
  const after = await until('it is announced at its new address', 90, async () => {
    const mapping = await webOf(namespace, 'rebooted');
    const { podIP, containerStatuses } = (await get('pod', 'rebooted', '-n', namespace)).status;
    const there = containerStatuses[0].restartCount > 0 && mapping.podIP === podIP;
    return there ? mapping : undefined;
  });
  t.is(before.hostPort, after.hostPort);
  const answer = await until('it answers', 30, () => fetchOutside(addressOf(NODE), after.hostPort));
  t.is(answer, `pod=rebooted peer=${CLIENT}`);
});
