/** deploy/aggregator, and the agents that report to it, agree with the programs and with each other. */
import test from 'ava';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import { readAggregatorOptions } from '../../daemon/ops/aggregatoroptions.ts';
import { VERSION } from '../../daemon/version.ts';
import { filesIn, kustomization, only, patched, readManifest, resourcesOf, type Thing } from './manifests.ts';

const objects = resourcesOf('aggregator');
const deployment = only(objects, 'Deployment');
const pod = deployment.spec.template;
const [container] = pod.spec.containers;
const labels = pod.metadata.labels;
const client = only(objects, 'Service', 'berth-aggregator');
const replicas = only(objects, 'Service', 'berth-aggregator-replicas');
const PATCH = 'components/aggregator/patch.yaml';
const base = only(resourcesOf('base'), 'DaemonSet');
const wired = patched(base, PATCH);
const [agent] = wired.spec.template.spec.containers;

function aggregatorOptions() {
  const [command, ...argv] = container.args;
  const read = readAggregatorOptions({ argv, env: {} });
  if (command !== 'aggregator' || read.kind !== 'run') throw new Error('it does not run the aggregator');
  return read.options;
}

function agentOptions(daemonSet: Thing) {
  const [command, ...args] = daemonSet.spec.template.spec.containers[0].args;
  const argv = args.map((one: string) => one.replace(/^--pools-file=.*/, '--pool=default=20000-29999'));
  const read = readAgentOptions({ argv, env: { BERTH_NODE_NAME: 'node-7' } }, 'host');
  if (command !== 'agent' || read.kind !== 'run') throw new Error('it does not run the agent');
  return read.options;
}

test('the kustomizations list every file beside them, in this version', (t) => {
  t.deepEqual(kustomization('aggregator').resources.toSorted(), filesIn('aggregator').toSorted());
  t.deepEqual(kustomization('aggregator').images, [{ name: container.image, newTag: VERSION }]);
  t.deepEqual(filesIn('components/aggregator'), ['patch.yaml']);
  t.deepEqual(kustomization('components/aggregator').resources, ['../../aggregator']);
  for (const [directory, components] of [
    ['aggregated', ['../components/aggregator']],
    ['monitored', ['../components/aggregator', '../components/metrics']],
  ] as const) {
    t.like(kustomization(directory), { resources: ['../base'], components });
  }
});

test('the arguments of the Deployment are options of the aggregator, which guards what it opens', (t) => {
  const options = aggregatorOptions();
  t.like(options, { aggregatorNamespace: 'berth-system', reviewTokens: true, insecureMetrics: false });
  t.like(options, { insecureListen: false, listen: { loopback: true } });
  t.is(options.aggregatorAuthority, only(objects, 'Secret').metadata.name);
  t.is(options.agentAccount, base.spec.template.spec.serviceAccountName);
  const ports = Object.fromEntries(container.ports.map(({ name, containerPort }: Thing) => [name, containerPort]));
  t.deepEqual(ports, { grpc: options.secureListen?.port, metrics: options.aggregatorMetricsAddress.port });
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
    t.like(container[probe].httpGet, { scheme: 'HTTPS', port: 'metrics', host: undefined });
    t.is(container[probe].httpGet.path, probe === 'readinessProbe' ? '/readyz' : '/healthz');
  }
});

