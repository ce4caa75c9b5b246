/** `--static-host-ports` as deploy/components/static-host-ports sets it: the agent in place of CNI portmap, which no node has here. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { apply, get, kubectl, serverSet, type Thing, until } from './cluster.ts';
import { agentOn, NAMESPACE } from './install.ts';
import { addressOf, askByUdp, CLIENT, fetchOutside, HAS_NODES, inNode, isRefused, KUBECTL } from './lab.ts';
import { story, withAgent } from './story.ts';

const NODE = 'node-1';
/** An address that the node has beside its own. */
const SECOND = '10.90.0.51';
const PATCH = join(import.meta.dirname, '../../deploy/components/static-host-ports/patch.yaml');

const namespace = withAgent('static', (object) => (object.kind === 'DaemonSet' ? patched(object) : object));

test.before(async () => {
  if (HAS_NODES) await inNode(NODE, 'ip', 'address', 'replace', `${SECOND}/24`, 'dev', 'eth0');
});
test.after.always(async () => {
  if (HAS_NODES) await inNode(NODE, 'ip', 'address', 'del', `${SECOND}/24`, 'dev', 'eth0');
});

/** As `kubectl patch` would change the object in the cluster. */
function patched(daemonSet: object): object {
  const [file, ...before] = KUBECTL;
  const args = ['patch', '--local', '-f', '-', '--type=json', '-p', readFileSync(PATCH, 'utf8'), '-o', 'json'];
  return JSON.parse(execFileSync(file, [...before, ...args], { input: JSON.stringify(daemonSet), encoding: 'utf8' }));
}

/** A Deployment of one pod that asks Berth for nothing. */
function deployment(): object {
  const set = serverSet('Deployment', namespace, 'classic', 1, { node: NODE });
  const [server] = set.spec.template.spec.containers;
  const ports = [
    { containerPort: 8080, hostPort: 80 },
    { name: 'web', containerPort: 8080, hostPort: 8080 },
    { name: 'second', containerPort: 8080, hostPort: 9090, hostIP: SECOND },
    { name: 'play', containerPort: 7777, hostPort: 7777, protocol: 'UDP' },
  ];
  Object.assign(server ?? {}, { ports });
  return set;
}

/** The pod that is ready, other than `not`. */
async function readyPod(not?: string): Promise<Thing> {
  return until('a pod of the Deployment is ready', 60, async () => {
    const { items } = await get('pods', '-n', namespace, '-l', 'app=classic');
    return items.find((pod: Thing) => pod.metadata.name !== not && pod.status.containerStatuses?.[0].ready);
  });
}

story('I5: a pod is reached at its hostPorts: TCP, UDP, below 1024, and at its hostIP alone', async (t) => {
  await apply([deployment()]);
  const { metadata } = await readyPod();
  const answer = `pod=${metadata.name} peer=${CLIENT}`;
  for (const [address, port] of [
    [addressOf(NODE), 8080],
    [addressOf(NODE), 80],
    [SECOND, 80],
    [SECOND, 9090],
  ] as const) {
    t.is(await until(`${address}:${port} answers`, 30, () => fetchOutside(address, port)), answer);
  }
  t.is(await askByUdp(addressOf(NODE), 7777), answer);
  t.true(await isRefused(addressOf(NODE), 9090), 'the other address of the node');
  t.deepEqual(Object.keys(metadata.annotations ?? {}), [], 'nothing is written on the pod');
  const chains = await inNode(NODE, 'sh', '-c', 'iptables-save; iptables-legacy-save; nft list ruleset');
  t.notRegex(chains, /CNI-(HOSTPORT|DN)|cni_hostport/, 'portmap has no part in it');
  const { name } = (await agentOn(NODE)).metadata;
  const { mappings } = JSON.parse(await kubectl('exec', '-n', NAMESPACE, name, '--', 'berth', 'list', '-o', 'json'));
  // Pods of earlier files may be on their way out.
  const own = mappings.filter((mapping: Thing) => mapping.namespace === namespace);
  t.deepEqual(
    own.map(({ pool }: Thing) => pool),
    ['static', 'static', 'static', 'static'],
  );
});

story('I1: a pod that takes the place of another has its hostPorts', async (t) => {
  const old = (await readyPod()).metadata.name;
  await kubectl('delete', 'pod', old, '-n', namespace, '--wait=false');
  const { metadata } = await readyPod(old);
  const answer = `pod=${metadata.name} peer=${CLIENT}`;
  await until('it answers', 30, async () => (await fetchOutside(addressOf(NODE), 80)) === answer);
  t.is(await fetchOutside(SECOND, 9090), answer);
  t.is(await askByUdp(addressOf(NODE), 7777), answer);
});

story('I7: a pod that is gone leaves nothing of its hostPorts', async (t) => {
  const { uid } = (await readyPod()).metadata;
  const table = () => inNode(NODE, 'nft', 'list', 'table', 'inet', 'berth');
  t.true((await table()).includes(uid));
  await kubectl('delete', 'deployment/classic', '-n', namespace);
  await until('its rules are gone', 60, async () => !(await table()).includes(uid));
  for (const port of [80, 8080]) t.true(await isRefused(addressOf(NODE), port), `${port}`);
  t.true(await isRefused(SECOND, 9090));
  t.is(await inNode(NODE, 'ss', '-Htunla', '( sport = 80 or sport = 8080 or sport = 9090 or sport = 7777 )'), '');
  t.notRegex(await inNode(NODE, 'conntrack', '-L'), /dst=10\.90\.0\.\S+ sport=\d+ dport=(80|8080|9090|7777) /);
});
