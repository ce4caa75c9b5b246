/** The aggregator in a real cluster: two replicas, their clients and agents, and what is left when something of it ends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { VERSION } from '../../daemon/version.ts';
import {
  bothReplicas,
  Client,
  installAggregator,
  PORT,
  replicas,
  reporting,
  SERVER_NAME,
  tokenOf,
} from './aggregator.ts';
import { apply, get, kubectl, type Mapping, mappedPod, type Thing, until } from './cluster.ts';
import { agentOn, NAMESPACE, untilReady } from './install.ts';
import { HAS_NODES, inNode, startNode, stopNode } from './lab.ts';
import { story, withAgent } from './story.ts';

const [NODE, FAR] = ['node-1', 'node-2'];
const READER = 'mappings-reader';
const WATCHER = 'watcher';

const namespace = withAgent('aggregated', reporting);
const directory = mkdtempSync(join(tmpdir(), 'berth-client-'));
const client = new Client(NODE, directory);
let near: Mapping;
let far: Mapping;

test.before(async () => {
  if (!HAS_NODES) return;
  await installAggregator('--drop-after=15s');
  const account = { namespace: NAMESPACE, name: READER };
  await apply([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: account },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: READER },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'berth-mappings-reader' },
      subjects: [{ kind: 'ServiceAccount', ...account }],
    },
  ]);
  await client.prepare(await tokenOf(NAMESPACE, READER));
  near = await mappedPod(namespace, 'near', NODE);
  far = await mappedPod(namespace, 'far', FAR);
});

test.after.always(async () => {
  rmSync(directory, { recursive: true, force: true });
  if (!HAS_NODES) return;
  const names = ['deployment/berth-aggregator', `clusterrolebinding/${READER}`, `pod/${WATCHER}`];
  await kubectl('delete', '-n', NAMESPACE, '--ignore-not-found', '--wait=false', ...names);
});

/** The ports named web of the test's pods as a replica answers, once it is as `holds` says. */
async function answered(replica: Thing, what: string, seconds: number, holds: (mappings: readonly Thing[]) => boolean) {
  return until(`${replica.metadata.name} answers ${what}`, seconds, async () => {
    const answer = await client.ask(replica, 'list', '--namespace', namespace);
    const web = answer.mappings.filter(({ name }: Thing) => name === 'web');
    return holds(web) && { web, freshness: answer.freshness };
  });
}

const numbers = (mappings: readonly Thing[]) => mappings.map(({ pod, hostPort }) => [pod, hostPort]).sort();

story('both replicas answer for both nodes, over TLS, to whom RBAC lets read', async (t) => {
  for (const replica of await bothReplicas()) {
    const { web, freshness } = await answered(replica, 'both pods', 30, ({ length }) => length === 2);
    t.deepEqual(numbers(web), [
      ['far', far.hostPort],
      ['near', near.hostPort],
    ]);
    t.is(freshness.nodesHeard, 2);
    t.is(freshness.nodesKnown, 2);
    const { nodes } = await client.ask(replica, 'nodes');
    t.deepEqual(
      nodes.map(({ name, stale }: Thing) => [name, stale]),
      [
        [NODE, undefined],
        [FAR, undefined],
      ],
    );
  }
  const nobody = mkdtempSync(join(tmpdir(), 'berth-client-'));
  t.teardown(() => rmSync(nobody, { recursive: true }));
  const other = new Client(NODE, nobody);
  await other.prepare(await tokenOf(namespace, 'default'));
  const [replica] = await replicas();
  await t.throwsAsync(other.ask(replica, 'list'), { message: /the caller may not read all namespaces/ });
});

story(
  'a client in a pod finds the replicas by DNS, and its watch outlives each of them, one after the other',
  async (t) => {
    await apply([watcherPod()]);
    const events = async () =>
      (await kubectl('logs', WATCHER, '-n', NAMESPACE))
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line))
        .filter(({ event, mapping }) => event === 'synced' || mapping.name === 'web')
        .map(({ event, mapping }) => (event === 'synced' ? event : `${event} ${mapping.pod}`));
    const told = (what: string) => until(`it tells ${what}`, 60, async () => (await events()).includes(what));
    await told('synced');
    for (const [index, { metadata }] of (await bothReplicas()).entries()) {
      await kubectl('delete', 'pod', metadata.name, '-n', NAMESPACE, '--grace-period=0', '--force');
      await mappedPod(namespace, `after-${index}`, NODE);
      await told(`live after-${index}`);
      await bothReplicas();
    }
    // What it had shown before is not shown again, whatever it went through.
    const once = (await events()).filter((event) => event !== 'synced');
    t.deepEqual(once.toSorted(), ['live after-0', 'live after-1', 'live far', 'live near']);
    await kubectl('delete', 'pod', WATCHER, '-n', NAMESPACE, '--wait=false');
  },
);

