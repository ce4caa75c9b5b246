/** deploy/claims agrees with the aggregator's options and with what its controller asks of the API server. */
import test from 'ava';
import { readAggregatorOptions } from '../../daemon/ops/aggregatoroptions.ts';
import { claimPath, classPath, hostPortPath, Rig } from '../claims/rig.ts';
import {
  filesIn,
  kustomization,
  only,
  patched,
  readManifest,
  resourcesOf,
  rightFor,
  rightsOf,
  type Thing,
} from './manifests.ts';

const objects = resourcesOf('claims');
const definitions = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
const deployment = patched(only(resourcesOf('aggregator'), 'Deployment'), 'components/claims/patch.yaml');

test('the kustomizations list every file beside them', (t) => {
  t.deepEqual(kustomization('claims').resources.toSorted(), filesIn('claims').toSorted());
  t.deepEqual(filesIn('components/claims'), ['patch.yaml']);
  t.deepEqual(kustomization('components/claims').resources, ['../../claims']);
  t.like(kustomization('claiming'), {
    resources: ['../base'],
    components: ['../components/aggregator', '../components/claims'],
  });
});

test('the patch turns the controller on, with the lease that is there', (t) => {
  const [command, ...argv] = deployment.spec.template.spec.containers[0].args;
  const read = readAggregatorOptions({ argv, env: {} });
  t.is(command, 'aggregator');
  if (read.kind !== 'run') return t.fail();
  const { metadata } = only(objects, 'Lease');
  t.like(read.options, { claims: true, claimsLease: metadata.name, aggregatorNamespace: metadata.namespace });
});

test('the guard lets the account pass that the controller runs as', (t) => {
  const policy = only(resourcesOf('components/guard'), 'ValidatingAdmissionPolicy', 'berth-claims-guard');
  const { namespace } = deployment.metadata;
  const [{ expression }] = policy.spec.matchConditions;
  t.true(
    expression.includes(`'system:serviceaccount:${namespace}:${deployment.spec.template.spec.serviceAccountName}'`),
  );
});

test('the lease is made without a spec, so that applying it again takes it from nobody', (t) => {
  t.deepEqual(Object.keys(only(objects, 'Lease')).sort(), ['apiVersion', 'kind', 'metadata']);
});

test('the definitions are what Kubernetes 1.20 takes: structural, with a status of its own, and conditions by type', (t) => {
  t.deepEqual(
    definitions.map(({ spec }) => [spec.names.kind, spec.scope, spec.names.shortNames]),
    [
      ['HostPortClass', 'Cluster', ['hpcl']],
      ['HostPortClaim', 'Namespaced', ['hpc']],
      ['HostPort', 'Cluster', ['hp']],
    ],
  );
  for (const { metadata, spec } of definitions) {
    t.is(metadata.name, `${spec.names.plural}.${spec.group}`);
    const [version] = spec.versions;
    t.like(version, { name: 'v1alpha1', served: true, storage: true });
    t.deepEqual(version.subresources, { status: {} });
    const { status } = version.schema.openAPIV3Schema.properties;
    t.like(status.properties.conditions, { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });
  }
  t.notRegex(readManifest('claims/definitions.yaml'), /x-kubernetes-validations|preserve-unknown/);
});

test('every object has the recommended labels, and is where the aggregator is', (t) => {
  for (const { kind, metadata } of objects) {
    t.like(metadata.labels, { 'app.kubernetes.io/name': 'berth', 'app.kubernetes.io/part-of': 'berth' });
    const inNamespace = !kind.startsWith('Cluster') && kind !== 'CustomResourceDefinition';
    t.is(metadata.namespace, inNamespace ? 'berth-system' : undefined, kind);
  }
});

test('whoever may change a namespace may claim there, and nobody but the controller writes a status', (t) => {
  for (const { metadata, rules } of objects.filter(({ kind }) => kind === 'ClusterRole')) {
    const rights = rightsOf(rules);
    const statuses = rights.filter((one) => /\/status/.test(one));
    t.is(statuses.length, metadata.name === 'berth-claims' ? 3 : 0, metadata.name);
    if (metadata.name === 'berth-claims') continue;
    t.true(rights.every((one) => one.endsWith(' hostportclaims.berth.dev')));
  }
});

test('the rights of its account are what the controller asks for, and no more', async (t) => {
  const asked = new Set<string>();
  await using rig = new Rig();
  const note = (request: Parameters<typeof rightFor>[0]) => {
    asked.add(rightFor(request));
    return { there: 1, back: 1 };
  };
  // As the manifests make it.
  const { metadata } = only(objects, 'Lease');
  rig.ask('POST', '/apis/coordination.k8s.io/v1/namespaces/berth-system/leases', { metadata });
  rig.createNamespace('shop');
  rig.createClass('games', { pools: [{ start: 7000, end: 7009 }] });
  const spec = { replicas: 1, template: { metadata: { annotations: { 'claim-template.berth.dev/game': 'games' } } } };
  rig.ask('POST', '/apis/apps/v1/namespaces/shop/statefulsets', { metadata: { name: 'arena' }, spec });
  // It dies between making a HostPort and telling the claim: the next one looks at what there is.
  const survives = ({ path }: { readonly path: string }) => !path.endsWith('/game-arena-0/status');
  const first = rig.start('a', { journey: note, survives });
  await rig.until(() => !first.alive);
  rig.start('b', { journey: note });
  await rig.until(() => rig.phase('shop', 'game-arena-0') === 'Bound');
  rig.createHostPort('hp-7005', { hostPortClassName: 'games' });
  rig.createClaim('shop', 'named', { hostPortClassName: 'games', hostPortName: 'hp-7005' });
  rig.createHostPort('hp-7006', { hostPortClassName: 'games' });
  await rig.until(() => rig.phase('shop', 'named') === 'Bound');
  rig.ask('DELETE', hostPortPath('hp-7006'));
  rig.ask('DELETE', '/apis/apps/v1/namespaces/shop/statefulsets/arena');
  for (const name of ['named', 'game-arena-0']) rig.ask('DELETE', claimPath('shop', name));
  rig.ask('DELETE', classPath('games'));
  await rig.until(() => rig.class('games') === undefined && rig.hostPorts().length === 0, 120_000);

  const rules = (kind: string) => only(objects, kind, 'berth-claims').rules as readonly Thing[];
  const granted = rightsOf([...rules('ClusterRole'), ...rules('Role')]);
  // Events are written beside, by the program.
  const events = ['create events', 'patch events'];
  t.deepEqual([...asked, ...events].sort(), granted);
});
