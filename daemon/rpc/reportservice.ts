/** ReportService over a cluster's registry: each call is a Conversation. Holds the streams that there are, to end them. */
import { status } from '@grpc/grpc-js';
import type { berth, ReportService } from '../../proto/service.ts';
import type { ShareLimits } from '../core/share.ts';
import { maySpeakFor } from './access.ts';
import type { Admitted } from './admission.ts';
import { Conversation, type ConversationContext } from './conversation.ts';
import { Places } from './places.ts';
import { Refusal, refusalOf } from './refusal.ts';
import type { StreamAge } from './streamage.ts';

export interface ReportSource extends ConversationContext {
  /** Of agents, and of the agent of one node. */
  readonly streams: ShareLimits;
  readonly age?: StreamAge;
  /** Hears of defects. */
  readonly report: (error: Error) => void;
}

/** Who reports. */
export type Reporting = Pick<Admitted, 'caller' | 'key'>;

/** The part of a grpc-js call that is used. */
export interface ReportCall {
  readonly cancelled: boolean;
  write(response: berth.v1.ReportResponse.$Properties, sent: () => void): unknown;
  on(event: 'data', listener: (message: berth.v1.ReportRequest) => void): unknown;
  on(event: 'end' | 'cancelled', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  emit(event: 'error', error: Error): unknown;
  end(): unknown;
}

export class ReportAnswers {
  readonly #source: ReportSource;
  readonly #conversations = new Set<Conversation>();
  readonly #places: Places;

  constructor(source: ReportSource) {
    this.#source = source;
    this.#places = new Places(source.streams, {
      ofAll: 'agents can report',
      ofOne: 'streams of one agent can be open',
    });
  }

  get streams(): number {
    return this.#conversations.size;
  }

  /** Ends every stream. Agents come again elsewhere or later. */
  stop(): void {
    for (const conversation of this.#conversations) {
      conversation.refuse(new Refusal(status.UNAVAILABLE, 'the aggregator is stopping'));
    }
  }

  /** They throw a Refusal when there is no place. */
  readonly handlers: { readonly [K in keyof typeof ReportService]: (call: ReportCall, by: Reporting) => void } = {
    report: (call, by) => this.#converse(call, by),
  };

  #converse(call: ReportCall, { caller, key }: Reporting): void {
    const { report, age, observer } = this.#source;
    const leave = this.#places.take(key);
    let ended = false;
    const channel = {
      send: (response: berth.v1.ReportResponse.$Properties, sent: () => void) => void call.write(response, sent),
      refuse: (refusal: Refusal) => {
        gone();
        call.emit('error', refusal);
      },
    };
    const mayReport = (node: string) => {
      if (caller !== undefined && maySpeakFor(caller, node)) return true;
      if (caller?.kind === 'agent') observer.impostor(caller, node);
      return false;
    };
    const conversation = new Conversation(this.#source, channel, mayReport);
    this.#conversations.add(conversation);
    const ageless = age?.(() => conversation.refuse(new Refusal(status.UNAVAILABLE, 'the stream is old: come again')));
    const gone = () => {
      ended = true;
      leave();
      ageless?.();
      this.#conversations.delete(conversation);
    };
    const lost = () => {
      if (ended) return;
      gone();
      conversation.lost();
    };
    call.on('data', (message) => {
      try {
        conversation.take(message);
      } catch (thrown) {
        conversation.refuse(refusalOf(thrown, report));
      }
    });
    call.on('end', () => {
      if (!ended) call.end();
      lost();
    });
    call.on('cancelled', lost);
    call.on('error', lost);
    if (call.cancelled) lost();
  }
}