test('the aggregator is legal under Pod Security "restricted"', (t) => {
  t.like(pod.spec.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
  t.true(pod.spec.securityContext.runAsUser > 0);
  t.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC', 'volumes']) t.is(pod.spec[field], undefined, field);
  t.false(pod.spec.enableServiceLinks);
});

test('two replicas, apart from each other, of which one always stays', (t) => {
  const { replicas: count, strategy } = deployment.spec;
  t.is(count, 2);
  t.is(strategy.rollingUpdate.maxUnavailable, 0);
  const budget = only(objects, 'PodDisruptionBudget').spec;
  t.is(budget.minAvailable, 1);
  const [{ podAffinityTerm }] = pod.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
  const [spread] = pod.spec.topologySpreadConstraints;
  const policy = only(objects, 'NetworkPolicy').spec;
  const selectors = [budget.selector, podAffinityTerm.labelSelector, spread.labelSelector, policy.podSelector];
  for (const { matchLabels } of [...selectors, deployment.spec.selector]) t.like(labels, matchLabels);
  for (const { spec } of [client, replicas]) t.like(labels, spec.selector);
});

test('the Services lead to ports of the container; agents find replicas that are not ready too', (t) => {
  const named = container.ports.map(({ name }: Thing) => name);
  for (const { spec } of [client, replicas]) {
    for (const { targetPort } of spec.ports) t.true(named.includes(targetPort), targetPort);
  }
  t.like(replicas.spec, { clusterIP: 'None', publishNotReadyAddresses: true });
  t.is(client.spec.publishNotReadyAddresses, undefined);
  const opened = only(objects, 'NetworkPolicy').spec.ingress.flatMap(({ ports }: Thing) =>
    ports.map(({ port }: Thing) => port),
  );
  t.deepEqual(opened, named);
});

test('the Secret and the ConfigMap of the authority are made without data, so that applying them again resets nothing', (t) => {
  for (const kind of ['Secret', 'ConfigMap']) {
    const object = only(objects, kind);
    t.deepEqual(Object.keys(object).sort(), ['apiVersion', 'kind', 'metadata']);
    t.is(object.metadata.name, 'berth-aggregator-ca');
  }
});

test('every object has the recommended labels, and is where the agents are', (t) => {
  for (const { kind, metadata } of objects) {
    t.like(metadata.labels, { 'app.kubernetes.io/name': 'berth', 'app.kubernetes.io/part-of': 'berth' });
    const inNamespace = !kind.startsWith('Cluster');
    t.is(metadata.namespace, inNamespace ? 'berth-system' : undefined, kind);
  }
  t.is(base.metadata.namespace, 'berth-system');
});

test('the patched agent reports to every replica, over TLS with the authority and a token for it', (t) => {
  const options = agentOptions(wired);
  const port = replicas.spec.ports.find(({ name }: Thing) => name === 'grpc').port;
  const { name, namespace } = replicas.metadata;
  t.deepEqual(options.aggregator, [{ host: `${name}.${namespace}.svc`, port, literal: false }]);
  t.is(wired.spec.template.spec.dnsPolicy, 'ClusterFirstWithHostNet');
  const { volumes } = wired.spec.template.spec;
  const fileOf = (mountPath: string) => {
    const mount = agent.volumeMounts.find((one: Thing) => one.mountPath === mountPath);
    t.true(mount.readOnly);
    return volumes.find((one: Thing) => one.name === mount.name);
  };
  t.is(options.aggregatorCA, '/etc/berth-ca/ca.crt');
  t.deepEqual(fileOf('/etc/berth-ca').configMap, { name: only(objects, 'ConfigMap').metadata.name, optional: true });
  t.is(options.aggregatorToken, '/var/run/secrets/berth/token');
  const [{ serviceAccountToken }] = fileOf('/var/run/secrets/berth').projected.sources;
  t.like(serviceAccountToken, { path: 'token', audience: 'berth' });
});

test('the patch changes nothing else of the agent', (t) => {
  const { args, volumeMounts, ...container } = agent;
  const { containers, dnsPolicy, volumes, ...rest } = wired.spec.template.spec;
  const [before] = base.spec.template.spec.containers;
  t.deepEqual({ ...container, args: args.slice(0, -3), volumeMounts: volumeMounts.slice(0, -2) }, before);
  t.deepEqual({ ...rest, volumes: volumes.slice(0, -2), containers: [before] }, base.spec.template.spec);
  t.is(dnsPolicy, 'ClusterFirstWithHostNet');
  t.is(containers.length, 1);
});

test('the patches come from files that kubectl can apply alone', (t) => {
  for (const component of ['aggregator', 'metrics', 'static-host-ports']) {
    t.notThrows(() => patched(base, `components/${component}/patch.yaml`));
    t.regex(
      readManifest(`components/${component}/kustomization.yaml`),
      /target: \{ kind: DaemonSet, name: berth-agent \}/,
    );
  }
});
