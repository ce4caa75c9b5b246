/** `kubectl berth` through a real API server and kubelet: what it needs of the cluster, and what it says without. */
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { VERSION } from '../../daemon/version.ts';
import { apply, kubectl, mappedPod, serverPod, type Thing, until } from './cluster.ts';
import { NAMESPACE } from './install.ts';
import { KUBECTL } from './lab.ts';
import { story, withAgent } from './story.ts';

const NODE = 'node-1';
const CLI = join(import.meta.dirname, '../../daemon/cli.ts');

/** Every agent reports to its own node: one aggregator is there. */
const namespace = withAgent('kubectl', (object: Thing) => {
  if (object.kind !== 'DaemonSet') return object;
  const amended = structuredClone(object);
  amended.spec.template.spec.containers[0].args.push('--aggregator=127.0.0.1:9465');
  return amended;
});

/** As it is by default: plaintext on loopback alone. */
function aggregatorPod(name: string): object {
  const labels = { 'app.kubernetes.io/name': 'berth', 'app.kubernetes.io/component': 'aggregator' };
  const aggregator = {
    name: 'aggregator',
    image: `berth:${VERSION}`,
    imagePullPolicy: 'Never',
    args: ['aggregator', '--ready-after=0s'],
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, labels },
    spec: { hostNetwork: true, nodeName: NODE, terminationGracePeriodSeconds: 1, containers: [aggregator] },
  };
}

/** Where kubectl is called, with its kubeconfig. */
function plugin(...args: readonly string[]) {
  const at = KUBECTL.indexOf('kubectl');
  const [file, ...before] = [...KUBECTL.slice(0, at), process.execPath, CLI, 'kubectl'];
  return execa(file as string, [...before, ...args, ...KUBECTL.slice(at + 1)], { reject: false });
}

story('it finds the aggregator, forwards to its loopback, and tells where a pod can be reached', async (t) => {
  await apply([aggregatorPod('aggregator-0')]);
  await kubectl('wait', '-n', NAMESPACE, '--for=condition=Ready', 'pod/aggregator-0', '--timeout=60s');
  const { hostPort } = await mappedPod(namespace, 'game', NODE);
  const listed = await until('the aggregator knows of it', 60, async () => {
    const { stdout, exitCode } = await plugin('list', '-n', namespace);
    return exitCode === 0 && stdout.includes('game') && stdout;
  });
  t.regex(listed, new RegExp(`^${namespace} +game +web +TCP +\\S+:${hostPort} +8080 +${NODE} `, 'm'));
  t.regex((await plugin('nodes')).stdout, new RegExp(`^${NODE} +live `, 'm'));
});

story('a user needs the rights that the page names, and no others', async (t) => {
  const who = ['--as', 'berth-reader'];
  t.regex(
    (await plugin('list', ...who)).stderr,
    /"berth-reader" cannot list resource "pods".*needs the right to list pods/,
  );
  const rule = (resource: string, verbs: readonly string[]) => ({ apiGroups: [''], resources: [resource], verbs });
  const role = (rules: readonly object[]) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'berth-reader', namespace: NAMESPACE },
    rules,
  });
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'berth-reader', namespace: NAMESPACE },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'berth-reader' },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'berth-reader' }],
  };
  await apply([role([rule('pods', ['list'])]), binding]);
  // The API server's authorizer learns of it by a watch.
  await until('the right to list pods counts', 30, async () =>
    (await plugin('list', ...who)).stderr.includes('needs the rights "get" and "create" of "pods/portforward"'),
  );
  await apply([role([rule('pods', ['list']), rule('pods/portforward', ['get', 'create'])])]);
  const { stdout } = await until('the right to forward counts', 30, async () => {
    const ended = await plugin('list', '-n', namespace, ...who);
    return ended.exitCode === 0 && ended;
  });
  t.regex(String(stdout), / game /);
});

story('a watch goes on at the next pod when the aggregator is replaced', async (t) => {
  const watching = plugin('watch', '-n', namespace, '-o', 'json');
  let [seen, said] = ['', ''];
  watching.stdout.on('data', (chunk) => {
    seen += chunk;
  });
  watching.stderr.on('data', (chunk) => {
    said += chunk;
  });
  t.teardown(() => watching.kill('SIGKILL'));
  await until('the state was told', 30, async () => seen.includes('"synced"'));
  await kubectl('delete', 'pod', '-n', NAMESPACE, 'aggregator-0', '--wait=true', '--timeout=60s');
  await apply([aggregatorPod('aggregator-1')]);
  await until('it is connected again', 60, async () => said.includes('connected again'));
  await apply([serverPod(namespace, 'late', { annotations: { 'berth.dev/ports': 'web' }, node: NODE })]);
  await until('what came since is told', 60, async () => seen.includes('"late"'));
  watching.kill('SIGINT');
  t.is((await watching).exitCode, 0);
});

test.after.always(async () => {
  await kubectl(
    'delete',
    '-n',
    NAMESPACE,
    'pod/aggregator-0',
    'pod/aggregator-1',
    '--ignore-not-found',
    '--wait=false',
  );
  await kubectl('delete', '-n', NAMESPACE, 'role/berth-reader', 'rolebinding/berth-reader', '--ignore-not-found');
});
