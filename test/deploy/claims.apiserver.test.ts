/**
 * deploy/claiming on a real kube-apiserver: two aggregators as they are deployed, with the rights of their account, give host ports to the
 * claims that docs/claims.md shows and to many at once, hold them while pods use them, and go on when the one that leads is killed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parseAllDocuments } from 'yaml';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { grpcConnector } from '../../daemon/rpc/reportconnector.ts';
import { targetNameOptions } from '../../daemon/rpc/tls/channel.ts';
import { findBinaries } from '../kube/apiserver/binaries.ts';
import { RealServer } from '../kube/apiserver/realserver.ts';
import { agent } from '../rpc/clusterfixture.ts';
import { channelOf } from '../rpc/tls/secured.ts';
import { only, resourcesOf, type Thing } from './manifests.ts';
import { aggregator, claimingManifests, NAMESPACED, Scene } from './scene.ts';

const BERTH = '/apis/berth.dev/v1alpha1';
const PAGE = join(import.meta.dirname, '../../docs/claims.md');

const binaries = findBinaries();
const real = binaries.kind === 'found' ? test : test.skip;
const why = binaries.kind === 'found' ? '' : ` (left out: ${binaries.why})`;

/** What the page shows, object by object. */
function shown(): readonly Thing[] {
  const blocks = [...readFileSync(PAGE, 'utf8').matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
  return blocks.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Thing));
}

