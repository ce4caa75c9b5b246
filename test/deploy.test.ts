/** deploy/ agrees with the program, with the bundle, and with itself. test/cluster/ shows that a cluster accepts it. */
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parse, parseAllDocuments } from 'yaml';
import { readAgentOptions } from '../daemon/ops/agentoptions.ts';
import { parsePoolsFile } from '../daemon/ops/pools.ts';
import { VERSION } from '../daemon/version.ts';
import { AGGREGATOR_NODE_FLAGS, NODE_COMMAND, RUN_ENV } from '../deploy/bundle.ts';
import { ENTRYPOINT } from '../deploy/image.ts';

const deploy = join(import.meta.dirname, '../deploy');
const read = (path: string) => readFileSync(join(deploy, path), 'utf8');

/** An object of the API, of any kind. */
// biome-ignore lint/suspicious/noExplicitAny: the API's objects have no types here
type Thing = any;

function objectsIn(directory: string): readonly Thing[] {
  const files = readdirSync(join(deploy, directory)).filter((name) => name !== 'kustomization.yaml');
  return files.flatMap((name) => parseAllDocuments(read(join(directory, name))).map((document) => document.toJS()));
}

const base = objectsIn('base');
const one = (kind: string): Thing => {
  const found = base.filter((object) => object.kind === kind);
  if (found.length !== 1) throw new Error(`deploy/base has ${found.length} of kind ${kind}`);
  return found[0];
};
const { spec: podSpec } = one('DaemonSet').spec.template;
const [agent] = podSpec.containers;

test('every kustomization lists every file beside it', (t) => {
  for (const directory of ['base', 'components/guard']) {
    const files = readdirSync(join(deploy, directory)).filter((name) => name !== 'kustomization.yaml');
    t.deepEqual(parse(read(`${directory}/kustomization.yaml`)).resources.toSorted(), files.sort());
  }
  const [whole, part] = [parse(read('kustomization.yaml')), parse(read('base/kustomization.yaml'))];
  t.deepEqual(whole, { ...part, resources: part.resources.map((name: string) => `base/${name}`) });
});

/** What the agent makes of these arguments, in the environment that the DaemonSet gives it. */
function optionsWith([command, ...given]: readonly string[]) {
  const files = { '--pools-file=/etc/berth/pools.yaml': '--pool=default=20000-29999' };
  const argv = given.map((argument) => files[argument as keyof typeof files] ?? argument);
  const env = Object.fromEntries(agent.env.map(({ name }: Thing) => [name, 'node-7']));
  const result = readAgentOptions({ argv, env }, 'host');
  return command === 'agent' && result.kind === 'run' ? result.options : undefined;
}

test('the arguments and variables of the DaemonSet are options of the agent', (t) => {
  const options = optionsWith(agent.args);
  t.is(options?.nodeName, 'node-7');
  t.is(options?.procSys, '/host/proc/sys');
  t.false(options?.staticHostPorts);
});

test('the component for static hostPorts adds the option and the capability, and nothing else', (t) => {
  const patch: readonly Thing[] = parse(read('components/static-host-ports/patch.yaml'));
  const added = patch.map(({ op, path, value }) => ({ op, value, to: targetOf(path) }));
  t.deepEqual(added, [
    { op: 'add', value: '--static-host-ports', to: agent.args },
    { op: 'add', value: 'NET_BIND_SERVICE', to: agent.securityContext.capabilities.add },
  ]);
  t.true(optionsWith([...agent.args, added[0]?.value])?.staticHostPorts);
});

/** The list of the DaemonSet to whose end a JSON pointer leads. */
function targetOf(pointer: string): Thing {
  const [, ...steps] = pointer.split('/');
  if (steps.pop() !== '-') throw new Error(`${pointer} is not the end of a list`);
  return steps.reduce((object, step) => object[step], one('DaemonSet'));
}

