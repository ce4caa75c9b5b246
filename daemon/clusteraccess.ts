/**
 * What an aggregator needs of the API server: whose tokens are, what their owners may do, on which nodes agents run, and Events about
 * those that cheat. Constructs that.
 */
import { openEvents } from './aggregatorevents.ts';
import type { ClusterRegistry } from './core/cluster.ts';
import { AccessReviewer } from './kube/accessreview.ts';
import { AgentPods } from './kube/agentpods.ts';
import { ApiClient } from './kube/api/client.ts';
import { findCredentials } from './kube/api/connect.ts';
import { Forbidden } from './kube/forbidden.ts';
import { TokenReviewer } from './kube/tokenreview.ts';
import type { AggregatorOptions } from './ops/aggregatoroptions.ts';
import { systemClock } from './ops/clock.ts';
import { AUDIENCE, type Identities } from './rpc/authentication.ts';
import type { AgentCaller } from './rpc/caller.ts';
import { VERSION } from './version.ts';

const AGENT_LABELS = 'app.kubernetes.io/name=berth,app.kubernetes.io/component=agent';
const RECONNECT_CAP_MS = 30_000;

/** Tells of failures, each of its kind. */
export type Failed = (operation: string) => (error: Error) => void;

export interface ClusterAccess extends AsyncDisposable {
  readonly client: ApiClient;
  /** Undefined: tokens are not reviewed, and nobody lists the agents. */
  readonly identities: Identities | undefined;
  /** An agent tried to speak for another node: an Event on its pod says so. */
  impostor(caller: AgentCaller, node: string): void;
}

/** Rejects with CONFIG_INVALID. */
export async function openClusterAccess(
  options: AggregatorOptions,
  cluster: ClusterRegistry,
  failed: Failed,
): Promise<ClusterAccess> {
  await using opened = new AsyncDisposableStack();
  const credentials = await findCredentials(options.kubeconfig, process.env, systemClock);
  const client = opened.use(
    new ApiClient({ credentials, clock: systemClock, userAgent: `berth-aggregator/${VERSION}` }),
  );
  const end = new AbortController();
  const accounts = options.reviewTokens ? accountsOf(options, client, cluster, failed) : undefined;
  const pods = accounts?.pods.run(end.signal);
  opened.defer(async () => {
    end.abort();
    await pods;
  });
  const events = openEvents(client, new Forbidden(failed('events')), failed('events'));
  opened.defer(() => events.stop());
  const owned = opened.move();
  return {
    client,
    identities: accounts?.identities,
    impostor: ({ node: own, pod }, node) => {
      const message = `The agent of node ${own} tried to report for node ${node} and was refused: its account may have been stolen.`;
      if (pod !== undefined) events.note(pod, { type: 'Warning', reason: 'ForeignNodeReport', message });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function accountsOf(
  { aggregatorNamespace: namespace, agentAccount }: AggregatorOptions,
  client: ApiClient,
  cluster: ClusterRegistry,
  failed: Failed,
): { readonly identities: Identities; readonly pods: AgentPods } {
  const tokens = new TokenReviewer({ client, clock: systemClock, audience: AUDIENCE });
  const rights = new AccessReviewer(client, systemClock);
  const pods = new AgentPods({
    client,
    namespace,
    labelSelector: AGENT_LABELS,
    clock: systemClock,
    random: Math.random,
    reconnectCapMs: RECONNECT_CAP_MS,
    onNodes: (nodes) => cluster.know(nodes),
    onError: failed('agents'),
  });
  const identities = {
    review: (token: string) => tokens.review(token),
    allowed: (...question: Parameters<Identities['allowed']>) => rights.allowed(...question),
    agentAccount: `system:serviceaccount:${namespace}:${agentAccount}`,
    agentNamespace: namespace,
    agentPods: pods,
    report: failed('authentication'),
  };
  return { identities, pods };
}
