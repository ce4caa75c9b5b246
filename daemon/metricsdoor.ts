/**
 * The metrics of an agent or aggregator on a network: TLS, and only for whom RBAC lets `get` the path, as kube-rbac-proxy does it. It
 * is open before it is known who may ask or which certificate is to be shown, so that the health can be asked at once.
 */
import { status } from '@grpc/grpc-js';
import type { ApiClient } from './kube/api/client.ts';
import { TokenReviewer } from './kube/tokenreview.ts';
import { systemClock } from './ops/clock.ts';
import type { HttpDoor } from './ops/http.ts';
import type { Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';
import { type Identities, TlsAuthenticator, type TokenOwner } from './rpc/authentication.ts';
import type { Authenticator } from './rpc/caller.ts';
import { denial } from './rpc/httpgate.ts';
import { Refusal } from './rpc/refusal.ts';
import { httpsMaker } from './rpc/tls/https.ts';
import type { ServerMaterial } from './rpc/tls/listener.ts';
import { issueServer, makeAuthority } from './trust/certificates.ts';

export interface MetricsDoor extends HttpDoor {
  /** For new connections and requests from now on. */
  use(part: { readonly material?: ServerMaterial; readonly authenticator?: Authenticator }): void;
}

/** Of a certificate that nobody can check: it is replaced as soon as there is a better one, or for agents never. */
const YEARS_MS = 10 * 365 * 86_400_000;
const MAX_HANDSHAKES = 256;

const NOT_YET: Authenticator = {
  authenticate: () => Promise.reject(new Refusal(status.UNAVAILABLE, 'it is not known yet who may ask: try again')),
};

export interface MetricsDoorOptions {
  /** Clients are asked for certificates. */
  readonly askClients: boolean;
  /** In the certificate that is shown first. */
  readonly names: readonly string[];
  readonly log: Log;
}

export function openMetricsDoor({ askClients, names, log }: MetricsDoorOptions): MetricsDoor {
  const from = systemClock.now();
  const authority = makeAuthority('berth metrics', { from, to: from + YEARS_MS });
  const first = issueServer(authority, names, { from, to: from + YEARS_MS });
  const repetition = new Repetition(systemClock);
  const maker = httpsMaker({
    // No client can have a certificate of an authority whose key is thrown away here.
    material: askClients ? { ...first, clientAuthorities: authority.cert } : first,
    maxHandshakes: MAX_HANDSHAKES,
    onRefused: (reason) => {
      if (repetition.admit('metrics', '', reason)) log.info({ event: 'handshake-refused', message: reason });
    },
  });
  let authenticator = NOT_YET;
  const report = (error: Error) => log.error({ event: 'defect', error });
  return {
    createServer: maker.createServer,
    denial: (request, path) => denial(authenticator, request, path, report),
    use: (part) => {
      if (part.material !== undefined) maker.use(part.material);
      authenticator = part.authenticator ?? authenticator;
    },
  };
}

/**
 * Whom RBAC lets get the path. Besides tokens for Berth those for the API server count, as with kube-rbac-proxy: Prometheus has no
 * others unless it is given some.
 */
export function metricsAuthenticator(client: ApiClient, identities: Identities): Authenticator {
  const others = new TokenReviewer({ client, clock: systemClock, audience: undefined });
  const review = async (token: string): Promise<TokenOwner | undefined> =>
    (await identities.review(token)) ?? (await others.review(token));
  return new TlsAuthenticator({ ...identities, review });
}