test('what the agent is told to use is mounted, and nothing else of the node', (t) => {
  const hostPaths = podSpec.volumes
    .filter((volume: Thing) => volume.hostPath)
    .map((volume: Thing) => volume.hostPath.path);
  t.deepEqual(hostPaths.sort(), ['/proc/sys/net', '/run/berth', '/var/lib/berth']);
  const mounted = agent.volumeMounts.map(({ name, mountPath }: Thing) => [name, mountPath]);
  t.deepEqual(Object.fromEntries(mounted), {
    state: '/var/lib/berth',
    socket: '/run/berth',
    sysctls: '/host/proc/sys/net',
    pools: '/etc/berth',
  });
});

test('the agent has NET_ADMIN and no other privilege', (t) => {
  t.deepEqual(agent.securityContext.capabilities, { drop: ['ALL'], add: ['NET_ADMIN'] });
  t.false(agent.securityContext.allowPrivilegeEscalation);
  t.true(agent.securityContext.readOnlyRootFilesystem);
  t.is(agent.securityContext.privileged, undefined);
  t.is(podSpec.securityContext.seccompProfile.type, 'RuntimeDefault');
  t.is(podSpec.hostPID, undefined);
  t.is(podSpec.hostIPC, undefined);
});

test('the probes ask on the loopback of the node, where the agent answers unless told otherwise', (t) => {
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
    const { host, port, path } = agent[probe].httpGet;
    t.is(`${host}:${port}`, '127.0.0.1:9464');
    t.is(path, probe === 'readinessProbe' ? '/readyz' : '/healthz');
  }
});

test('the pools of the ConfigMap are pools', (t) => {
  const { data } = one('ConfigMap');
  t.notThrows(() => parsePoolsFile(data['pools.yaml'], 'pools.yaml'));
});

test('every object has the recommended labels, and the DaemonSet finds its pods by them', (t) => {
  for (const object of [...base, ...objectsIn('components/guard')]) {
    t.is(object.metadata.labels['app.kubernetes.io/name'], 'berth', object.kind);
    t.is(object.metadata.labels['app.kubernetes.io/part-of'], 'berth', object.kind);
  }
  const { selector, template } = one('DaemonSet').spec;
  t.like(template.metadata.labels, selector.matchLabels);
});

test('the guard holds the account that the DaemonSet runs as', (t) => {
  const policy = objectsIn('components/guard').find(
    ({ kind, metadata }) => kind === 'ValidatingAdmissionPolicy' && metadata.name === 'berth-agent-guard',
  );
  const { namespace } = one('DaemonSet').metadata;
  const [{ expression }] = policy.spec.matchConditions;
  t.true(expression.includes(`'system:serviceaccount:${namespace}:${podSpec.serviceAccountName}'`));
});

test('both ways to make the image start the agent alike, in this version', (t) => {
  const dockerfile = read('Dockerfile');
  t.deepEqual(JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? 'null'), ENTRYPOINT);
  t.deepEqual(ENTRYPOINT, [...NODE_COMMAND, '/opt/berth/berth.mjs']);
  for (const [name, value] of Object.entries(RUN_ENV)) t.true(dockerfile.includes(`ENV ${name}=${value}\n`));
  t.true(dockerfile.includes(`-t berth:${VERSION} `));
  t.deepEqual(parse(read('base/kustomization.yaml')).images, [{ name: agent.image, newTag: VERSION }]);
});

test('the aggregator is started as it is measured: as the image is, with flags of its own', (t) => {
  const [{ spec }] = objectsIn('aggregator').filter(({ kind }) => kind === 'Deployment');
  const [{ command }] = spec.template.spec.containers;
  t.deepEqual(command, ['node', ...AGGREGATOR_NODE_FLAGS, '--', ENTRYPOINT.at(-1)]);
});

test('no manifest names a registry', (t) => {
  for (const file of globSync('**/*.yaml', { cwd: deploy })) {
    for (const [, image = ''] of read(file).matchAll(/image: (\S+)/g)) t.notRegex(image, /[/.]/, file);
  }
});
