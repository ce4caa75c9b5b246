/**
 * Stands in front of every handler of a service: finds out who calls, and lets through what its rule allows. A handler that is
 * not behind a guard is never added to an aggregator's server.
 */
import type { handleBidiStreamingCall, handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js';
import { anybody, ruleOf } from './access.ts';
import type { Authenticator, Caller } from './caller.ts';
import { refusalOf } from './refusal.ts';

interface Described {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

type Unary = handleUnaryCall<unknown, unknown>;
type Streaming = (call: Parameters<handleServerStreamingCall<unknown, unknown>>[0]) => void;
/** Told who calls: what it may say depends on that. */
type Bidi = (call: Parameters<handleBidiStreamingCall<unknown, unknown>>[0], caller: Caller) => void;

export class Guard {
  readonly #authenticator: Authenticator;
  readonly #report: (error: Error) => void;

  constructor(authenticator: Authenticator, report: (error: Error) => void) {
    this.#authenticator = authenticator;
    this.#report = report;
  }

  /** `rules` names the methods that the rules are looked up by, where the definition is a variant of the public one. */
  guarded<D extends object>(
    definition: D,
    handlers: { readonly [K in keyof D]: unknown },
    rules: { readonly [K in keyof D]: object } = definition as { readonly [K in keyof D]: object },
  ): readonly [definition: D, handlers: object] {
    const wrapped = Object.entries(definition).map(([name, method]) => {
      const key = name as keyof D;
      return [name, this.#wrap(method as Described, handlers[key], rules[key])] as const;
    });
    return [definition, Object.fromEntries(wrapped)];
  }

  #wrap({ requestStream, responseStream }: Described, handler: unknown, method: object): unknown {
    const rule = ruleOf(method);
    if (rule === anybody) return handler;
    const check = async (call: Parameters<Authenticator['authenticate']>[0], request: unknown) => {
      const caller = await this.#authenticator.authenticate(call);
      await rule(caller, request);
      return caller;
    };
    if (!responseStream) {
      const unary: Unary = (call, reply) => {
        check(call, call.request).then(
          () => (handler as Unary)(call, reply),
          (thrown: unknown) => reply(refusalOf(thrown, this.#report)),
        );
      };
      return unary;
    }
    return (call: Parameters<Bidi>[0] & Parameters<Streaming>[0]) => {
      check(call, requestStream ? undefined : call.request).then(
        (caller) => (requestStream ? (handler as Bidi)(call, caller) : (handler as Streaming)(call)),
        (thrown: unknown) => call.emit('error', refusalOf(thrown, this.#report)),
      );
    };
  }
}
