/**
 * The state of a whole cluster as one aggregator knows it: each node's mappings as its agent told them, in one registry. The
 * newest agent of a node is the authority for it; what is not told (any more) goes stale, then goes. Pure: time comes in as
 * an argument, and somebody calls `sweep` about once a second.
 */
import { type Moment, type NodeRecord, newRecord, type ReportedAgent, type ReportedStatus } from './noderecord.ts';
import { MappingRegistry } from './registry.ts';
import {
  type EndReason,
  type ReportedChange,
  type ReportedMapping,
  ReportSession,
  type SessionHost,
} from './reportsession.ts';

export interface ClusterLimits {
  readonly nodes: number;
  /** Of one node. */
  readonly mappings: number;
  /** How many changes are kept for watchers that read slowly. */
  readonly history: number;
  /** How long nobody may speak for a node, in ms, until it is stale. */
  readonly graceMs: number;
  /** How long a stream may say nothing: a heartbeat is due every 10 s. With the time between sweeps below 30 s (I9). */
  readonly silenceMs: number;
  /** How long nobody may speak for a node until its mappings go, in ms. */
  readonly dropMs: number;
  /**
   * How many changes a sweep makes, about: what is more waits for the next one. All nodes may go at once, when this replica is cut
   * off; more changes than are kept would be lost to everyone who watches.
   */
  readonly sweep: number;
}

export const CLUSTER_LIMITS: ClusterLimits = {
  nodes: 20_000,
  mappings: 20_000,
  history: 100_000,
  graceMs: 5_000,
  silenceMs: 25_000,
  dropMs: 600_000,
  sweep: 10_000,
};

export type Opened =
  | { readonly kind: 'accepted'; readonly session: ReportSession }
  /** `older`: another agent speaks for the node, with a newer epoch. `full`: there are more nodes than may be. */
  | { readonly kind: 'older' | 'full'; readonly message: string };

/** How many nodes there are, and how many of them have told their mappings. */
export interface ClusterCount {
  readonly heard: number;
  readonly known: number;
}

export class ClusterRegistry {
  readonly mappings: MappingRegistry;
  readonly #limits: ClusterLimits;
  readonly #records = new Map<string, NodeRecord>();
  /** Nodes that are known to exist from elsewhere; undefined: nobody has said. */
  #known: ReadonlySet<string> | undefined;
  #count: ClusterCount | undefined;

