/**
 * The door of an aggregator that is open to the network: TLS with a certificate of its own or one from files, and callers that the
 * API server knows or that have a certificate. Constructs what that needs; until there is a certificate every handshake fails.
 */
import { hostname, networkInterfaces } from 'node:os';
import type { ClusterRegistry } from './core/cluster.ts';
import { AccessReviewer } from './kube/accessreview.ts';
import { AgentPods } from './kube/agentpods.ts';
import { ApiClient } from './kube/api/client.ts';
import { findCredentials } from './kube/api/connect.ts';
import { ApiAuthorityStore } from './kube/authoritystore.ts';
import { EventWriter } from './kube/eventwriter.ts';
import { Forbidden } from './kube/forbidden.ts';
import { TokenReviewer } from './kube/tokenreview.ts';
import type { AggregatorOptions } from './ops/aggregatoroptions.ts';
import { systemClock } from './ops/clock.ts';
import type { Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';
import { type Identities, TlsAuthenticator } from './rpc/authentication.ts';
import type { AgentCaller } from './rpc/caller.ts';
import type { Door } from './rpc/clusterserver.ts';
import { createTlsListener, type TlsListener } from './rpc/tls/listener.ts';
import { ServerMaterials } from './trust/servermaterials.ts';
import { VERSION } from './version.ts';

/** What tokens for the aggregator are made for. */
export const AUDIENCE = 'berth';
const AGENT_LABELS = 'app.kubernetes.io/name=berth,app.kubernetes.io/component=agent';
const RECONNECT_CAP_MS = 30_000;

export interface SecureDoor extends AsyncDisposable {
  readonly door: Door;
  /** An agent tried to speak for another node: an Event on its pod says so. */
  impostor(caller: AgentCaller, node: string): void;
}

/** Resolves once there is a certificate to show; to undefined when the signal aborts before. Rejects with CONFIG_INVALID. */
export async function openSecureDoor(
  options: AggregatorOptions,
  cluster: ClusterRegistry,
  log: Log,
  signal: AbortSignal,
): Promise<SecureDoor | undefined> {
  const { secureListen, aggregatorNamespace: namespace, tlsCert, tlsKey, clientCA } = options;
  if (secureListen === undefined) throw new TypeError('there is no --secure-listen');
  await using opened = new AsyncDisposableStack();
  const repetition = new Repetition(systemClock);
  const failed = (operation: string) => (error: Error) => {
    if (repetition.admit(operation, '', error.message)) log.warn({ event: 'failure', operation, error });
  };
  const client = options.reviewTokens || tlsCert === undefined ? opened.use(await connect(options)) : undefined;
  const materials = opened.use(
    new ServerMaterials({
      identity:
        tlsCert !== undefined && tlsKey !== undefined
          ? { kind: 'files', cert: tlsCert, key: tlsKey }
          : {
              kind: 'authority',
              store: new ApiAuthorityStore({
                client: client as ApiClient,
                namespace,
                name: options.aggregatorAuthority,
              }),
              names: namesOf(options),
            },
      clientAuthorities: clientCA,
      clock: systemClock,
      random: Math.random,
      onError: failed('certificates'),
    }),
  );
  const material = await Promise.race([materials.first(), aborted(signal)]);
  if (material === undefined) return undefined;
  let current = material;
  let listener: TlsListener | undefined;
  materials.follow((next) => {
    listener?.use(next);
    current = next;
    log.info({ event: 'certificate', message: 'new connections see the new certificate' });
  });

  const accounts =
    options.reviewTokens && client !== undefined ? accountsOf(options, client, cluster, failed) : undefined;
  const end = new AbortController();
  const pods = accounts?.pods.run(end.signal);
  opened.defer(async () => {
    end.abort();
    await pods;
  });
  const events = client && eventsOf(client, failed('events'));
  opened.defer(() => events?.stop());
  const door: Door = {
    address: secureListen,
    authenticator: new TlsAuthenticator(accounts?.identities),
    createListener: (take) => {
      listener = createTlsListener({
        material: current,
        onConnection: take,
        onRefused: (reason) => {
          if (repetition.admit('handshake', '', reason)) log.info({ event: 'handshake-refused', message: reason });
        },
      });
      return listener.server;
    },
  };
  const owned = opened.move();
  return {
    door,
    impostor: ({ node: own, pod }, node) => {
      const message = `The agent of node ${own} tried to report for node ${node} and was refused: its account may have been stolen.`;
      if (pod !== undefined) events?.note(pod, { type: 'Warning', reason: 'ForeignNodeReport', message });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

async function connect({ kubeconfig }: AggregatorOptions): Promise<ApiClient> {
  const credentials = await findCredentials(kubeconfig, process.env, systemClock);
  return new ApiClient({ credentials, clock: systemClock, userAgent: `berth-aggregator/${VERSION}` });
}

function accountsOf(
  { aggregatorNamespace: namespace, agentAccount }: AggregatorOptions,
  client: ApiClient,
  cluster: ClusterRegistry,
  failed: (operation: string) => (error: Error) => void,
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

/** Writes one Event after the other. */
function eventsOf(client: ApiClient, onError: (error: Error) => void): EventWriter {
  let busy = false;
  const work = async () => {
    if (busy) return;
    busy = true;
    while (writer.waiting) await writer.writeNext();
    busy = false;
  };
  const writer: EventWriter = new EventWriter({
    client,
    node: hostname(),
    clock: systemClock,
    random: Math.random,
    forbidden: new Forbidden(onError),
    onError,
    onWork: () => void work(),
  });
  return writer;
}

/** The Services of deploy/aggregator as pods and nodes of the cluster call them, this host, and what was asked for. */
function namesOf({ aggregatorNamespace: namespace, tlsName }: AggregatorOptions): readonly string[] {
  const services = ['berth-aggregator', 'berth-aggregator-replicas'].flatMap((service) =>
    ['', `.${namespace}`, `.${namespace}.svc`, `.${namespace}.svc.cluster.local`].map((rest) => `${service}${rest}`),
  );
  const addresses = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => address);
  return [...new Set([...services, 'localhost', '127.0.0.1', '::1', ...addresses, ...tlsName])];
}
