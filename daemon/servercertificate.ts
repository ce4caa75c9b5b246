/** The certificate that an aggregator shows, from files or signed by the authority that the replicas share. Constructs its source. */
import { networkInterfaces } from 'node:os';
import type { ApiClient } from './kube/api/client.ts';
import { ApiAuthorityStore } from './kube/authoritystore.ts';
import type { AggregatorOptions } from './ops/aggregatoroptions.ts';
import { systemClock } from './ops/clock.ts';
import type { Log } from './ops/log.ts';
import { type Material, ServerMaterials, type ServerMaterialsOptions } from './trust/servermaterials.ts';

export interface ServerCertificate extends Disposable {
  readonly current: Material;
  /** Told of what comes after the current one. */
  follow(use: (material: Material) => void): void;
}

/** Resolves once there is one to show; to undefined when the signal aborts before. `client` may be missing with --tls-cert. */
export async function openServerCertificate(
  options: AggregatorOptions,
  client: ApiClient | undefined,
  log: Log,
  onError: (error: Error) => void,
  signal: AbortSignal,
): Promise<ServerCertificate | undefined> {
  using opened = new DisposableStack();
  const identity = identityOf(options, client);
  const clientAuthorities = options.clientCA;
  const shared = { clock: systemClock, random: Math.random, onError };
  const materials = opened.use(new ServerMaterials({ identity, clientAuthorities, ...shared }));
  const first = await Promise.race([materials.first(), aborted(signal)]);
  if (first === undefined) return undefined;
  let current = first;
  materials.follow((next) => {
    current = next;
    log.info({ event: 'certificate', message: 'new connections see the new certificate' });
  });
  const owned = opened.move();
  return {
    get current() {
      return current;
    },
    follow: (use) => materials.follow(use),
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function identityOf(options: AggregatorOptions, client: ApiClient | undefined): ServerMaterialsOptions['identity'] {
  const { aggregatorNamespace: namespace, aggregatorAuthority: name, tlsCert: cert, tlsKey: key } = options;
  if (cert !== undefined && key !== undefined) return { kind: 'files', cert, key };
  if (client === undefined) throw new TypeError('without --tls-cert the API server is needed');
  return { kind: 'authority', store: new ApiAuthorityStore({ client, namespace, name }), names: namesOf(options) };
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/** The Services of deploy/aggregator as pods and nodes of the cluster call them, this host, and what was asked for. */
function namesOf({ aggregatorNamespace: namespace, tlsName }: AggregatorOptions): readonly string[] {
  const services = ['berth-aggregator', 'berth-aggregator-replicas'].flatMap((service) =>
    ['', `.${namespace}`, `.${namespace}.svc`, `.${namespace}.svc.cluster.local`].map((rest) => `${service}${rest}`),
  );
  return [...new Set([...services, ...hostNames(), ...tlsName])];
}

/** How this host is called from itself and from its networks. */
export function hostNames(): readonly string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => address);
  return ['localhost', '127.0.0.1', '::1', ...addresses];
}
