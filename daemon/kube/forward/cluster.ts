/** Which API server, as which user: a kubeconfig and what flags say in place of it, as kubectl does it. */
import type { Cluster, Context, KubeConfig, User } from '@kubernetes/client-node';
import { BerthError } from '../../core/errors.ts';
import { quoted } from '../../core/text.ts';
import { type Impersonation, impersonate } from './impersonation.ts';
import type { Impersonations } from './kubeconfig.ts';

/** What kubectl calls them. */
export interface ServerFlags {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly cluster?: string | undefined;
  readonly user?: string | undefined;
  readonly server?: string | undefined;
  readonly token?: string | undefined;
  readonly as?: string | undefined;
  readonly asUID?: string | undefined;
  readonly asGroup?: readonly string[] | undefined;
  readonly asUserExtra?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly certificateAuthority?: string | undefined;
  readonly clientCertificate?: string | undefined;
  readonly clientKey?: string | undefined;
  readonly tlsServerName?: string | undefined;
  readonly insecureSkipTLSVerify?: boolean | undefined;
  /** How long a request that is not forwarded may take, in ms. */
  readonly requestTimeout?: number | undefined;
}

const OWN = 'kubectl-berth';

/** Changes `config`, which holds what the kubeconfig says. Returns whom its user pretends to be. Throws CONFIG_INVALID. */
export function applyFlags(config: KubeConfig, impersonations: Impersonations, flags: ServerFlags): Impersonation {
  const context = contextOf(config, flags);
  const cluster = clusterOf(config, context, flags);
  const user = userOf(config, context, flags, cluster);
  config.loadFromOptions({
    clusters: [cluster],
    users: [user],
    contexts: [{ ...context, name: OWN, cluster: cluster.name, user: user.name }],
    currentContext: OWN,
  });
  const { as = '', asUID = '', asGroup = [], asUserExtra = {} } = flags;
  const later = { user: as, uid: asUID, groups: asGroup, extra: asUserExtra };
  return impersonate(impersonations.get(user.name), later);
}

/** The namespace of the context; `default` where it names none. */
export function namespaceOf(config: KubeConfig): string {
  return config.getContextObject(OWN)?.namespace || 'default';
}

function contextOf(config: KubeConfig, { context: named }: ServerFlags): Partial<Context> {
  const name = named ?? config.getCurrentContext();
  const found = name === undefined ? null : config.getContextObject(name);
  if (found === null && named !== undefined) throw missing('context', named, '--context');
  return found ?? {};
}

function clusterOf(config: KubeConfig, context: Partial<Context>, flags: ServerFlags): Cluster {
  const found = entry('cluster', flags.cluster, context.cluster, (name) => config.getCluster(name));
  const server = (flags.server ?? found?.server)?.replace(/\/+$/, '');
  if (server === undefined) {
    throw new BerthError('CONFIG_INVALID', 'no API server is known: give --kubeconfig, --context or --server');
  }
  const { certificateAuthority: caFile, insecureSkipTLSVerify: skipTLSVerify, tlsServerName } = flags;
  // What was written down of the one server says nothing of another authority.
  const { caData: _, ...others } = found ?? { caData: undefined };
  const kept = caFile === undefined ? (found ?? {}) : others;
  return {
    ...kept,
    name: found?.name ?? OWN,
    server: /^https?:\/\//.test(server) ? server : `https://${server}`,
    // The library refuses plaintext otherwise, in which there is nothing to verify.
    skipTLSVerify: isPlain(server) || (skipTLSVerify ?? found?.skipTLSVerify ?? false),
    ...(caFile === undefined ? {} : { caFile }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
  };
}

function userOf(config: KubeConfig, context: Partial<Context>, flags: ServerFlags, { server }: Cluster): User {
  const found = entry('user', flags.user, context.user, (name) => config.getUser(name));
  const { token, clientCertificate: certFile, clientKey: keyFile } = flags;
  const name = found?.name ?? OWN;
  // All of it is told by the headers of an Impersonation.
  const { impersonateUser: _, ...own } = found ?? { impersonateUser: undefined };
  // Such as `kubectl proxy` listens; no secret is sent there.
  if (isPlain(server)) return { name };
  // A token that is given is who asks, and no other credential of the user.
  const base: User = token === undefined ? { ...own, name } : { name, token };
  return {
    ...base,
    ...(certFile === undefined ? {} : { certFile, certData: undefined }),
    ...(keyFile === undefined ? {} : { keyFile, keyData: undefined }),
  } as User;
}

function isPlain(server: string): boolean {
  return server.startsWith('http://');
}

function entry<T>(what: string, flag: string | undefined, other: string | undefined, find: (name: string) => T | null) {
  const name = flag ?? other;
  const found = name === undefined ? undefined : (find(name) ?? undefined);
  if (flag !== undefined && found === undefined) throw missing(what, flag, `--${what}`);
  return found;
}

function missing(what: string, name: string, flag: string): BerthError {
  return new BerthError('CONFIG_INVALID', `${flag}: the kubeconfig has no ${what} ${quoted(name)}`);
}
