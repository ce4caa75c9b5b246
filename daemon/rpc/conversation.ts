/**
 * The aggregator's side of one Report stream, whatever carries it: who may speak, in which order, how fast, and what is
 * answered. It holds one answer of each kind at most, so that an agent that does not read costs nothing.
 */
import { status } from '@grpc/grpc-js';
import type { berth } from '../../proto/service.ts';
import { type ClusterRegistry, supersededMessage } from '../core/cluster.ts';
import type { Moment, ReportedAgent } from '../core/noderecord.ts';
import type { EndReason, Reply, ReportSession } from '../core/reportsession.ts';
import type { Clock } from '../reconcile/ports.ts';
import { TokenBucket } from '../reconcile/tokenbucket.ts';
import type { AgentCaller } from './caller.ts';
import { Refusal } from './refusal.ts';
import { type ReportMessage, readReport } from './reportmessage.ts';

type Told = Exclude<ReportMessage, { kind: 'hello' | 'unknown' }>;
type Response = berth.v1.ReportResponse.$Properties;

/** What carries the answers. `sent` is called once the transport has taken the answer. */
export interface ReportChannel {
  send(response: Response, sent: () => void): void;
  /** Ends the stream. Nothing is sent afterwards. */
  refuse(refusal: Refusal): void;
}

export interface ReportObserver {
  opened(agent: ReportedAgent): void;
  /** `agent` is undefined when none was accepted; `refusal` when the agent went, or its connection. */
  ended(agent: ReportedAgent | undefined, refusal: Refusal | undefined): void;
  /** A message came. */
  reported(kind: 'snapshot' | 'delta' | 'status'): void;
  resync(agent: ReportedAgent, reason: string): void;
  /** The agent of one node tried to speak for another; it was refused. */
  impostor(caller: AgentCaller, node: string): void;
}

export interface ConversationContext {
  readonly cluster: ClusterRegistry;
  /** Which replica, and which life of it. */
  readonly instance: string;
  readonly clock: Clock;
  readonly observer: ReportObserver;
}

/** Deltas are at most 20 a second; a snapshot of a full node has some 20 parts. */
const MESSAGES_PER_SECOND = 100;
const BURST = 1_000;
/** How long a stream may live without a Hello, in ms. */
const HELLO_MS = 10_000;

export class Conversation {
  readonly #context: ConversationContext;
  readonly #channel: ReportChannel;
  readonly #mayReport: (node: string) => boolean;
  readonly #cancelTimer: () => void;
  #session: ReportSession | undefined;
  #ended = false;
  readonly #rate: TokenBucket;
  #sending = false;
  /** What waits for the answer before it to be sent: the newest of each kind. */
  #waiting: { accepted?: Response; resync?: Response; ack?: Response } = {};

