/**
 * Lets calls in by their headers, before a byte of a message is taken into the memory: who calls must be known and must be somebody
 * who may call the method at all, and there must be a place for what is to come.
 *
 *   headers --> who calls? --> may it call this? --> is there a place? --> it is read --> handler
 *                  '----------------'--------------------'--> answered at once, and the stream is closed unread
 */
import { constants, type ServerHttp2Stream } from 'node:http2';
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { type Rule, ruleOf } from './access.ts';
import { Arrival } from './arrival.ts';
import { type Authenticator, type Caller, keyOf } from './caller.ts';
import { sendFramed } from './framed.ts';
import type { Inbox } from './inbox.ts';
import { type Origin, originOf, streamOf } from './origin.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import type { Patience, Strangers } from './strangers.ts';

/** A call that was let in. */
export interface Admitted {
  /** Undefined where anybody may call. */
  readonly caller: Caller | undefined;
  /** Under which it is counted what a caller takes; undefined: it is not. */
  readonly key: string | undefined;
  readonly origin: Origin;
  /** Call once it is known whether the request is allowed. */
  readonly settled: () => void;
  /** Tells of what comes too late or is too much, instead of ending the call: who handles it may be in the midst of an answer. */
  readonly onRefused: (tell: (refusal: Refusal) => void) => void;
}

export interface AdmissionOptions {
  readonly authenticator: Authenticator;
  /** Where the requests of callers wait that are known, and those of anybody. */
  readonly inbox: { readonly known: Inbox; readonly anybody: Inbox };
  readonly strangers: Strangers;
  /** Hears of defects. */
  readonly report: (error: Error) => void;
}

type Call = Parameters<ServerInterceptor>[1];

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #rules = new Map<string, Rule>();
  /** Of the methods whose answers come framed. */
  readonly #framed = new Set<string>();
  /** grpc-js gives the handler the very metadata that were let through here. */
  readonly #admitted = new WeakMap<Metadata, Admitted>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** What is served at the path, which is the only one that leads to the method. */
  add(path: string, method: object, isFramed: boolean): void {
    this.#rules.set(path, ruleOf(method));
    if (isFramed) this.#framed.add(path);
  }

  /** Undefined for a call that did not come this way. */
  of(metadata: Metadata): Admitted | undefined {
    return this.#admitted.get(metadata);
  }

  readonly interceptor: ServerInterceptor = ({ path, requestStream }, call) => {
    const stream = streamOf(call);
    if (this.#framed.has(path)) sendFramed(call);
    let refuse = ({ code, details }: Refusal) => call.sendStatus({ code, details });
    const arrival = new Arrival({ stream, streaming: requestStream, refuse: (refusal) => refuse(refusal) });
    const onRefused = (tell: (refusal: Refusal) => void) => {
      refuse = tell;
    };
    const rule = this.#rules.get(path) ?? ruleOf({});
    let abandon = () => {};
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const origin = originOf(stream);
            // It is gone already.
            if (origin === undefined) return;
            const found = this.#find(rule, call, metadata, origin);
            abandon = found.abandon;
            found.known
              .then((caller) => {
                const { inbox } = this.#options;
                if (caller !== undefined) rule.admit(caller);
                const key = caller === undefined ? origin.group : keyOf(caller);
                arrival.begin(caller === undefined ? inbox.anybody : inbox.known, key);
                this.#admitted.set(metadata, { caller, key, origin, settled: () => arrival.settled(), onRefused });
                proceed(metadata);
              })
              .catch((thrown: unknown) => refuse(refusalOf(thrown, this.#options.report)));
          },
          onReceiveMessage: (message, proceed) => {
            arrival.delivered();
            proceed(message);
          },
          onReceiveHalfClose: (proceed) => {
            arrival.completed();
            if (rule.anybody) arrival.settled();
            proceed();
          },
          onCancel: () => {
            abandon();
            arrival.gone();
            if (!arrival.complete) closeUnread(stream);
          },
        }),
    });
  };

  /** Who calls; undefined where that does not matter. */
  #find(rule: Rule, call: Call, metadata: Metadata, origin: Origin): Patience<Caller | undefined> {
    if (rule.anybody) return { known: Promise.resolve(undefined), abandon: () => {} };
    const { authenticator, strangers } = this.#options;
    const [getPeer, getAuthContext] = [() => call.getPeer(), () => call.getAuthContext()];
    return strangers.patiently(authenticator.authenticate({ metadata, origin, getPeer, getAuthContext }), origin);
  }
}

/** What the client still has to say is of no use once it has the status (RFC 9113 section 8.1). */
function closeUnread(stream: ServerHttp2Stream): void {
  // HTTP/2 writes trailers one turn after it is told them.
  const close = () => setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
  const said = stream.sentTrailers ?? stream.sentHeaders;
  if (said?.['grpc-status'] === undefined) stream.once('wantTrailers', close);
  else close();
}
