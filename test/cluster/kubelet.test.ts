/** What a node does of its own accord: pods from files, sandboxes made anew, restarts of kubelet and of containerd. */
import { rmSync, writeFileSync } from 'node:fs';
import { announcementOf, get, kubectl, mappedPod, serverPod, until, webOf } from './cluster.ts';
import { agentOn } from './install.ts';
import { addressOf, askByUdp, CLIENT, fetchOutside, inNode, isRefused, Load, pathInVar, restart } from './lab.ts';
import { story, withAgent } from './story.ts';

const NODE = 'node-1';
const namespace = withAgent('kubelet');

story('a pod whose sandbox is made anew keeps its number and is reached at its new address', async (t) => {
  const before = await mappedPod(namespace, 'anew', NODE);
  const label = (name: string, value: string) => `labels."${name}"==${value}`;
  const sandbox = [label('io.kubernetes.pod.uid', before.podUID), label('io.cri-containerd.kind', 'sandbox')].join();
  const id = await inNode(NODE, 'ctr', '-n', 'k8s.io', 'containers', 'ls', '-q', sandbox);
  t.regex(id, /^[0-9a-f]{64}$/);
  await inNode(NODE, 'ctr', '-n', 'k8s.io', 'tasks', 'kill', '-s', 'SIGKILL', id);
  const after = await until('it is announced at another address', 60, async () => {
    const mapping = await webOf(namespace, 'anew');
    return mapping.podIP !== before.podIP && mapping;
  });
  const pod = await get('pod', 'anew', '-n', namespace);
  t.is(pod.metadata.uid, before.podUID, 'the same pod');
  t.is(after.podIP, pod.status.podIP);
  t.is(after.hostPort, before.hostPort);
  t.is(await until('it answers', 30, () => fetchOutside(addressOf(NODE), after.hostPort)), `pod=anew peer=${CLIENT}`);
  t.false((await inNode(NODE, 'nft', 'list', 'table', 'inet', 'berth')).includes(before.podIP), 'the old address');
});

story('a static pod, which kubelet has from a file, gets ports and gives them back', async (t) => {
  const manifest = serverPod(namespace, 'filed', { annotations: { 'berth.dev/ports': '' } });
  const file = pathInVar(NODE, 'lib/kubelet/manifests/filed.json');
  const name = `filed-${NODE}`;
  writeFileSync(file, JSON.stringify(manifest));
  try {
    await until('its mirror is there', 60, () => get('pod', name, '-n', namespace));
    await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', namespace, '--timeout=60s');
    const { hostPort, podUID } = await webOf(namespace, name);
    const { metadata } = await get('pod', name, '-n', namespace);
    t.truthy(metadata.annotations['kubernetes.io/config.mirror']);
    t.is(metadata.uid, podUID);
    t.is(await fetchOutside(addressOf(NODE), hostPort), `pod=${name} peer=${CLIENT}`);
    t.is(
      await askByUdp(addressOf(NODE), Number(metadata.annotations['port.berth.dev/play'])),
      `pod=${name} peer=${CLIENT}`,
    );
    rmSync(file);
    await until('it is refused', 60, () => isRefused(addressOf(NODE), hostPort));
    await until('its rules are gone', 10, async () => {
      return !(await inNode(NODE, 'nft', 'list', 'table', 'inet', 'berth')).includes(podUID);
    });
  } finally {
    rmSync(file, { force: true });
  }
});

story('kubelet, containerd and the API server are restarted, and no request is lost', async (t) => {
  const { hostPort } = await mappedPod(namespace, 'steady', NODE);
  const before = await announcementOf(namespace, 'steady');
  const agent = await agentOn(NODE);
  using load = new Load(addressOf(NODE), hostPort);
  for (const name of [`${NODE}.kubelet`, `${NODE}.containerd`, 'kube-apiserver']) await restart(name);
  // Whoever was restarted does its part again.
  const { hostPort: later } = await mappedPod(namespace, 'later', NODE);
  t.is(await until('it answers', 30, () => fetchOutside(addressOf(NODE), later)), `pod=later peer=${CLIENT}`);
  const { answers, failures } = await load.stop();
  t.deepEqual(failures, []);
  t.true(answers > 50, `${answers} answers`);
  t.is(await announcementOf(namespace, 'steady'), before);
  const { metadata, status } = await agentOn(NODE);
  t.is(metadata.uid, agent.metadata.uid);
  t.is(status.containerStatuses[0].restartCount, agent.status.containerStatuses[0].restartCount);
});