  constructor(limits: Partial<ClusterLimits> = {}) {
    this.#limits = { ...CLUSTER_LIMITS, ...limits };
    this.mappings = new MappingRegistry(this.#limits.history);
  }

  /** The nodes that an agent spoke for, not in any order. */
  get records(): ReadonlyMap<string, NodeRecord> {
    return this.#records;
  }

  /** Nodes of which it is known that an agent should report, whether one did or not. */
  know(names: ReadonlySet<string>): void {
    this.#known = names;
    this.#count = undefined;
  }

  get knownNodes(): ReadonlySet<string> | undefined {
    return this.#known;
  }

  get count(): ClusterCount {
    this.#count ??= this.#counted();
    return this.#count;
  }

  /** Every node that is known has told its mappings; false while nobody has said which nodes are known. */
  get complete(): boolean {
    return this.#known !== undefined && this.count.heard === this.count.known;
  }

  /** A stream said Hello. `onEnd` is called at most once, when the session is ended from here. */
  open(agent: ReportedAgent, status: ReportedStatus, at: Moment, onEnd: (reason: EndReason) => void): Opened {
    const before = this.#records.get(agent.node);
    if (before === undefined && this.#records.size >= this.#limits.nodes) {
      return { kind: 'full', message: `more than ${this.#limits.nodes} nodes report` };
    }
    if (before !== undefined && isOlder(agent, before.agent)) {
      return { kind: 'older', message: supersededMessage(agent, before.agent) };
    }
    const record = before ?? newRecord(agent, status, at);
    this.#records.set(agent.node, record);
    const session = new ReportSession(agent, this.#host, this.#limits.mappings, onEnd);
    const replaced = record.session;
    Object.assign(record, { agent, status, session, heard: at });
    record.unsyncedSince ??= at.monotonic;
    this.#count = undefined;
    replaced?.end({ kind: 'superseded', by: agent });
    return { kind: 'accepted', session };
  }

  /** Marks, ends and drops what time has passed over, whole nodes. True: there is more of it, for which to come again soon. */
  sweep(at: Moment): boolean {
    const { revision } = this.mappings;
    for (const [name, record] of this.#records) {
      if (this.mappings.revision - revision >= this.#limits.sweep) return true;
      const silent = at.monotonic - record.heard.monotonic;
      if (silent >= this.#limits.silenceMs) {
        // Also when its stream has been found lost since: the grace period counts from then, the bound from the last word.
        if (record.session !== undefined) this.#giveUp(record, { kind: 'silent', ms: silent }, at);
        this.#markStale(record);
      }
      if (record.unsyncedSince === undefined) continue;
      const unsynced = at.monotonic - record.unsyncedSince;
      if (unsynced >= this.#limits.graceMs) this.#markStale(record);
      if (unsynced < this.#limits.dropMs) continue;
      if (record.session !== undefined) this.#giveUp(record, { kind: 'unfinished', ms: unsynced }, at);
      for (const key of this.mappings.ofNode(name).keys()) this.mappings.remove(key);
      this.#records.delete(name);
      this.#count = undefined;
    }
    return false;
  }

  readonly #host: SessionHost = {
    heard: (session, at) => {
      const record = this.#recordOf(session);
      if (record !== undefined) record.heard = at;
    },
    status: (session, status) => {
      const record = this.#recordOf(session);
      if (record !== undefined) record.status = status;
    },
    replace: (session, state, sequence) => {
      const record = this.#recordOf(session);
      if (record !== undefined) this.#replace(record, state, sequence);
    },
    apply: (session, delta, sequence) => {
      const record = this.#recordOf(session);
      return record === undefined || this.#apply(record, delta, sequence);
    },
    sequence: (session) => this.#recordOf(session)?.sequence,
    unsynced: (session, at) => {
      const record = this.#recordOf(session);
      if (record !== undefined) record.unsyncedSince ??= at.monotonic;
    },
    closed: (session, at) => {
      const record = this.#recordOf(session);
      if (record === undefined) return;
      record.session = undefined;
      record.unsyncedSince ??= at.monotonic;
    },
  };

  /** Undefined for a session that does not speak for its node any more. */
  #recordOf(session: ReportSession): NodeRecord | undefined {
    const record = this.#records.get(session.agent.node);
    return record?.session === session ? record : undefined;
  }

  #replace(record: NodeRecord, state: ReadonlyMap<string, ReportedMapping>, sequence: number): void {
    const { node } = record.agent;
    for (const key of this.mappings.ofNode(node).keys()) if (!state.has(key)) this.mappings.remove(key);
    for (const [key, { mapping, since }] of state) this.mappings.put(key, { node, mapping, since });
    Object.assign(record, { sequence, unsyncedSince: undefined, stale: false });
    this.#count = undefined;
  }

  #apply(record: NodeRecord, delta: ReadonlyMap<string, ReportedChange>, sequence: number): boolean {
    const { node } = record.agent;
    const ofNode = this.mappings.ofNode(node);
    let { size } = ofNode;
    for (const [key, { kind }] of delta) {
      if (ofNode.has(key) !== (kind === 'set')) size += kind === 'set' ? 1 : -1;
    }
    if (size > this.#limits.mappings) return false;
    for (const [key, change] of delta) {
      if (change.kind === 'set') {
        const { mapping, since } = change;
        this.mappings.put(key, { node, mapping, since });
      } else this.mappings.remove(key);
    }
    record.sequence = sequence;
    return true;
  }

  #giveUp(record: NodeRecord, reason: EndReason, at: Moment): void {
    const { session } = record;
    record.session = undefined;
    record.unsyncedSince ??= at.monotonic;
    session?.end(reason);
  }

  #markStale(record: NodeRecord): void {
    if (record.stale) return;
    record.stale = true;
    for (const key of this.mappings.ofNode(record.agent.node).keys()) this.mappings.markStale(key);
  }

  #counted(): ClusterCount {
    let heard = 0;
    let known = this.#known?.size ?? 0;
    for (const [name, { sequence }] of this.#records) {
      if (sequence !== undefined) heard += 1;
      if (!this.#known?.has(name)) known += 1;
    }
    return { heard, known };
  }
}

/** Of one epoch there is one agent only: with another boot id it is a copy of the node's disk. */
function isOlder(agent: ReportedAgent, than: ReportedAgent): boolean {
  return agent.epoch < than.epoch || (agent.epoch === than.epoch && agent.bootID !== than.bootID);
}

/** What the agent that lost is told. */
export function supersededMessage(lost: ReportedAgent, won: ReportedAgent): string {
  const who = ({ epoch, bootID }: ReportedAgent) => `the agent with epoch ${epoch} (boot ${bootID})`;
  return `node ${lost.node}: ${who(won)} speaks for it, not ${who(lost)}: stop one of them, or wait until the other has been gone for ten minutes`;
}