real(`claims get host ports from the aggregators of deploy/claiming${why}`, async (t) => {
  if (binaries.kind !== 'found') return t.fail();
  await using scene = new Scene(await RealServer.start(binaries));
  const { admin } = scene;
  const objects = claimingManifests(Number.parseInt((await admin.get('/version')).minor, 10));
  await scene.apply(objects);
  t.deepEqual(
    (await scene.apply(objects)).filter((line) => !line.endsWith(' unchanged')),
    [],
  );

  const token = () => scene.token('berth-aggregator', ['https://kubernetes.default.svc']);
  const replicas = [
    await aggregator(t, scene.kubeconfig(await token()), ['--claims']),
    await aggregator(t, scene.kubeconfig(await token()), ['--claims']),
  ];
  const events = (event: string) => replicas.filter(({ lines }) => lines.some((line) => line.includes(`"${event}"`)));
  /** Until it holds; the test's own time limit ends it. */
  const until = async (holds: () => Promise<boolean>) => {
    while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  await until(async () => events('claims-synced').length === 1);

  // What the page shows.
  await admin.namespace('games');
  const examples = shown();
  t.true(examples.length >= 4);
  await scene.apply(examples.map((one) => ({ ...one, metadata: { namespace: 'games', ...one.metadata } })));
  const claims = async (namespace: string): Promise<readonly Thing[]> =>
    (await admin.get(`${BERTH}/namespaces/${namespace}/hostportclaims`)).items;
  const bound = (all: readonly Thing[]) => all.filter(({ status }) => status?.phase === 'Bound');
  const ofPage = examples.filter(({ kind }) => kind === 'HostPortClaim').length;
  const sets = examples.filter(({ kind }) => kind === 'StatefulSet');
  const wanted = ofPage + sets.reduce((sum, { spec }) => sum + spec.replicas, 0);
  await until(async () => bound(await claims('games')).length === wanted);
  t.true(sets.length > 0 && ofPage > 0);

  // Many at once: each has a number of its own.
  await admin.namespace('crowd');
  const many = Array.from({ length: 100 }, (_, index) => ({
    apiVersion: 'berth.dev/v1alpha1',
    kind: 'HostPortClaim',
    metadata: { name: `claim-${index}`, namespace: 'crowd' },
    spec: { hostPortClassName: examples.find(({ kind }) => kind === 'HostPortClass').metadata.name },
  }));
  await Promise.all(many.map((one) => admin.create(`${BERTH}/namespaces/crowd/hostportclaims`, one)));
  await until(async () => bound(await claims('crowd')).length === many.length);
  const all = [...(await claims('games')), ...(await claims('crowd'))];
  t.is(new Set(all.map(({ status }) => status.port)).size, all.length);
  const hostPorts: readonly Thing[] = (await admin.get(`${BERTH}/hostports`)).items;
  for (const { metadata, status } of all) {
    const hostPort = hostPorts.find((one) => one.metadata.name === status.hostPortName);
    t.is(hostPort?.spec.claimRef.uid, metadata.uid);
  }

  // An agent reports that it gives numbers of a class to other pods.
  const labels = only(resourcesOf('base'), 'DaemonSet').spec.template.metadata.labels;
  const pod = await admin.create(`${NAMESPACED}/pods`, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'berth-agent-x', namespace: 'berth-system', labels },
    spec: { nodeName: 'node-a', serviceAccountName: 'berth-agent', containers: [{ name: 'agent', image: 'berth' }] },
  });
  await admin.create(`${BERTH}/hostportclasses`, {
    apiVersion: 'berth.dev/v1alpha1',
    kind: 'HostPortClass',
    metadata: { name: 'overlapping' },
    spec: { pools: [{ start: 20_099, end: 20_200 }] },
  });
  const disjoint = async () =>
    (await admin.get(`${BERTH}/hostportclasses/overlapping`)).status?.conditions?.find(
      ({ type }: Thing) => type === 'PoolsDisjoint',
    );
  await until(async () => (await disjoint())?.status === 'Unknown');
  const ca: string = (await admin.get(`${NAMESPACED}/configmaps/berth-aggregator-ca`)).data['ca.crt'];
  const channel = channelOf({ token: await scene.token('berth-agent', ['berth'], pod), material: { authorities: ca } });
  const connect = grpcConnector(channel, targetNameOptions('berth-aggregator.berth-system.svc'));
  agent(
    t,
    replicas.map(({ address }) => address),
    { node: 'node-a', registry: new MappingRegistry(), connect },
  );
  await until(async () => (await disjoint())?.status === 'False');
  t.regex((await disjoint()).message, /: 20099 on node-a;/);

  // A pod holds its claim.
  const pods = '/api/v1/namespaces/crowd/pods';
  const annotations = { 'claim.berth.dev/web': 'claim-7' };
  await admin.create(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'user', annotations },
    spec: { containers: [{ name: 'app', image: 'app' }] },
  });
  const path = `${BERTH}/namespaces/crowd/hostportclaims/claim-7`;
  await admin.remove(path);
  await until(async () => (await admin.get(path)).status.conditions.some(({ type }: Thing) => type === 'InUse'));
  t.is((await admin.get(path)).status.phase, 'Deleting');
  await admin.remove(`${pods}/user`, 0);
  await until(async () => !(await claims('crowd')).some(({ metadata }) => metadata.name === 'claim-7'));

  // People are told.
  await until(async () => {
    const told: readonly Thing[] = (await admin.get('/api/v1/namespaces/crowd/events')).items;
    return told.filter(({ reason }) => reason === 'Bound').length === many.length;
  });
  await until(async () => {
    const told: readonly Thing[] = (await admin.get('/api/v1/namespaces/default/events')).items;
    return told.some(({ reason, involvedObject }) => reason === 'Released' && involvedObject.kind === 'HostPort');
  });

  // Who may claim cannot give himself a number.
  await admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/crowd/rolebindings', {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'tenant' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'berth-claims-edit' },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'tenant' }],
  });
  const may = async (verb: string, resource: string, subresource?: string) =>
    (
      await admin.create('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: {
          user: 'tenant',
          resourceAttributes: {
            group: 'berth.dev',
            verb,
            resource,
            namespace: 'crowd',
            ...(subresource && { subresource }),
          },
        },
      })
    ).status.allowed;
  t.true(await may('create', 'hostportclaims'));
  t.false(await may('patch', 'hostportclaims', 'status'));
  t.false(await may('update', 'hostportclaims', 'status'));
  t.false(await may('create', 'hostports'));

  // The one that leads is killed: the other one goes on.
  const [leader] = events('claims-synced');
  leader?.kill();
  await admin.create(`${BERTH}/namespaces/crowd/hostportclaims`, { ...many[0], metadata: { name: 'later' } });
  await until(async () => bound(await claims('crowd')).some(({ metadata }) => metadata.name === 'later'));
  const other = replicas.find((one) => one !== leader);
  t.true(other?.lines.some((line) => line.includes('"claims-leading"')));
  const forbidden = replicas.flatMap(({ lines }) =>
    lines.filter((line) => /the answer is 403|Forbidden|may not/.test(line)),
  );
  t.deepEqual(forbidden, []);
});
