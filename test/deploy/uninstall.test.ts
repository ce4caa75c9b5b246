/** deploy/uninstall agrees with the program and asks for no more than the agent may do. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parse, parseAllDocuments } from 'yaml';
import { readUninstallOptions } from '../../daemon/ops/uninstall/options.ts';
import { VERSION } from '../../daemon/version.ts';

const directory = join(import.meta.dirname, '../../deploy/uninstall');
const read = (name: string) => readFileSync(join(directory, name), 'utf8');

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string }[];
  readonly securityContext: { readonly capabilities: object; readonly privileged?: boolean };
  readonly volumeMounts: readonly { readonly mountPath: string }[];
}

const [, role] = parseAllDocuments(read('rbac.yaml')).map((one) => one.toJS() as { readonly rules: readonly Rule[] });
const {
  initContainers,
  containers,
}: { readonly initContainers: readonly Container[]; readonly containers: readonly Container[] } = parse(
  read('uninstall.yaml'),
).spec.template.spec;
const [uninstall] = initContainers as readonly [Container];

test('the kustomization lists every file beside it, in this version', (t) => {
  const { resources, images } = parse(read('kustomization.yaml'));
  const files = readdirSync(directory).filter((name) => name !== 'kustomization.yaml');
  t.deepEqual(resources.toSorted(), files.sort());
  t.deepEqual(images, [{ name: uninstall.image, newTag: VERSION }]);
  t.deepEqual(
    containers.map(({ image }) => image),
    [uninstall.image],
  );
});

test('the arguments and variables of the DaemonSet are options of the command', (t) => {
  const [command, ...argv] = uninstall.args;
  t.is(command, 'uninstall');
  const env = Object.fromEntries(uninstall.env.map(({ name }) => [name, 'node-7']));
  const result = readUninstallOptions({ argv, env }, 'host');
  if (result.kind !== 'run') return t.fail();
  const { nodeName, stateDir, socket, procSys, timeoutMs, dryRun } = result.options;
  t.deepEqual([nodeName, timeoutMs, dryRun], ['node-7', 60_000, false]);
  const mounted = uninstall.volumeMounts.map(({ mountPath }) => mountPath);
  t.deepEqual(mounted, [stateDir, join(socket, '..'), `${procSys}/net`]);
});

test('it may do a part of what the agent may do', (t) => {
  const agent: Readonly<Record<string, readonly string[]>> = {
    pods: ['get', 'list', 'watch'],
    'pods/status': ['patch'],
  };
  for (const { resources, verbs } of role?.rules ?? []) {
    for (const resource of resources)
      for (const verb of verbs) t.true(agent[resource]?.includes(verb), `${verb} ${resource}`);
  }
  t.deepEqual(uninstall.securityContext.capabilities, { drop: ['ALL'], add: ['NET_ADMIN'] });
  t.is(uninstall.securityContext.privileged, undefined);
});
