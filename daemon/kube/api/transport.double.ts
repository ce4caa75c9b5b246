/**
 * Connections in memory to a double of the API server, with the faults of a network: an answer that is lost, never comes, or is
 * no answer of an API server; a watch that breaks, ends, says nonsense or has gone silent. Time is the caller's.
 */
import type { ApiServerDouble, Fault } from './apiserver.double.ts';
import { type Asked, type AskedBody, type Reply, refusal } from './resources.double.ts';
import type { Transport, WireAnswer, WireRequest } from './transport.ts';
import { WatchDouble } from './watch.double.ts';

/** What becomes of one request. Both times in ms. */
export interface Journey {
  /** Until it has arrived. */
  readonly there: number;
  /** Until its answer is back. */
  readonly back: number;
  readonly fault?: Fault | undefined;
}

export interface TransportDoubleOptions {
  readonly server: Pick<ApiServerDouble, 'answer' | 'watch'>;
  /** Asked for every request. */
  readonly journey: (asked: Asked) => Journey;
  /** How long a line of a watch takes, in ms. A later one never overtakes it. */
  readonly lag: () => number;
  /** Calls back after so many ms, also when the client has ended by then: what was sent arrives. */
  readonly arrive: (ms: number, run: () => void) => void;
  /** Calls back after so many ms, unless the client has ended by then, or the returned function was called. */
  readonly deliver: (ms: number, run: () => void) => () => void;
  /** Told of every line of a watch when the client gets it. */
  readonly onLine?: (line: object) => void;
}

export class TransportDouble implements Transport {
  readonly #options: TransportDoubleOptions;
  /** Those that are open. */
  readonly watches = new Set<WatchDouble>();

  constructor(options: TransportDoubleOptions) {
    this.#options = options;
  }

  request({ method, path, query, headers, body, signal }: WireRequest): Promise<WireAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<WireAnswer>();
    const asked: Asked = { method, path, query, headers, body: JSON.parse(body ?? '{}') as AskedBody };
    const { there, back, fault } = this.#options.journey(asked);
    const abort = () => reject(signal.reason);
    const settle = (ms: number, run: () => void) =>
      this.#options.deliver(ms, () => {
        signal.removeEventListener('abort', abort);
        if (!signal.aborted) run();
      });
    signal.addEventListener('abort', abort, { once: true });
    this.#options.arrive(there, () => {
      if (fault?.kind === 'silence') return;
      if (fault?.kind === 'refuseConnection') settle(back, () => reject(new Error('connect ECONNREFUSED')));
      else if (fault?.kind === 'text') settle(back, () => resolve(answerOf(200, fault.text, {}, fault.cut)));
      else if (fault?.kind === 'status') settle(back, () => resolve(refusedAnswer(fault)));
      else if (query.watch === 'true') settle(back, () => resolve(this.#watch(asked, signal)));
      else {
        const { code, body: answer } = this.#options.server.answer(asked);
        const lost = fault?.kind === 'replyLost';
        // As it is now, whatever it is by the time it is read.
        const text = lost ? '' : JSON.stringify(answer);
        settle(back, () => (lost ? reject(new Error('other side closed')) : resolve(answerOf(code, text))));
      }
    });
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of [...this.watches]) watch.close();
  }

  #watch({ path, query }: Asked, signal: AbortSignal): WireAnswer {
    const { server, deliver, lag, onLine } = this.#options;
    const watch = new WatchDouble({ deliver, lag, onLine: onLine ?? (() => {}), signal });
    const stop = server.watch(path, query, (line) => watch.say(line));
    if (stop === undefined) watch.end();
    else {
      this.watches.add(watch);
      const cancel = deliver(Number(query.timeoutSeconds) * 1_000, () => watch.end());
      watch.onClose = () => {
        stop();
        cancel();
        this.watches.delete(watch);
      };
    }
    return { statusCode: 200, headers: {}, body: watch };
  }
}

function refusedAnswer({ code, reason = 'Fault', retryAfter, causes }: Extract<Fault, { kind: 'status' }>): WireAnswer {
  const { body }: Reply = refusal(code, reason, 'as it is wanted', causes);
  const headers = retryAfter === undefined ? {} : { 'retry-after': `${retryAfter}` };
  return answerOf(code, JSON.stringify(body), headers);
}

function answerOf(statusCode: number, text: string, headers: WireAnswer['headers'] = {}, cut = false): WireAnswer {
  return { statusCode, headers, body: bodyOf(text, cut) };
}

async function* bodyOf(text: string, cut: boolean): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
  if (cut) throw new Error('other side closed');
}
