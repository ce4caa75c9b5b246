/** Installing the agent, and the agents that then run. */
import { parseAllDocuments, stringify } from 'yaml';
import { apply, get, kubectl, type Thing, until } from './cluster.ts';
import { HAS_NODES } from './lab.ts';

export const NAMESPACE = 'berth-system';

/** An object of deploy/ as a test wants it. */
export type Amend = (object: Thing) => Thing;

/** Applies deploy/ and waits until an agent is ready on every node. */
export async function install(amend: Amend = (object) => object): Promise<readonly Thing[]> {
  await apply((await objectsOf('deploy/')).map(amend));
  return untilReady();
}

export async function objectsOf(kustomization: string): Promise<readonly Thing[]> {
  return parseAllDocuments(await kubectl('kustomize', kustomization)).map((document) => document.toJS());
}

/** The ConfigMap with these pools. */
export function withPools(pools: readonly object[]): Amend {
  const data = { 'pools.yaml': stringify({ pools }) };
  return (object) => (object.kind === 'ConfigMap' ? { ...object, data } : object);
}

/** The ready agents, one a node, none of them on its way out and none of an earlier template. */
export async function untilReady(): Promise<readonly Thing[]> {
  await kubectl('rollout', 'status', 'daemonset/berth-agent', '-n', NAMESPACE, '--timeout=120s');
  return until('an agent is ready on every node', 60, async () => {
    const nodes = (await get('nodes')).items.length;
    const pods = await agents();
    const ready = pods.filter((pod) => pod.status.containerStatuses?.every((status: Thing) => status.ready));
    return ready.length === nodes && pods.length === nodes ? pods : undefined;
  });
}

export async function agents(): Promise<readonly Thing[]> {
  return (await get('pods', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=agent')).items;
}

export async function agentOn(node: string): Promise<Thing> {
  const found = (await agents()).find(
    (pod) => pod.spec.nodeName === node && pod.metadata.deletionTimestamp === undefined,
  );
  if (found === undefined) throw new Error(`there is no agent on ${node}`);
  return found;
}

/** Deletes the DaemonSet, nothing else. Resolves when the last agent is gone from the API, for which a busy kubelet takes a minute. */
export async function removeAgents(): Promise<void> {
  await kubectl('delete', 'daemonset/berth-agent', '-n', NAMESPACE, '--wait=true', '--timeout=60s');
  await until('the agents are gone', 180, async () => (await agents()).length === 0);
}

/** Leaves the lab as it is: it is taken down as a whole, and the next file has its agents at once. */
export async function uninstall(): Promise<void> {
  // With KUBEBUILDER_ASSETS nothing would ever finish the removal of a namespace.
  if (HAS_NODES || process.env.KUBEBUILDER_ASSETS !== undefined) return;
  await kubectl('delete', '-k', 'deploy/', '--ignore-not-found', '--wait=true', '--timeout=120s');
}
