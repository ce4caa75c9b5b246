/**
 * One agent's stream to one replica, kept up for ever: it reconnects after a pause that grows and is jittered, so that agents
 * that lost a replica together do not come back together. A replica that does not read stops the narration, nothing else.
 *
 *   waiting --pause over--> connecting --Accepted--> connected --Ack--> (pauses begin small again)
 *      ^------------ the stream ended --'-------------'
 */
import { status } from '@grpc/grpc-js';
import type { berth } from '../../proto/service.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import type { ChangeFeed } from './feed.ts';
import { type Narrated, Narration } from './narration.ts';

/** One stream. `written` is called once the transport has taken the message. */
export interface ReportStream {
  write(message: berth.v1.ReportRequest.$Properties, written: () => void): void;
  /** Ends it; `ended` is not called any more. */
  cancel(): void;
}

export interface ReportStreamListener {
  response(response: berth.v1.ReportResponse.$Properties): void;
  /** Once, and never in the call that opened the stream. */
  ended(code: status, details: string): void;
}

/** Opens a stream to `host:port`. Never throws. */
export type ReportConnector = (address: string, listener: ReportStreamListener) => ReportStream;

export interface ReporterObserver {
  connected(address: string, replica: string): void;
  /** The stream ended, or could not be opened; the next one is tried after `pauseMs`. */
  lost(address: string, code: status, details: string, pauseMs: number): void;
  /** The address is not tried any more: its name does not stand for it. */
  dropped(address: string): void;
  sent(kind: 'snapshot' | 'delta'): void;
  resync(address: string, reason: string): void;
  resolved(target: string): void;
  /** A name was not resolved; what was known of it stays. */
  unresolved(target: string, error: unknown): void;
}

export interface LinkContext extends Narrated {
  readonly feed: ChangeFeed;
  readonly connect: ReportConnector;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: ReporterObserver;
}

const HEARTBEAT_MS = 10_000;
/**
 * By then the aggregator has said Accepted: a connection may be half open. Longer after a failure: a replica to which thousands come at once
 * may need that, and who gives up and comes again makes it need longer still.
 */
const ACCEPT_MS = { first: 15_000, cap: 30_000 } as const;
const FIRST_PAUSE_MS = 3_000;
const MAX_PAUSE_MS = 30_000;
const MIN_PAUSE_MS = 100;

export class ReportLink implements Disposable {
  readonly address: string;
  readonly #context: LinkContext;
  #stream: ReportStream | undefined;
  #narration: Narration;
  #writing = false;
  #failures = 0;
  #replica: string | undefined;
  /** What is to be undone when the stream ends. */
  #undo: (() => void)[] = [];
  #cancelWait: () => void = () => {};

  constructor(address: string, context: LinkContext) {
    this.address = address;
    this.#context = context;
    this.#narration = new Narration(context);
  }

  get connected(): boolean {
    return this.#replica !== undefined;
  }

  /** The first connection of many agents is spread too: they are started together, by an upgrade. */
  start(): void {
    this.#pause(this.#context.random() * FIRST_PAUSE_MS);
  }

  [Symbol.dispose](): void {
    const stream = this.#stream;
    this.#close();
    stream?.cancel();
  }

  #open(): void {
    const { clock, connect } = this.#context;
    this.#narration = new Narration(this.#context);
    const stream = connect(this.address, {
      response: (response) => {
        if (this.#stream === stream) this.#take(response);
      },
      ended: (code, details) => {
        if (this.#stream === stream) this.#lost(code, details);
      },
    });
    this.#stream = stream;
    const patienceMs = Math.min(ACCEPT_MS.cap, ACCEPT_MS.first * 2 ** this.#failures);
    this.#undo.push(
      clock.after(patienceMs, () => {
        if (this.connected) return;
        stream.cancel();
        this.#lost(status.DEADLINE_EXCEEDED, `no answer came within ${patienceMs / 1_000} s`);
      }),
    );
    this.#beat();
    this.#pump();
  }

  #beat(): void {
    const cancel = this.#context.clock.after(HEARTBEAT_MS, () => {
      this.#undo = this.#undo.filter((one) => one !== cancel);
      this.#narration.heartbeat();
      this.#beat();
      this.#pump();
    });
    this.#undo.push(cancel);
  }

  #pump(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#writing) return;
    const { feed, observer } = this.#context;
    this.#cancelWait();
    const message = this.#narration.next(feed.revision);
    if (message === undefined) {
      this.#cancelWait = feed.wait(() => this.#pump());
      return;
    }
    if (message.delta) observer.sent('delta');
    if (message.snapshot?.last) observer.sent('snapshot');
    this.#writing = true;
    stream.write(message, () => {
      if (this.#stream !== stream) return;
      this.#writing = false;
      this.#pump();
    });
  }

  #take({ accepted, ack, resync }: berth.v1.ReportResponse.$Properties): void {
    const { observer } = this.#context;
    if (accepted) {
      this.#replica = accepted.replica ?? '';
      observer.connected(this.address, this.#replica);
    }
    if (ack) this.#failures = 0;
    if (resync) {
      observer.resync(this.address, resync.reason ?? '');
      this.#narration.resync();
      this.#pump();
    }
  }

  #lost(code: status, details: string): void {
    this.#close();
    const { random, observer } = this.#context;
    // Another agent speaks for this node: somebody has to look at that first.
    const ceiling =
      code === status.ABORTED ? MAX_PAUSE_MS : Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures);
    const floor = code === status.ABORTED ? MAX_PAUSE_MS / 2 : MIN_PAUSE_MS;
    const pauseMs = floor + random() * (ceiling - floor);
    this.#failures += 1;
    this.#pause(pauseMs);
    observer.lost(this.address, code, details, pauseMs);
  }

  #pause(ms: number): void {
    this.#undo.push(
      this.#context.clock.after(ms, () => {
        this.#undo = [];
        this.#open();
      }),
    );
  }

  #close(): void {
    for (const undo of this.#undo) undo();
    this.#undo = [];
    this.#cancelWait();
    this.#stream = undefined;
    this.#replica = undefined;
    this.#writing = false;
  }
}
