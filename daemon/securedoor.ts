/**
 * The doors of an aggregator that are open to the network: gRPC, and its metrics. TLS with a certificate of its own or one from files, and
 * callers that the API server knows or that have a certificate. Until there is a certificate nobody gets in.
 */
import { type ClusterAccess, type Failed, openClusterAccess } from './clusteraccess.ts';
import type { ClusterRegistry } from './core/cluster.ts';
import { type MetricsDoor, metricsAuthenticator } from './metricsdoor.ts';
import type { AggregatorOptions } from './ops/aggregatoroptions.ts';
import { systemClock } from './ops/clock.ts';
import type { Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';
import { TlsAuthenticator } from './rpc/authentication.ts';
import type { Door } from './rpc/clusterserver.ts';
import { createTlsListener, type TlsListener } from './rpc/tls/listener.ts';
import { openServerCertificate, type ServerCertificate } from './servercertificate.ts';

export interface Secured extends AsyncDisposable {
  /** Undefined: there is no --secure-listen. */
  readonly door: Door | undefined;
  readonly impostor: ClusterAccess['impostor'];
}

/** Resolves once there is what the doors need; to undefined when the signal aborts before. Rejects with CONFIG_INVALID. */
export async function openSecured(
  options: AggregatorOptions,
  metrics: MetricsDoor | undefined,
  cluster: ClusterRegistry,
  log: Log,
  signal: AbortSignal,
): Promise<Secured | undefined> {
  const { secureListen, tlsCert, reviewTokens } = options;
  await using opened = new AsyncDisposableStack();
  const repetition = new Repetition(systemClock);
  const failed: Failed = (operation) => (error) => {
    if (repetition.admit(operation, '', error.message)) log.warn({ event: 'failure', operation, error });
  };
  const access =
    reviewTokens || tlsCert === undefined ? opened.use(await openClusterAccess(options, cluster, failed)) : undefined;
  let door: Door | undefined;
  if (secureListen !== undefined || metrics !== undefined) {
    const onError = failed('certificates');
    const certificate = await openServerCertificate(options, access?.client, log, onError, signal);
    if (certificate === undefined) return undefined;
    opened.use(certificate);
    if (metrics !== undefined) guard(metrics, certificate, access);
    if (secureListen !== undefined) {
      const refused = (reason: string) => {
        if (repetition.admit('handshake', '', reason)) log.info({ event: 'handshake-refused', message: reason });
      };
      door = doorAt(secureListen, certificate, access, refused);
    }
  }
  const owned = opened.move();
  return {
    door,
    impostor: (caller, node) => access?.impostor(caller, node),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function guard(metrics: MetricsDoor, certificate: ServerCertificate, access: ClusterAccess | undefined): void {
  const authenticator =
    access?.identities === undefined ? new TlsAuthenticator() : metricsAuthenticator(access.client, access.identities);
  metrics.use({ material: certificate.current, authenticator });
  certificate.follow((material) => metrics.use({ material }));
}

function doorAt(
  address: Door['address'],
  certificate: ServerCertificate,
  access: ClusterAccess | undefined,
  onRefused: (reason: string) => void,
): Door {
  let listener: TlsListener | undefined;
  certificate.follow((material) => listener?.use(material));
  return {
    address,
    authenticator: new TlsAuthenticator(access?.identities),
    createListener: (take) => {
      listener = createTlsListener({ material: certificate.current, onConnection: take, onRefused });
      return listener.server;
    },
  };
}
