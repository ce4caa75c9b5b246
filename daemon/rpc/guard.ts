/**
 * Stands in front of every handler of a service: finds out who calls, lets through what its rule allows, and sees to it that what is
 * answered is taken. A handler that is not behind a guard is never added to an aggregator's server.
 */
import type { handleBidiStreamingCall, handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js';
import { anybody, ruleOf } from './access.ts';
import type { Authenticator, Caller } from './caller.ts';
import type { Outbox } from './outbox.ts';
import { refusalOf } from './refusal.ts';

interface Described {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly responseSerialize: (answer: never) => Buffer;
}

type Unary = handleUnaryCall<unknown, unknown>;
type Streaming = (call: Parameters<handleServerStreamingCall<unknown, unknown>>[0]) => void;
/** Told who calls: what it may say depends on that. */
type Bidi = (call: Parameters<handleBidiStreamingCall<unknown, unknown>>[0], caller: Caller) => void;

export class Guard {
  readonly #authenticator: Authenticator;
  readonly #outbox: Outbox;
  readonly #report: (error: Error) => void;

  constructor(authenticator: Authenticator, outbox: Outbox, report: (error: Error) => void) {
    this.#authenticator = authenticator;
    this.#outbox = outbox;
    this.#report = report;
  }

  /** `rules` names the methods that the rules are looked up by, where the definition is a variant of the public one. */
  guarded<D extends object>(
    definition: D,
    handlers: { readonly [K in keyof D]: unknown },
    rules: { readonly [K in keyof D]: object } = definition as { readonly [K in keyof D]: object },
  ): readonly [definition: object, handlers: object] {
    const names = Object.keys(definition) as (keyof D & string)[];
    const wrapped = names.map((name) => [name, this.#wrap(definition[name] as Described, handlers[name], rules[name])]);
    const methods = names.map((name) => {
      const method = definition[name] as Described;
      return [name, isEncodedHere(method, rules[name]) ? { ...method, responseSerialize: asItIs } : method];
    });
    return [Object.fromEntries(methods), Object.fromEntries(wrapped)];
  }

  #wrap(described: Described, handler: unknown, method: object): unknown {
    const { requestStream } = described;
    const rule = ruleOf(method);
    if (rule === anybody) return handler;
    const check = async (call: Parameters<Authenticator['authenticate']>[0], request: unknown) => {
      const caller = await this.#authenticator.authenticate(call);
      await rule(caller, request);
      return caller;
    };
    if (isEncodedHere(described, method)) {
      const unary: Unary = (call, reply) => {
        check(call, call.request).then(
          () => this.#answer(described, handler as Unary, call, reply),
          (thrown: unknown) => reply(refusalOf(thrown, this.#report)),
        );
      };
      return unary;
    }
    return (call: Parameters<Bidi>[0] & Parameters<Streaming>[0]) => {
      // Behind what is not taken the end of a stream waits too.
      call.once('error', () => this.#outbox.last(call, 0));
      check(call, requestStream ? undefined : call.request).then(
        (caller) => (requestStream ? (handler as Bidi)(call, caller) : (handler as Streaming)(call)),
        (thrown: unknown) => call.emit('error', refusalOf(thrown, this.#report)),
      );
    };
  }

  #answer({ responseSerialize }: Described, handler: Unary, call: Parameters<Unary>[0], reply: Parameters<Unary>[1]) {
    try {
      this.#outbox.admit(call.getPeer());
    } catch (thrown) {
      reply(refusalOf(thrown, this.#report));
      return;
    }
    handler(call, (error, answer, ...rest) => {
      if (error) {
        reply(error, null, ...rest);
        return;
      }
      const bytes = responseSerialize(answer as never);
      this.#outbox.last(call, bytes.length);
      reply(null, bytes, ...rest);
    });
  }
}

/** Where the size of the answer counts. */
function isEncodedHere({ responseStream }: Described, method: object): boolean {
  return !responseStream && ruleOf(method) !== anybody;
}

function asItIs(answer: Buffer): Buffer {
  return answer;
}
