/** An aggregator whose only door is TLS, with an API server that knows a few tokens by heart. */
import { Client, Metadata, status } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { type Identities, TlsAuthenticator, type TokenOwner } from '../../../daemon/rpc/authentication.ts';
import { type ChannelMaterial, targetNameOptions, tlsCredentials } from '../../../daemon/rpc/tls/channel.ts';
import { createTlsListener, type ServerMaterial, type TlsListener } from '../../../daemon/rpc/tls/listener.ts';
import { MappingService, type Method } from '../../../proto/service.ts';
import { type Aggregator, type AggregatorOptions, aggregator } from '../clusterfixture.ts';
import { authority, serverOf } from './material.ts';

export const CA = authority();
export const AGENT_ACCOUNT = 'system:serviceaccount:berth-system:berth-agent';

export function owner(name: string, extra: TokenOwner['extra'] = {}): TokenOwner {
  return { name, uid: '', groups: [], extra };
}

/** As the API server describes the token of an agent's pod; `node` since Kubernetes 1.30. */
export function agentOwner(pod: string, uid: string, node?: string): TokenOwner {
  return owner(AGENT_ACCOUNT, {
    'authentication.kubernetes.io/pod-name': [pod],
    'authentication.kubernetes.io/pod-uid': [uid],
    ...(node === undefined ? {} : { 'authentication.kubernetes.io/node-name': [node] }),
  });
}

export interface Secured extends Aggregator {
  readonly tls: TlsListener;
  readonly tokens: Map<string, TokenOwner>;
  /** Owner, verb and namespace or path, as `ann list shop`. */
  readonly rights: Set<string>;
  /** What the aggregator's own log would hear. */
  readonly reported: Error[];
  readonly identities: { away: boolean; listed: boolean; readonly nodes: Map<string, string> };
}

export async function secured(
  t: ExecutionContext,
  { material = serverOf(CA), ...options }: AggregatorOptions & { readonly material?: ServerMaterial } = {},
): Promise<Secured> {
  const tokens = new Map<string, TokenOwner>();
  const rights = new Set<string>();
  const reported: Error[] = [];
  const state = { away: false, listed: true, nodes: new Map<string, string>() };
  const answer = async <T>(find: () => T): Promise<T> => {
    if (state.away) throw new Error('the API server is away');
    return find();
  };
  const identities: Identities = {
    review: (token) => answer(() => tokens.get(token)),
    allowed: ({ name }, access) => {
      const what = access.kind === 'path' ? access.path : (access.namespace ?? '*');
      return answer(() => rights.has([name, access.verb, what].join(' ')));
    },
    agentAccount: AGENT_ACCOUNT,
    agentNamespace: 'berth-system',
    agentPods: {
      get listed() {
        return state.listed;
      },
      nodeOf: (name, uid) => state.nodes.get(`${name} ${uid}`),
    },
    report: (error) => reported.push(error),
  };
  let tls: TlsListener | undefined;
  const made = await aggregator(t, {
    authenticator: new TlsAuthenticator(identities),
    createListener: (take) => {
      tls = createTlsListener({ material, onConnection: take });
      return tls.server;
    },
    ...options,
  });
  return { ...made, tls: tls as TlsListener, tokens, rights, reported, identities: state };
}

/** Material that stays as it is. */
export function steady(material: Partial<ChannelMaterial> = {}): Parameters<typeof tlsCredentials>[0]['material'] {
  return {
    follow: (use) => {
      use({ authorities: CA.cert, ...material });
      return () => {};
    },
  };
}

export interface DialOptions {
  readonly token?: string;
  readonly material?: Partial<ChannelMaterial>;
  readonly serverName?: string;
}

export function channelOf({ token, material }: DialOptions = {}) {
  return tlsCredentials({
    material: steady(material),
    identified: material?.identity !== undefined,
    ...(token === undefined ? {} : { token: async () => token }),
  });
}

export function dial(t: ExecutionContext, address: string, options: DialOptions = {}): Client {
  const client = new Client(address, channelOf(options), {
    'grpc.use_local_subchannel_pool': 1,
    ...targetNameOptions(options.serverName),
  });
  t.teardown(() => client.close());
  return client;
}

/** `OK`, or the name of the status and what the server says. */
export function outcome<Q, R>(
  client: Client,
  method: Method<Q, unknown, never, R, false>,
  request: Q,
  metadata = new Metadata(),
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const { path, requestSerialize, responseDeserialize } = method;
  client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, (error) =>
    resolve(error === null ? 'OK' : `${status[error.code]} ${error.details}`),
  );
  return promise;
}

export function list(client: Client, namespace = ''): Promise<string> {
  return outcome(client, MappingService.list, { filter: { namespace } });
}
