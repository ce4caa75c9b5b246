/** Who calls, as far as that is known, and whose business it is to find out. Data and an interface only. */
import type { ServerSurfaceCall } from '@grpc/grpc-js/build/src/server-call.js';
import type { PodRef } from '../core/vocabulary.ts';
import type { Origin } from './origin.ts';

export type Caller = LocalCaller | AgentCaller | ClientCaller;

/** A process of this host over plaintext, or anybody where plaintext was asked for elsewhere: it may do everything. */
export interface LocalCaller {
  readonly kind: 'loopback';
  /** Its user, where that is known. */
  readonly user?: string;
}

export interface ClientCaller {
  readonly kind: 'client';
  /** Whoever has this name is the same caller. Undefined: nobody was asked. */
  readonly name?: string;
  /** It may read the namespaces for which this says so; asked without one: everything. May reject with a Refusal. */
  mayRead(verb: Verb, namespace: string | undefined): Promise<boolean>;
  /** It may ask for this path over HTTP. May reject with a Refusal. */
  mayGet(path: string): Promise<boolean>;
}

/** Under which it is counted what the caller takes of what all share. Undefined: one cannot be told from another. */
export function keyOf(caller: Caller): string | undefined {
  if (caller.kind === 'loopback') return caller.user;
  if (caller.kind === 'agent') return `agent ${caller.node}`;
  return caller.name === undefined ? undefined : `client ${caller.name}`;
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

/** Asked for every call, before a byte of its first message is read. Rejects with a Refusal (UNAUTHENTICATED). */
export interface Authenticator {
  authenticate(
    call: Pick<ServerSurfaceCall, 'metadata' | 'getPeer' | 'getAuthContext'> & { readonly origin?: Origin },
  ): Promise<Caller>;
}

/** For plaintext beside a door of its own for agents: who can connect, as by `kubectl port-forward`, may read everything. */
export const reading: Authenticator = { authenticate: async () => READER };

/** For plaintext: whoever can connect is let in. */
export const trusting: Authenticator = { authenticate: async () => ({ kind: 'loopback' }) };

/** For a unix socket, where the file's mode says who is let in. */
export const neighbourly: Authenticator = {
  authenticate: async ({ origin }) => ({ kind: 'loopback', ...(origin && { user: origin.group }) }),
};
