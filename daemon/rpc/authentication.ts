/**
 * Finds out who calls over TLS: by the client certificate of the connection, or by the token of the call. Who has neither is nobody.
 * What was sent is never repeated, neither to the caller nor to a log.
 */
import { status } from '@grpc/grpc-js';
import { type AgentCaller, type Authenticator, type Caller, READER, type Verb } from './caller.ts';
import { Refusal } from './refusal.ts';

/** What tokens for Berth are made for. */
export const AUDIENCE = 'berth';

/** Whose a token is, as the API server says. */
export interface TokenOwner {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface MappingAccess {
  readonly kind: 'mappings';
  readonly verb: Verb;
  readonly namespace: string | undefined;
}

/** Of a page over HTTP: a nonResourceURL of RBAC. */
export interface PathAccess {
  readonly kind: 'path';
  readonly verb: 'get';
  readonly path: string;
}

export interface Identities {
  /** Undefined: a token that does not count here. Rejects when that cannot be known now. */
  review(token: string): Promise<TokenOwner | undefined>;
  /** Rejects when that cannot be known now. */
  allowed(owner: TokenOwner, access: MappingAccess | PathAccess): Promise<boolean>;
  /** The account of the agents, such as `system:serviceaccount:berth-system:berth-agent`. */
  readonly agentAccount: string;
  /** The namespace of their pods. */
  readonly agentNamespace: string;
  /** Where agents' pods run; `listed` is false while nothing is known of any. */
  readonly agentPods: { readonly listed: boolean; nodeOf(name: string, uid: string): string | undefined };
  /** Told why a question to the API server failed; the caller only hears that it did. */
  readonly report: (error: Error) => void;
}

/** Organisations in the certificates of clients. */
const AGENTS = 'berth:agents';
const READERS = 'berth:readers';
/** Kubernetes sets these on the tokens of service accounts; the node since 1.30 (KEP-4193). */
const NODE_NAME = 'authentication.kubernetes.io/node-name';
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';

/** As Kubernetes has the names of nodes. */
const NODE = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

export class TlsAuthenticator implements Authenticator {
  readonly #identities: Identities | undefined;

  /** Without identities only certificates count: there is no API server to ask about tokens. */
  constructor(identities?: Identities) {
    this.#identities = identities;
  }

  async authenticate(call: Parameters<Authenticator['authenticate']>[0]): Promise<Caller> {
    const values = call.metadata.get('authorization');
    const byCertificate = callerOf(call.getAuthContext().sslPeerCertificate);
    if (byCertificate !== undefined) return byCertificate;
    const [value] = values;
    const [, token] = (values.length === 1 && typeof value === 'string' && /^bearer +(\S+)$/i.exec(value)) || [];
    if (token === undefined) throw unknown('neither a client certificate that counts nor one bearer token was given');
    return await this.#byToken(token);
  }

  async #byToken(token: string): Promise<Caller> {
    const identities = this.#identities;
    if (identities === undefined) throw unknown('tokens are not accepted here: give a client certificate');
    const owner = await this.#answer(identities, identities.review(token));
    if (owner === undefined) throw unknown('the token is not accepted: it ended, or was not made for this audience');
    if (owner.name === identities.agentAccount) return agentOf(owner, identities);
    const allowed = (access: MappingAccess | PathAccess) => this.#answer(identities, identities.allowed(owner, access));
    return {
      kind: 'client',
      name: owner.name,
      mayRead: (verb, namespace) => allowed({ kind: 'mappings', verb, namespace }),
      mayGet: (path) => allowed({ kind: 'path', verb: 'get', path }),
    };
  }

  async #answer<T>({ report }: Identities, question: Promise<T>): Promise<T> {
    try {
      return await question;
    } catch (error) {
      report(error as Error);
      throw new Refusal(status.UNAVAILABLE, 'the API server cannot be asked who calls: try again');
    }
  }
}

/** Undefined when there is no certificate, or its organisations mean nothing here. */
function callerOf(
  certificate: { readonly subject: { readonly O?: string | string[]; readonly CN?: string | string[] } } | undefined,
): Caller | undefined {
  if (certificate === undefined) return undefined;
  const organisations = [certificate.subject.O ?? []].flat();
  if (organisations.includes(AGENTS)) {
    const node = certificate.subject.CN;
    if (typeof node === 'string' && NODE.test(node)) return { kind: 'agent', node };
    throw unknown(`the certificate of ${AGENTS} must have the name of its node as its only common name`);
  }
  if (!organisations.includes(READERS)) return undefined;
  return { ...READER, name: `${READERS} ${[certificate.subject.CN ?? []].flat().join(' ')}` };
}

function agentOf({ extra }: TokenOwner, { agentPods, agentNamespace }: Identities): AgentCaller {
  const [name, uid] = [only(extra[POD_NAME]), only(extra[POD_UID])];
  const pod = name !== undefined && uid !== undefined ? { namespace: agentNamespace, name, uid } : undefined;
  const node = only(extra[NODE_NAME]) ?? (pod && agentPods.nodeOf(pod.name, pod.uid));
  if (node !== undefined && NODE.test(node)) return { kind: 'agent', node, ...(pod && { pod }) };
  if (pod !== undefined && !agentPods.listed) {
    throw new Refusal(status.UNAVAILABLE, 'the pods of the agents are not known yet: try again');
  }
  // A token that was made for the account by hand is bound to no pod, and could be used for any node.
  throw new Refusal(status.PERMISSION_DENIED, 'the token is bound to no pod of an agent: mount a projected one');
}

function only(values: readonly string[] | undefined): string | undefined {
  return values?.length === 1 ? values[0] : undefined;
}

function unknown(details: string): Refusal {
  return new Refusal(status.UNAUTHENTICATED, details);
}
