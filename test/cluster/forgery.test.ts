/** What users write into the annotations that are the agent's to write. */
import { announced, apply, get, kubectl, mappedPod, serverPod, until, webOf } from './cluster.ts';
import { addressOf, CLIENT, fetchOutside, inNode } from './lab.ts';
import { story, withAgent } from './story.ts';

const NODE = 'node-1';
const namespace = withAgent('forgery');

async function annotationsOf(pod: string): Promise<Readonly<Record<string, string>>> {
  return (await get('pod', pod, '-n', namespace)).metadata.annotations;
}

/** The annotations of the pod as the agent wrote them, for another pod to copy. */
async function loot(pod: string): Promise<Readonly<Record<string, string>>> {
  const all = Object.entries(await annotationsOf(pod));
  return Object.fromEntries(all.filter(([key]) => key === 'berth.dev/mappings' || key.startsWith('port.berth.dev/')));
}

story(
  "a pod that is made with another pod's annotations gets numbers of its own, and they are overwritten",
  async (t) => {
    const victim = await mappedPod(namespace, 'victim', NODE);
    const copied = await loot('victim');
    t.is(Object.keys(copied).length, 3);
    const annotations = { 'berth.dev/ports': '', ...copied };
    await apply([serverPod(namespace, 'copycat', { annotations, node: NODE })]);
    await kubectl('wait', '--for=condition=Ready', 'pod/copycat', '-n', namespace, '--timeout=60s');
    const own = await webOf(namespace, 'copycat');
    t.not(own.hostPort, victim.hostPort);
    const told = await annotationsOf('copycat');
    t.is(told['port.berth.dev/web'], String(own.hostPort));
    t.not(told['port.berth.dev/play'], copied['port.berth.dev/play']);
    t.is(await fetchOutside(addressOf(NODE), own.hostPort), `pod=copycat peer=${CLIENT}`);
    t.is(await fetchOutside(addressOf(NODE), victim.hostPort), `pod=victim peer=${CLIENT}`);
    t.deepEqual(await loot('victim'), copied);
  },
);

story('a pod that asks for nothing gains nothing by such annotations', async (t) => {
  const { hostPort } = await webOf(namespace, 'victim');
  const annotations = await loot('victim');
  await apply([serverPod(namespace, 'sham', { annotations, node: NODE })]);
  await kubectl('wait', '--for=condition=Ready', 'pod/sham', '-n', namespace, '--timeout=60s');
  // Made later, mapped: by then the agent has looked at the other one too.
  await mappedPod(namespace, 'witness', NODE);
  const { uid } = (await get('pod', 'sham', '-n', namespace)).metadata;
  t.false((await inNode(NODE, 'nft', 'list', 'table', 'inet', 'berth')).includes(uid));
  t.is(await fetchOutside(addressOf(NODE), hostPort), `pod=victim peer=${CLIENT}`);
});

story("a live pod's annotations that are changed to name another's number are put right", async (t) => {
  const victim = await webOf(namespace, 'victim');
  const own = await webOf(namespace, 'copycat');
  const { metadata } = await get('pod', 'copycat', '-n', namespace);
  const forged = announced({ metadata })?.map((mapping) =>
    mapping.name === 'web' ? { ...mapping, hostPort: victim.hostPort } : mapping,
  );
  const lies = { 'berth.dev/mappings': JSON.stringify(forged), 'port.berth.dev/web': String(victim.hostPort) };
  await kubectl('annotate', 'pod/copycat', '-n', namespace, '--overwrite', ...pairs(lies));
  await until('the truth is back', 60, async () => {
    const now = await annotationsOf('copycat');
    return Object.keys(lies).every((key) => now[key] === metadata.annotations[key]);
  });
  t.is(await fetchOutside(addressOf(NODE), own.hostPort), `pod=copycat peer=${CLIENT}`);
  t.is(await fetchOutside(addressOf(NODE), victim.hostPort), `pod=victim peer=${CLIENT}`);
});

function pairs(annotations: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(annotations).map(([key, value]) => `${key}=${value}`);
}