  constructor(context: ConversationContext, channel: ReportChannel, mayReport: (node: string) => boolean) {
    this.#context = context;
    this.#channel = channel;
    this.#mayReport = mayReport;
    this.#rate = new TokenBucket(context.clock, MESSAGES_PER_SECOND, BURST);
    this.#cancelTimer = context.clock.after(HELLO_MS, () => {
      if (this.#session === undefined) this.refuse(new Refusal(status.INVALID_ARGUMENT, 'hello: did not come'));
    });
  }

  get agent(): ReportedAgent | undefined {
    return this.#session?.agent;
  }

  take(message: berth.v1.ReportRequest.$Properties): void {
    if (this.#ended) return;
    try {
      if (!this.#rate.take()) {
        throw new Refusal(status.RESOURCE_EXHAUSTED, `more than ${MESSAGES_PER_SECOND} messages a second`);
      }
      this.#take(message);
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      this.refuse(thrown);
    }
  }

  /** The agent ended the stream, or the connection was lost. */
  lost(): void {
    if (this.#ended) return;
    this.#end();
    this.#session?.close(this.#now());
    this.#context.observer.ended(this.#session?.agent, undefined);
  }

  refuse(refusal: Refusal): void {
    if (this.#ended) return;
    this.#end();
    this.#session?.close(this.#now());
    this.#channel.refuse(refusal);
    this.#context.observer.ended(this.#session?.agent, refusal);
  }

  #take(message: berth.v1.ReportRequest.$Properties): void {
    const report = readReport(message);
    if (report.kind === 'unknown') return;
    if (report.kind === 'hello') {
      if (this.#session !== undefined) throw new Refusal(status.INVALID_ARGUMENT, 'hello: a second one');
      this.#open(report);
      return;
    }
    const session = this.#session;
    if (session === undefined) throw new Refusal(status.INVALID_ARGUMENT, 'hello: must be the first message');
    this.#context.observer.reported(report.kind);
    this.#answer(replyOf(session, report, this.#now()));
  }

  #open({ agent, status: told }: Extract<ReportMessage, { kind: 'hello' }>): void {
    if (!this.#mayReport(agent.node)) {
      throw new Refusal(status.PERMISSION_DENIED, `hello.node: the caller may not speak for node ${agent.node}`);
    }
    const opened = this.#context.cluster.open(agent, told, this.#now(), (reason) =>
      this.refuse(refusalFor(agent, reason)),
    );
    if (opened.kind !== 'accepted') {
      throw new Refusal(opened.kind === 'full' ? status.RESOURCE_EXHAUSTED : status.ABORTED, opened.message);
    }
    this.#session = opened.session;
    this.#context.observer.opened(agent);
    this.#send('accepted', { accepted: { replica: this.#context.instance } });
  }

  #answer(reply: Reply): void {
    if (reply.kind === 'broken') throw new Refusal(status.INVALID_ARGUMENT, reply.message);
    if (reply.kind === 'full') throw new Refusal(status.RESOURCE_EXHAUSTED, reply.message);
    if (reply.kind === 'ack') this.#send('ack', { ack: { sequence: reply.sequence } });
    if (reply.kind !== 'resync') return;
    if (this.#session !== undefined) this.#context.observer.resync(this.#session.agent, reply.reason);
    this.#send('resync', { resync: { reason: reply.reason } });
  }

  #send(kind: 'accepted' | 'resync' | 'ack', response: Response): void {
    this.#waiting[kind] = response;
    if (!this.#sending) this.#sendNext();
  }

  #sendNext(): void {
    const kind = (['accepted', 'resync', 'ack'] as const).find((one) => this.#waiting[one] !== undefined);
    const response = kind && this.#waiting[kind];
    this.#sending = response !== undefined && !this.#ended;
    if (kind === undefined || response === undefined || this.#ended) return;
    delete this.#waiting[kind];
    this.#channel.send(response, () => this.#sendNext());
  }

  #end(): void {
    this.#ended = true;
    this.#cancelTimer();
  }

  #now(): Moment {
    const { clock } = this.#context;
    return { now: clock.now(), monotonic: clock.monotonic() };
  }
}

function replyOf(session: ReportSession, report: Told, at: Moment): Reply {
  switch (report.kind) {
    case 'snapshot':
      return session.snapshot(report.part, at);
    case 'delta':
      return session.delta(report.delta, at);
    case 'status':
      return session.status(report.status, at);
  }
}

function refusalFor(agent: ReportedAgent, reason: EndReason): Refusal {
  switch (reason.kind) {
    case 'superseded':
      if (reason.by.epoch === agent.epoch) {
        return new Refusal(status.ABORTED, `node ${agent.node}: the agent has opened another stream`);
      }
      return new Refusal(status.ABORTED, supersededMessage(agent, reason.by));
    case 'silent':
      return new Refusal(status.UNAVAILABLE, `node ${agent.node}: nothing was heard for ${seconds(reason.ms)}`);
    case 'unfinished':
      return new Refusal(status.UNAVAILABLE, `node ${agent.node}: no whole snapshot came in ${seconds(reason.ms)}`);
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
