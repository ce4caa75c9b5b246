/**
 * Stands between what was let in and the handlers of a service: lets through what the rule of the method allows of requests, and sees to
 * it that what is answered is taken. A handler that is not behind a guard is never added to a server.
 */
import { type handleServerStreamingCall, type handleUnaryCall, type Metadata, status } from '@grpc/grpc-js';
import { type Rule, ruleOf } from './access.ts';
import type { Admission, Admitted } from './admission.ts';
import { asFramed } from './framed.ts';
import type { Outbox, OutgoingCall } from './outbox.ts';
import { Refusal, refusalOf } from './refusal.ts';

interface Described {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly responseSerialize: (answer: never) => Buffer;
}

interface Called {
  readonly metadata: Metadata;
}
type Unary = handleUnaryCall<unknown, unknown>;
/** Told who calls: what it may say, and what it may take, depends on that. */
type Streaming = (call: Parameters<handleServerStreamingCall<unknown, unknown>>[0], admitted: Admitted) => void;

export class Guard {
  readonly #admission: Admission;
  readonly #outbox: Outbox;
  readonly #report: (error: Error) => void;

  constructor(admission: Admission, outbox: Outbox, report: (error: Error) => void) {
    this.#admission = admission;
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
    const of = (name: keyof D & string) => [definition[name] as Described, ruleOf(rules[name])] as const;
    for (const name of names) {
      const { path, responseSerialize } = definition[name] as Described;
      this.#admission.add(path, rules[name], responseSerialize === asFramed);
    }
    const methods = names.map((name) => {
      const [method, rule] = of(name);
      return [name, isEncodedHere(method, rule) ? { ...method, responseSerialize: asItIs } : method];
    });
    const wrapped = names.map((name) => [name, this.#wrap(...of(name), handlers[name])]);
    return [Object.fromEntries(methods), Object.fromEntries(wrapped)];
  }

  #wrap(method: Described, rule: Rule, handler: unknown): unknown {
    if (method.responseStream) {
      const streaming: Streaming = (call) => {
        // Behind what is not taken the end of a stream waits too.
        call.once('error', () => this.#last(call));
        this.#check(call, rule, method.requestStream ? undefined : call.request)
          .then((admitted) => {
            admitted.onRefused((refusal) => call.emit('error', refusal));
            (handler as Streaming)(call, admitted);
          })
          .catch((thrown: unknown) => call.emit('error', refusalOf(thrown, this.#report)));
      };
      return streaming;
    }
    if (!isEncodedHere(method, rule)) return handler;
    const unary: Unary = (call, reply) => {
      this.#check(call, rule, call.request).then(
        (admitted) => this.#answer(method, handler as Unary, call, reply, admitted),
        (thrown: unknown) => reply(refusalOf(thrown, this.#report)),
      );
    };
    return unary;
  }

  async #check({ metadata }: Called, rule: Rule, request: unknown): Promise<Admitted> {
    const admitted = this.#admission.of(metadata);
    if (admitted === undefined) throw new Refusal(status.PERMISSION_DENIED, 'the call was not let in');
    const { caller, settled } = admitted;
    if (caller !== undefined) await rule.allow?.(caller, request);
    else if (!rule.anybody) throw new Refusal(status.UNAUTHENTICATED, 'it is not known who calls');
    settled();
    return admitted;
  }

  #last(call: Called & OutgoingCall): void {
    const admitted = this.#admission.of(call.metadata);
    if (admitted !== undefined) this.#outbox.last(call, 0, admitted);
  }

  #answer(
    { responseSerialize }: Described,
    handler: Unary,
    call: Parameters<Unary>[0],
    reply: Parameters<Unary>[1],
    admitted: Admitted,
  ): void {
    try {
      this.#outbox.admit(admitted);
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
      this.#outbox.last(call, bytes.length, admitted);
      reply(null, bytes, ...rest);
    });
  }
}

/** Where the size of the answer counts. */
function isEncodedHere({ responseStream }: Described, { anybody }: Rule): boolean {
  return !responseStream && !anybody;
}

function asItIs(answer: Buffer): Buffer {
  return answer;
}
