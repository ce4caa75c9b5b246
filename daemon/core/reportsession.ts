/**
 * One stream of one agent, from its Hello to its end: the order of its messages, and the snapshot that is under construction.
 *
 *   awaiting --snapshot part--> building --last part--> synced --delta--> synced
 *      ^                           ^----snapshot part-----'  |
 *      '------------------ a delta that does not fit --------'
 *
 * A session that has ended changes nothing any more. Pure: time comes in as an argument.
 */
import { keyOf } from './livemapping.ts';
import type { Moment, ReportedAgent, ReportedStatus } from './noderecord.ts';
import type { Mapping, PodRef, Protocol } from './vocabulary.ts';

export interface ReportedMapping {
  readonly mapping: Mapping;
  /** ms since the epoch. */
  readonly since: number;
}

export interface SnapshotPart {
  readonly mappings: readonly ReportedMapping[];
  /** The number of the state, with the last part. */
  readonly sequence: number | undefined;
}

export type ReportedChange =
  | ({ readonly kind: 'set' } & ReportedMapping)
  | { readonly kind: 'deleted'; readonly pod: PodRef; readonly name: string; readonly protocol: Protocol };

export interface ReportedDelta {
  readonly previous: number;
  readonly sequence: number;
  readonly changes: readonly ReportedChange[];
}

/** What the agent is to be told of its message. */
export type Reply =
  | { readonly kind: 'nothing' }
  /** What clients are told is the state with this number. */
  | { readonly kind: 'ack'; readonly sequence: number }
  | { readonly kind: 'resync'; readonly reason: string }
  /** The message breaks the contract, or a bound: the stream is to be ended. */
  | { readonly kind: 'broken' | 'full'; readonly message: string };

/** Why a session ended that its agent did not end. */
export type EndReason =
  | { readonly kind: 'superseded'; readonly by: ReportedAgent }
  | { readonly kind: 'silent'; readonly ms: number }
  /** It never told all there is. */
  | { readonly kind: 'unfinished'; readonly ms: number };

/** What a session does to the cluster's registry. */
export interface SessionHost {
  heard(session: ReportSession, at: Moment): void;
  /** The status replaces the one before. */
  status(session: ReportSession, status: ReportedStatus): void;
  /** The whole state of the node, as one change. */
  replace(session: ReportSession, state: ReadonlyMap<string, ReportedMapping>, sequence: number): void;
  /** False: the node would have more mappings than it may; nothing has changed then. */
  apply(session: ReportSession, delta: ReadonlyMap<string, ReportedChange>, sequence: number): boolean;
  /** The number of the node's state; undefined: none was told. */
  sequence(session: ReportSession): number | undefined;
  unsynced(session: ReportSession, at: Moment): void;
  closed(session: ReportSession, at: Moment): void;
}

const NOTHING: Reply = { kind: 'nothing' };

export class ReportSession {
  readonly agent: ReportedAgent;
  readonly #host: SessionHost;
  readonly #maxMappings: number;
  readonly #onEnd: (reason: EndReason) => void;
  #state: 'awaiting' | 'building' | 'synced' | 'ended' = 'awaiting';
  #building = new Map<string, ReportedMapping>();
  #lastKey = '';

  constructor(agent: ReportedAgent, host: SessionHost, maxMappings: number, onEnd: (reason: EndReason) => void) {
    this.agent = agent;
    this.#host = host;
    this.#maxMappings = maxMappings;
    this.#onEnd = onEnd;
  }

  get synced(): boolean {
    return this.#state === 'synced';
  }

  status(status: ReportedStatus, at: Moment): Reply {
    if (this.#state === 'ended') return NOTHING;
    this.#host.heard(this, at);
    this.#host.status(this, status);
    const known = this.#host.sequence(this);
    if (this.#state !== 'synced' || status.sequence === undefined || status.sequence === known) return NOTHING;
    return this.#resync(`the agent has told state ${status.sequence}, known is state ${known}`, at);
  }

  snapshot(part: SnapshotPart, at: Moment): Reply {
    if (this.#state === 'ended') return NOTHING;
    this.#host.heard(this, at);
    if (this.#state !== 'building') this.#begin();
    for (const [index, reported] of part.mappings.entries()) {
      const key = this.#keyOf(reported.mapping.pod, reported.mapping.name, reported.mapping.protocol);
      if (key <= this.#lastKey) return broken(`snapshot.mappings[${index}]: not in ascending order, or there twice`);
      this.#lastKey = key;
      this.#building.set(key, reported);
    }
    if (this.#building.size > this.#maxMappings) return this.#full();
    if (part.sequence === undefined) return NOTHING;
    this.#host.replace(this, this.#building, part.sequence);
    this.#building = new Map();
    this.#state = 'synced';
    return { kind: 'ack', sequence: part.sequence };
  }

  delta({ previous, sequence, changes }: ReportedDelta, at: Moment): Reply {
    if (this.#state === 'ended') return NOTHING;
    this.#host.heard(this, at);
    if (this.#state === 'building') return broken('delta: between the parts of a snapshot');
    // Sent before the agent could hear of the Resync.
    if (this.#state === 'awaiting') return NOTHING;
    if (sequence <= previous) return broken('delta.sequence: not larger than delta.previous');
    const known = this.#host.sequence(this);
    if (known !== previous) {
      return this.#resync(`the delta changes state ${previous}, known is state ${known}`, at);
    }
    const byKey = new Map<string, ReportedChange>();
    for (const [index, change] of changes.entries()) {
      const { pod, name, protocol } = change.kind === 'set' ? { ...change.mapping } : change;
      const key = this.#keyOf(pod, name, protocol);
      if (byKey.has(key)) return broken(`delta.changes[${index}]: a second change of one mapping`);
      byKey.set(key, change);
    }
    return this.#host.apply(this, byKey, sequence) ? { kind: 'ack', sequence } : this.#full();
  }

  /** The stream was lost, or its agent ended it. */
  close(at: Moment): void {
    if (this.#state === 'ended') return;
    this.#finish();
    this.#host.closed(this, at);
  }

  /** Another stream speaks for the node, or this one is given up. Told to whoever holds the stream. */
  end(reason: EndReason): void {
    if (this.#state === 'ended') return;
    this.#finish();
    this.#onEnd(reason);
  }

  #resync(reason: string, at: Moment): Reply {
    this.#state = 'awaiting';
    this.#host.unsynced(this, at);
    return { kind: 'resync', reason };
  }

  #begin(): void {
    this.#state = 'building';
    this.#building = new Map();
    this.#lastKey = '';
  }

  #finish(): void {
    this.#state = 'ended';
    this.#building = new Map();
  }

  #keyOf(pod: PodRef, name: string, protocol: Protocol): string {
    return keyOf(this.agent.node, pod, name, protocol);
  }

  #full(): Reply {
    return { kind: 'full', message: `node ${this.agent.node}: more than ${this.#maxMappings} mappings` };
  }
}

function broken(message: string): Reply {
  return { kind: 'broken', message };
}
