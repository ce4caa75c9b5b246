/** The cluster as its users see it, through kubectl. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';
import { KUBECTL } from './lab.ts';

const ROOT = join(import.meta.dirname, '../..');

/** An object of the API: what a test reads of it is written down where it is read. */
// biome-ignore lint/suspicious/noExplicitAny: the API's objects have no types here
export type Thing = any;

/** Runs kubectl and gives what it prints. Rejects, with what it says, when it fails. */
export async function kubectl(...args: readonly string[]): Promise<string> {
  const [file, ...before] = KUBECTL;
  return (await execa(file, [...before, ...args], { cwd: ROOT })).stdout;
}

/** The same with `-f -` at the end, and what it then reads. */
export async function kubectlGiven(object: object, ...args: readonly string[]): Promise<string> {
  const [file, ...before] = KUBECTL;
  return (await execa(file, [...before, ...args, '-f', '-'], { input: JSON.stringify(object) })).stdout;
}

/** Applies objects, or a kustomization by its path. */
export async function apply(what: string | readonly object[], ...args: readonly string[]): Promise<string> {
  if (typeof what === 'string') return kubectl('apply', '-k', what, ...args);
  return kubectlGiven({ apiVersion: 'v1', kind: 'List', items: what }, 'apply', ...args);
}

export async function get(...args: readonly string[]): Promise<Thing> {
  return JSON.parse(await kubectl('get', ...args, '-o', 'json'));
}

/** Asks every 200 ms until there is an answer other than undefined or false. Rejects with the last error, if it was one. */
export async function until<T>(what: string, seconds: number, ask: () => Promise<T | undefined | false>): Promise<T> {
  const end = performance.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`after ${seconds} s still not: ${what}${why}`, { cause: last });
    }
    await delay(200);
  }
}

/** A namespace for the pods of a test, removed when it ends; nobody waits for that, which takes most of a minute. */
export async function makeNamespace(name: string): Promise<AsyncDisposable & { readonly name: string }> {
  await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }]);
  await until('the default service account is made', 30, () => get('serviceaccount', 'default', '-n', name));
  return {
    name,
    async [Symbol.asyncDispose]() {
      await kubectl('delete', 'namespace', name, '--wait=false');
    },
  };
}

export interface ServerOptions {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly readinessGates?: readonly string[];
  readonly node?: string;
}

/** The template of pods that tell a client who they are: TCP port 8080 named web, UDP port 7777 named play. */
export function serverTemplate(app: string, { annotations = {}, readinessGates = [], node }: ServerOptions = {}) {
  return {
    metadata: { labels: { app }, annotations },
    spec: {
      terminationGracePeriodSeconds: 1,
      ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
      readinessGates: readinessGates.map((conditionType) => ({ conditionType })),
      containers: [
        {
          name: 'server',
          image: 'berth-test/server:1',
          imagePullPolicy: 'Never',
          ports: [
            { name: 'web', containerPort: 8080 },
            { name: 'play', containerPort: 7777, protocol: 'UDP' },
          ],
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
        },
      ],
    },
  };
}

export function serverPod(namespace: string, name: string, options?: ServerOptions) {
  const { metadata, spec } = serverTemplate(name, options);
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, namespace, name }, spec };
}

/** A Deployment or StatefulSet of them. */
export function serverSet(kind: string, namespace: string, name: string, replicas: number, options?: ServerOptions) {
  const selector = { matchLabels: { app: name } };
  const spec = { replicas, selector, template: serverTemplate(name, options) };
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { namespace, name },
    spec: kind === 'StatefulSet' ? { ...spec, serviceName: name, podManagementPolicy: 'Parallel' } : spec,
  };
}

export function conditionOf(pod: Thing, type: string): Thing {
  return pod.status?.conditions?.find((condition: Thing) => condition.type === type);
}

export interface Mapping {
  readonly name: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
  readonly nodeIPs: readonly string[];
  readonly podUID: string;
  readonly podIP: string;
}

/** What the pod's annotation berth.dev/mappings announces; undefined when it is absent. */
export function announced(pod: Thing): readonly Mapping[] | undefined {
  const text = pod.metadata.annotations?.['berth.dev/mappings'];
  return text === undefined ? undefined : JSON.parse(text);
}

/** Waits until the pod announces a mapping for every name. */
export async function mappingsOf(
  namespace: string,
  pod: string,
  names: readonly string[],
): Promise<Map<string, Mapping>> {
  return until(`${namespace}/${pod} announces ${names.join(', ')}`, 60, async () => {
    const found = await get('pod', pod, '-n', namespace);
    const byName = new Map((announced(found) ?? []).map((mapping) => [mapping.name, mapping]));
    const complete = names.every((name) => byName.get(name)?.podUID === found.metadata.uid);
    return complete && conditionOf(found, 'berth.dev/PortsMapped')?.status === 'True' ? byName : undefined;
  });
}

/** Makes a pod that asks for all its ports. Gives the mapping of its port web when it is Ready and announces both. */
export async function mappedPod(namespace: string, name: string, node: string): Promise<Mapping> {
  await apply([serverPod(namespace, name, { annotations: { 'berth.dev/ports': '' }, node })]);
  await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', namespace, '--timeout=60s');
  return webOf(namespace, name);
}

/** The mapping of the pod's port web, when it announces that one and play. */
export async function webOf(namespace: string, pod: string): Promise<Mapping> {
  return (await mappingsOf(namespace, pod, ['web', 'play'])).get('web') as Mapping;
}

/** The text of the pod's annotation berth.dev/mappings: the numbers, the addresses and whose they are. */
export async function announcementOf(namespace: string, pod: string): Promise<string | undefined> {
  return (await get('pod', pod, '-n', namespace)).metadata.annotations['berth.dev/mappings'];
}

/** For the log of a test that failed: what a person would look at first. */
export async function logState(t: ExecutionContext): Promise<void> {
  const looks = [
    ['get', 'pods', '-A', '-o', 'wide'],
    ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
    ['logs', '-n', 'berth-system', '-l', 'app.kubernetes.io/component=agent', '--tail=60', '--prefix'],
    ['describe', 'pods', '-n', 'berth-system'],
  ];
  for (const look of looks) {
    t.log(`$ kubectl ${look.join(' ')}\n${await kubectl(...look).catch((error: unknown) => String(error))}`);
  }
}
