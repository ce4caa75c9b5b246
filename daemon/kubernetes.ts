/** The agent's adapters for a cluster: one client, the reflector, the publisher, and what the API server knows of the node. */

import { messageOf } from './core/errors.ts';
import { isForbidden, isNotFound } from './kube/api/apierror.ts';
import { backoff } from './kube/api/backoff.ts';
import { ApiClient } from './kube/api/client.ts';
import { findCredentials } from './kube/api/connect.ts';
import { pause } from './kube/api/pause.ts';
import { ApiAnnouncements } from './kube/apiannouncements.ts';
import { standingOf } from './kube/apipod.ts';
import { ApiClaims } from './kube/claims.ts';
import { followNode, type NodeFacts, readNode } from './kube/node.ts';
import { ApiPublisher } from './kube/publisher.ts';
import { Reflector } from './kube/reflector.ts';
import type { AgentOptions } from './ops/agentoptions.ts';
import { systemClock } from './ops/clock.ts';
import type { ClusterIdentity, OpenAnnouncements, PodAdapters, PodReports } from './podadapters.ts';
import { VERSION } from './version.ts';

export type ClusterOptions = Pick<AgentOptions, 'nodeName' | 'nodeLabels' | 'kubeconfig' | 'reconnectCapMs'> &
  Partial<Pick<AgentOptions, 'aggregator'>>;

/** Rejects with CONFIG_INVALID. */
export async function connect({ kubeconfig }: Pick<ClusterOptions, 'kubeconfig'>): Promise<ApiClient> {
  const credentials = await findCredentials(kubeconfig, process.env, systemClock);
  return new ApiClient({ credentials, clock: systemClock, userAgent: `berth/${VERSION}` });
}

/** Resolves when the node is known: while the API server is away there are no pods to give ports to either. */
export async function openKubernetes(options: ClusterOptions, reports: PodReports): Promise<PodAdapters> {
  const { nodeName: node, nodeLabels, reconnectCapMs } = options;
  const client = await connect(options);
  const shared = { client, node, clock: systemClock, random: Math.random };
  const publisher = new ApiPublisher({ ...shared, onError: reports.publishFailed });
  let facts = await factsOf(client, options, reports);
  const end = new AbortController();
  // Addresses are for aggregators alone.
  const following =
    options.aggregator && followNode(shared, (read) => (facts = read), AbortSignal.any([reports.signal, end.signal]));
  const { labels } = facts;
  return {
    source: new Reflector({ ...shared, reconnectCapMs }),
    claims: new ApiClaims(client),
    publisher,
    labels: { ...labels, ...nodeLabels },
    get addresses() {
      return facts.addresses;
    },
    async close() {
      end.abort();
      await following;
      await publisher.flush();
      await client[Symbol.asyncDispose]();
    },
  };
}

/** A pod of this node as it is now, and what the agent last told it; undefined when there is none. */
export async function findInCluster(options: ClusterOptions, namespace: string, name: string) {
  await using client = await connect(options);
  const { nodeName: node, reconnectCapMs } = options;
  const source = new Reflector({ client, node, clock: systemClock, random: Math.random, reconnectCapMs });
  const pod = await source.get(namespace, name);
  return pod && { pod, condition: standingOf(pod).condition };
}

/** What Berth told the pods of this node. */
export async function openAnnouncements(options: ClusterIdentity, signal: AbortSignal): Promise<OpenAnnouncements> {
  const client = await connect(options);
  const shared = { client, node: options.nodeName, clock: systemClock, random: Math.random };
  const announcements = new ApiAnnouncements({ ...shared, signal });
  return { announcements, close: () => client[Symbol.asyncDispose]() };
}

const NOTHING: NodeFacts = { labels: {}, addresses: [] };

async function factsOf(
  client: ApiClient,
  { nodeName, reconnectCapMs }: ClusterOptions,
  { warn, podsFailed, signal }: PodReports,
): Promise<NodeFacts> {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      return await readNode(client, nodeName, signal);
    } catch (error) {
      if (isNotFound(error)) {
        warn(
          `there is no node ${nodeName}, so that no pod will be found: give --node-name as kubectl get nodes prints it`,
        );
        return NOTHING;
      }
      if (isForbidden(error)) {
        warn(
          `the labels of node ${nodeName} are not known, pools with a nodeSelector are not used: ${messageOf(error)}; allow the agent's service account to get nodes, or give --node-labels`,
        );
        return NOTHING;
      }
      if (!signal.aborted) podsFailed(error);
      await pause(systemClock, backoff({ first: 100, cap: reconnectCapMs }, failures, Math.random), signal);
    }
  }
  return NOTHING;
}
