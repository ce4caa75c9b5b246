/** The metrics of an agent on the network of its node: who may read them is asked of the API server, with a client of their own. */
import { AccessReviewer } from './kube/accessreview.ts';
import { TokenReviewer } from './kube/tokenreview.ts';
import { connect } from './kubernetes.ts';
import { type MetricsDoor, metricsAuthenticator, openMetricsDoor } from './metricsdoor.ts';
import type { AgentOptions } from './ops/agentoptions.ts';
import { systemClock } from './ops/clock.ts';
import type { Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';
import { AUDIENCE } from './rpc/authentication.ts';
import { hostNames } from './servercertificate.ts';
import { ServerMaterials } from './trust/servermaterials.ts';

/** Rejects with CONFIG_INVALID. */
export async function openAgentMetrics(options: AgentOptions, log: Log): Promise<MetricsDoor & AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const client = opened.use(await connect(options));
  const names = [...new Set([options.nodeName, ...hostNames()])];
  const repetition = new Repetition(systemClock);
  const onError = (error: Error) => {
    if (repetition.admit('metrics', '', error.message)) log.warn({ event: 'failure', operation: 'metrics', error });
  };
  const door = openMetricsDoor({ askClients: false, names, log });
  const tokens = new TokenReviewer({ client, clock: systemClock, audience: AUDIENCE });
  const rights = new AccessReviewer(client, systemClock);
  const authenticator = metricsAuthenticator(client, {
    review: (token) => tokens.review(token),
    allowed: (owner, access) => rights.allowed(owner, access),
    // No agent is known here: all are clients like others.
    agentAccount: '',
    agentNamespace: '',
    agentPods: { listed: false, nodeOf: () => undefined },
    report: onError,
  });
  door.use({ authenticator });
  const { metricsCert: cert, metricsKey: key } = options;
  if (cert !== undefined && key !== undefined) {
    const identity = { kind: 'files', cert, key } as const;
    const shared = { clock: systemClock, random: Math.random, onError };
    const materials = opened.use(new ServerMaterials({ identity, clientAuthorities: undefined, ...shared }));
    materials.follow((material) => door.use({ material }));
    materials.first().then((material) => door.use({ material }), onError);
  }
  const owned = opened.move();
  return { ...door, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