story('an agent that is restarted is heard again, with the same numbers', async (t) => {
  const { metadata } = await agentOn(FAR);
  await kubectl('delete', 'pod', metadata.name, '-n', NAMESPACE, '--wait=true');
  await untilReady();
  for (const replica of await bothReplicas()) {
    const { nodes } = await client.ask(replica, 'nodes');
    t.deepEqual(
      nodes.map(({ name }: Thing) => name),
      [NODE, FAR],
    );
    const fresh = (web: readonly Thing[]) => web.some(({ pod, stale }) => pod === 'far' && !stale);
    const { web } = await answered(replica, 'the far pod', 30, fresh);
    t.true(numbers(web).some(([pod, port]) => pod === 'far' && port === far.hostPort));
  }
});

story("an agent's token counts for its own node alone", async (t) => {
  const agent = await agentOn(NODE);
  writeFileSync(client.path('agent-token'), await tokenOf(NAMESPACE, 'berth-agent', agent));
  const [replica] = await bothReplicas();
  const script = join(import.meta.dirname, 'impostor.ts');
  const report = (node: string) => {
    const where = [replica.status.podIP, String(PORT), client.path('ca.crt'), SERVER_NAME, client.path('agent-token')];
    return inNode(NODE, process.execPath, script, ...where, node);
  };
  t.regex(await report(FAR), /^PERMISSION_DENIED /);
  const { items } = await get('events', '-n', NAMESPACE, '--field-selector', 'reason=ForeignNodeReport');
  t.true(items.some(({ involvedObject }: Thing) => involvedObject.name === agent.metadata.name));
  // The far node's mappings are what its own agent said.
  const { web } = await answered(replica, 'the far pod', 30, (all) => all.some(({ pod }) => pod === 'far'));
  t.true(web.some(({ pod, hostPort, stale }: Thing) => pod === 'far' && hostPort === far.hostPort && !stale));
});

story('the mappings of a node that loses power go stale, then go, and are back with it', async (t) => {
  await bothReplicas();
  const found = (await replicas()).find(({ spec }) => spec.nodeName === NODE);
  t.truthy(found, 'a replica on the near node');
  const isFar = ({ pod }: Thing) => pod === 'far';
  await stopNode(FAR);
  try {
    const stale = await answered(found, 'that the far pod is stale', 60, (web) => web.some((m) => isFar(m) && m.stale));
    t.true(stale.web.some(({ pod, stale }: Thing) => pod === 'near' && !stale));
    const gone = await answered(found, 'no far pod', 60, (web) => !web.some(isFar));
    t.is(gone.freshness.nodesHeard, 1);
    t.is(gone.freshness.nodesKnown, 2);
  } finally {
    await startNode(FAR);
  }
  const back = await answered(found, 'the far pod', 120, (web) => web.some((m) => isFar(m) && !m.stale));
  t.is(back.web.find(isFar).hostPort, far.hostPort);
});

/** `berth watch` in a pod: DNS, the published authority and a token that kubelet renews. */
function watcherPod(): object {
  const service = `berth-aggregator-replicas.${NAMESPACE}.svc:${PORT}`;
  const args = ['watch', '--output=json', `--namespace=${namespace}`, `--aggregator=${service}`];
  const token = { serviceAccountToken: { path: 'token', audience: 'berth' } };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: NAMESPACE, name: WATCHER },
    spec: {
      serviceAccountName: READER,
      nodeName: NODE,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'watch',
          image: `berth:${VERSION}`,
          imagePullPolicy: 'Never',
          args: [...args, '--aggregator-ca=/ca/ca.crt', '--aggregator-token=/token/token'],
          volumeMounts: [
            { name: 'ca', mountPath: '/ca' },
            { name: 'token', mountPath: '/token' },
          ],
        },
      ],
      volumes: [
        { name: 'ca', configMap: { name: 'berth-aggregator-ca' } },
        { name: 'token', projected: { sources: [token] } },
      ],
    },
  };
}
