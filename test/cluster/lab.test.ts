/** The cluster itself: what the other tests do to it works without Berth. */
import { apply, get, kubectl, makeNamespace, serverPod, until } from './cluster.ts';
import { addressOf, askByUdp, CLIENT, fetchOutside, inNode, Load, reboot, restart, setPortmap } from './lab.ts';
import { story } from './story.ts';

const NODE = 'node-1';

story(
  'the portmap plugin serves a hostPort to the client outside, who sees nothing of an outage of the API server',
  async (t) => {
    await using namespace = await makeNamespace('lab-portmap');
    await setPortmap(NODE, true);
    const pod = serverPod(namespace.name, 'static', { node: NODE });
    for (const [index, port] of (pod.spec.containers[0]?.ports ?? []).entries())
      Object.assign(port, { hostPort: 8081 + index });
    await apply([pod]);
    await kubectl('wait', '--for=condition=Ready', 'pod/static', '-n', namespace.name, '--timeout=60s');
    await setPortmap(NODE, false);
    t.is(await fetchOutside(addressOf(NODE), 8081), `pod=static peer=${CLIENT}`);
    t.is(await askByUdp(addressOf(NODE), 8082), `pod=static peer=${CLIENT}`);
    using load = new Load(addressOf(NODE), 8081);
    await restart('kube-apiserver', 2);
    const { answers, failures } = await load.stop();
    t.deepEqual(failures, []);
    t.true(answers > 50, `${answers} answers`);
  },
);

story('load that meets a closed port is reported as failures', async (t) => {
  using load = new Load(addressOf(NODE), 8099);
  await until('a second has passed', 2, async () => false).catch(() => {});
  t.regex((await load.stop()).failures.join(), /new connection: .*ECONNREFUSED/);
});

story('a node that is rebooted runs its pods again, and keeps what is below /var alone', async (t) => {
  await using namespace = await makeNamespace('lab-reboot');
  await apply([serverPod(namespace.name, 'again', { node: NODE })]);
  await kubectl('wait', '--for=condition=Ready', 'pod/again', '-n', namespace.name, '--timeout=60s');
  await inNode(NODE, 'touch', '/var/lib/kept', '/run/lost');
  await reboot(NODE);
  const pod = await until('the pod runs again', 60, async () => {
    const found = await get('pod', 'again', '-n', namespace.name);
    return found.status.containerStatuses[0].restartCount === 1 && found.status.containerStatuses[0].ready && found;
  });
  t.regex(await inNode(NODE, 'curl', '-sS', `http://${pod.status.podIP}:8080/`), /^pod=again /);
  t.is(await inNode(NODE, 'ls', '/var/lib/kept'), '/var/lib/kept');
  await t.throwsAsync(inNode(NODE, 'ls', '/run/lost'), { message: /No such file/ });
  t.is(await inNode(NODE, 'hostname'), NODE);
});
