/** Installing the agent, and the agents that then run. */
import { parseAllDocuments, stringify } from 'yaml';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import { apply, get, kubectl, type Thing, until } from './cluster.ts';

export const NAMESPACE = 'berth-system';
export const SERVICE_ACCOUNT = `system:serviceaccount:${NAMESPACE}:berth-agent`;

/** Whether this build watches the API. */
export const WATCHES_API = (() => {
  try {
    return readAgentOptions({ argv: ['--pods=kubernetes'], env: {} }, 'node').kind === 'run';
  } catch {
    return false;
  }
})();

/** Applies deploy/ and waits until an agent is ready on every node. */
export async function install(): Promise<readonly Thing[]> {
  await apply('deploy/');
  return untilReady();
}

/**
 * The same with pods from a directory of the node, and with the pools given: what of the agent does not need the API.
 * `directory` is a path on the node.
 */
export async function installForDirectory(directory: string, pools: object): Promise<readonly Thing[]> {
  const objects: Thing[] = parseAllDocuments(await kubectl('kustomize', 'deploy/')).map((document) => document.toJS());
  const { spec } = objects.find(({ kind }) => kind === 'DaemonSet').spec.template;
  const [agent] = spec.containers;
  agent.args[agent.args.indexOf('--pods=kubernetes')] = '--pods=dir:/pods';
  agent.volumeMounts.push({ name: 'directory', mountPath: '/pods' });
  spec.volumes.push({ name: 'directory', hostPath: { path: directory, type: 'DirectoryOrCreate' } });
  objects.find(({ kind }) => kind === 'ConfigMap').data['pools.yaml'] = stringify({ pools });
  await apply(objects);
  return untilReady();
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

export async function uninstall(): Promise<void> {
  // Nothing there would ever finish the removal of a namespace.
  if (process.env.KUBEBUILDER_ASSETS !== undefined) return;
  await kubectl('delete', '-k', 'deploy/', '--ignore-not-found', '--wait=true', '--timeout=120s');
}
