/** The aggregator as deploy/ installs it, and asking its replicas as a client on a node does. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { apply, get, kubectl, kubectlGiven, type Thing, until } from './cluster.ts';
import { type Amend, NAMESPACE, objectsOf } from './install.ts';
import { inNode } from './lab.ts';

const ROOT = join(import.meta.dirname, '../..');
const CLI = join(ROOT, 'daemon/cli.ts');
export const PORT = 9467;
export const SERVER_NAME = 'berth-aggregator.berth-system.svc';

/** Agents that report, as components/aggregator makes them: a kubectl before 1.21 knows no components. */
export const reporting: Amend = (object) => {
  if (object.kind !== 'DaemonSet') return object;
  const amended = structuredClone(object);
  for (const { path, value } of parse(readFileSync(join(ROOT, 'deploy/components/aggregator/patch.yaml'), 'utf8'))) {
    const keys = path.split('/').slice(1);
    const last = keys.pop();
    const parent = keys.reduce((at: Thing, key: string) => at[key], amended);
    if (last === '-') parent.push(value);
    else parent[last] = value;
  }
  return amended;
};

/** Resolves when every replica is ready. A PodDisruptionBudget of policy/v1 is unknown to a cluster before 1.21. */
export async function installAggregator(...more: readonly string[]): Promise<void> {
  const versions = (await kubectl('api-versions')).split('\n');
  const objects = (await objectsOf('deploy/aggregator')).filter(({ apiVersion }) => versions.includes(apiVersion));
  for (const { kind, spec } of objects) if (kind === 'Deployment') spec.template.spec.containers[0].args.push(...more);
  await apply(objects);
  await kubectl('rollout', 'status', 'deployment/berth-aggregator', '-n', NAMESPACE, '--timeout=120s');
}

/** The replicas that are ready and stay. */
export async function replicas(): Promise<readonly Thing[]> {
  const { items } = await get('pods', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=aggregator');
  return items.filter(
    ({ metadata, status }: Thing) =>
      metadata.deletionTimestamp === undefined && status.containerStatuses?.every(({ ready }: Thing) => ready),
  );
}

export async function bothReplicas(): Promise<readonly Thing[]> {
  return until('two replicas are ready', 120, async () => {
    const found = await replicas();
    return found.length === 2 && found;
  });
}

/** A token of a service account for the aggregator; of one pod of it where one is given. */
export async function tokenOf(namespace: string, account: string, pod?: Thing): Promise<string> {
  const boundObjectRef = pod && { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid };
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' };
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
  const asked = { ...request, spec: { audiences: ['berth'], boundObjectRef } };
  return JSON.parse(await kubectlGiven(asked, 'create', '--raw', path)).status.token;
}

/** A client on a node, with the files it needs in a directory. */
export class Client {
  readonly #node: string;
  readonly #directory: string;

  constructor(node: string, directory: string) {
    this.#node = node;
    this.#directory = directory;
  }

  /** The published authority, and who asks. */
  async prepare(token: string): Promise<void> {
    const { data } = await get('configmap', 'berth-aggregator-ca', '-n', NAMESPACE);
    writeFileSync(this.path('ca.crt'), data['ca.crt']);
    writeFileSync(this.path('token'), token, { mode: 0o600 });
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  /** What berth prints as JSON. Rejects when it fails. */
  async ask(replica: Thing, command: string, ...more: readonly string[]): Promise<Thing> {
    return JSON.parse(await inNode(this.#node, process.execPath, CLI, ...this.arguments(replica, command, ...more)));
  }

  arguments(replica: Thing, command: string, ...more: readonly string[]): readonly string[] {
    const to = ['--aggregator', `${replica.status.podIP}:${PORT}`, '--aggregator-server-name', SERVER_NAME];
    const files = ['--aggregator-ca', this.path('ca.crt'), '--aggregator-token', this.path('token')];
    return [command, ...more, ...to, ...files, '--output', 'json'];
  }
}
