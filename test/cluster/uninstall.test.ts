/** `kubectl apply -k deploy/uninstall`: every node is as it was before. */
import { apply, get, kubectl, mappedPod, until } from './cluster.ts';
import { NAMESPACE, removeAgents } from './install.ts';
import { addressOf, fetchOutside, inNode } from './lab.ts';
import { story, withAgent } from './story.ts';

const NODE = 'node-1';
const namespace = withAgent('uninstall');

story('after deploy/uninstall no table, no state, no annotation and no condition of Berth is left', async (t) => {
  const { hostPort: port } = await mappedPod(namespace, 'left', NODE);
  t.regex(await until('it answers', 30, () => fetchOutside(addressOf(NODE), port)), /pod=left/);
  t.regex(await inNode(NODE, 'nft', 'list', 'tables'), /inet berth/);

  await removeAgents();
  await apply('deploy/uninstall');
  await kubectl('rollout', 'status', 'daemonset/berth-uninstall', '-n', NAMESPACE, '--timeout=120s');

  t.notRegex(await inNode(NODE, 'nft', 'list', 'tables'), /berth/);
  t.is(await inNode(NODE, 'sh', '-c', 'ls -A /var/lib/berth /run/berth'), '/run/berth:\n\n/var/lib/berth:');
  const pod = await get('pod', 'left', '-n', namespace);
  const left = Object.keys(pod.metadata.annotations).filter((key) => key.includes('berth.dev/'));
  t.deepEqual(left, ['berth.dev/ports']);
  t.false(pod.status.conditions.some(({ type }: { readonly type: string }) => type.startsWith('berth.dev/')));
  await kubectl('delete', '-k', 'deploy/uninstall', '--wait=true', '--timeout=60s');
});
