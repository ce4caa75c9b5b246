/** Who calls, as far as that is known, and whose business it is to find out. Data and an interface only. */
import type { ServerSurfaceCall } from '@grpc/grpc-js/build/src/server-call.js';
import type { PodRef } from '../core/vocabulary.ts';

export type Caller =
  /** A process of this host over plaintext, or anybody where plaintext was asked for elsewhere: it may do everything. */
  { readonly kind: 'loopback' } | AgentCaller | ClientCaller;

export interface ClientCaller {
  readonly kind: 'client';
  /** It may read the namespaces for which this says so; asked without one: everything. May reject with a Refusal. */
  mayRead(verb: Verb, namespace: string | undefined): Promise<boolean>;
  /** It may ask for this path over HTTP. May reject with a Refusal. */
  mayGet(path: string): Promise<boolean>;
}

/** Where nobody is asked. */
export const READER: ClientCaller = { kind: 'client', mayRead: async () => true, mayGet: async () => true };

export type Verb = 'get' | 'list' | 'watch';

/** The agent of this node: it may report for it, and nothing else. */
export interface AgentCaller {
  readonly kind: 'agent';
  readonly node: string;
  /** Its pod, where that is known. */
  readonly pod?: PodRef;
}

/** Asked for every call, before its first message is looked at. Rejects with a Refusal (UNAUTHENTICATED). */
export interface Authenticator {
  authenticate(call: Pick<ServerSurfaceCall, 'metadata' | 'getPeer' | 'getAuthContext'>): Promise<Caller>;
}

/** For plaintext beside a door of its own for agents: who can connect, as by `kubectl port-forward`, may read everything. */
export const reading: Authenticator = { authenticate: async () => READER };

/** For plaintext: whoever can connect is let in. */
export const trusting: Authenticator = { authenticate: async () => ({ kind: 'loopback' }) };
