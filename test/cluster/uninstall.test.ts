/** `kubectl apply -k deploy/uninstall`: every node is as it was before. */
import test from 'ava';
import { apply, get, kubectl, logState, makeNamespace, mappingsOf, serverPod, until } from './cluster.ts';
import { install, NAMESPACE, uninstall, WATCHES_API } from './install.ts';
import { addressOf, fetchOutside, HAS_NODES, inNode } from './lab.ts';

const NODE = 'node-1';
const story = HAS_NODES && WATCHES_API ? test : test.skip;
const cleanup = new AsyncDisposableStack();

test.before(async () => {
  if (!(HAS_NODES && WATCHES_API)) return;
  cleanup.defer(() => uninstall());
  await install();
});
test.afterEach.always(async (t) => {
  if (!t.passed) await logState(t);
});
test.after.always(() => cleanup.disposeAsync());

story('after deploy/uninstall no table, no state, no annotation and no condition of Berth is left', async (t) => {
  await using space = await makeNamespace('uninstall');
  const annotations = { 'berth.dev/ports': '' };
  await apply([serverPod(space.name, 'left', { annotations, node: NODE })]);
  await kubectl('wait', '--for=condition=Ready', 'pod/left', '-n', space.name, '--timeout=60s');
  const port = (await mappingsOf(space.name, 'left', ['web'])).get('web')?.hostPort ?? 0;
  t.regex(await until('it answers', 30, () => fetchOutside(addressOf(NODE), port)), /pod=left/);
  t.regex(await inNode(NODE, 'nft', 'list', 'tables'), /inet berth/);

  await kubectl('delete', 'daemonset/berth-agent', '-n', NAMESPACE, '--wait=true', '--timeout=60s');
  await until('the agents are gone', 60, async () => {
    const { items } = await get('pods', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=agent');
    return items.length === 0;
  });
  await apply('deploy/uninstall');
  await kubectl('rollout', 'status', 'daemonset/berth-uninstall', '-n', NAMESPACE, '--timeout=120s');

  t.notRegex(await inNode(NODE, 'nft', 'list', 'tables'), /berth/);
  t.is(await inNode(NODE, 'sh', '-c', 'ls -A /var/lib/berth /run/berth'), '/run/berth:\n\n/var/lib/berth:');
  const pod = await get('pod', 'left', '-n', space.name);
  const left = Object.keys(pod.metadata.annotations).filter((key) => key.includes('berth.dev/'));
  t.deepEqual(left, Object.keys(annotations));
  t.false(pod.status.conditions.some(({ type }: { readonly type: string }) => type.startsWith('berth.dev/')));
  await kubectl('delete', '-k', 'deploy/uninstall', '--wait=true', '--timeout=60s');
});
