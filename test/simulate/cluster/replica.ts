/** One aggregator: everything that a real one is made of but its sockets, and the client that watches it. */

import { status } from '@grpc/grpc-js';
import { ClusterRegistry } from '../../../daemon/core/cluster.ts';
import type { Clock } from '../../../daemon/reconcile/ports.ts';
import { type Caller, keyOf } from '../../../daemon/rpc/caller.ts';
import { ChangeFeed } from '../../../daemon/rpc/feed.ts';
import { MappingAnswers } from '../../../daemon/rpc/mappingservice.ts';
import { ReportAnswers, type ReportCall } from '../../../daemon/rpc/reportservice.ts';
import { streamAge } from '../../../daemon/rpc/streamage.ts';
import { Upkeep } from '../../../daemon/rpc/upkeep.ts';
import type { Listener } from './network.ts';
import { type ClusterStage, note } from './stage.ts';

/** Small, so that a watcher can be too slow. */
const HISTORY = 40;
const READY_MS = 30_000;

/** One life of a replica. */
class Life {
  readonly cluster = new ClusterRegistry({ history: HISTORY });
  readonly since: number;
  readonly feed: ChangeFeed;
  readonly mappings: MappingAnswers;
  readonly reports: ReportAnswers;
  readonly upkeep: Upkeep;

  constructor(name: string, nodes: ReadonlySet<string>, stage: ClusterStage, clock: Clock) {
    this.since = stage.time.now;
    this.cluster.know(nodes);
    this.feed = new ChangeFeed(this.cluster.mappings, clock, 50);
    this.upkeep = new Upkeep(this.cluster, clock, READY_MS, () => note(stage, `${name} ready`));
    const age = streamAge(clock, () => stage.random.next());
    const report = (error: Error) => {
      throw error;
    };
    const instance = `${name}-${this.since}`;
    this.mappings = new MappingAnswers({
      feed: this.feed,
      addresses: () => [],
      freshness: () => ({}),
      instance,
      unready: () => (this.upkeep.ready ? undefined : 'not ready'),
      report,
      watchers: { ofAll: 10, ofOne: 10 },
      age,
    });
    const { counts } = stage;
    const observer = {
      opened: () => {},
      ended: (_agent: unknown, refusal: { code: status; details: string } | undefined) => {
        if (refusal?.details.includes('nothing was heard')) counts.reached('silent stream ended');
        if (refusal?.details.includes('the stream is old')) counts.reached('stream too old');
        if (refusal?.code === status.ABORTED && _agent === undefined) counts.reached('older epoch refused');
      },
      reported: () => {},
      resync: () => {},
      impostor: () => {},
    };
    this.reports = new ReportAnswers({
      cluster: this.cluster,
      instance,
      clock,
      observer,
      streams: { ofAll: 100, ofOne: 8 },
      age,
      report,
    });
  }
}

export class Replica implements Listener {
  readonly name: string;
  readonly #stage: ClusterStage;
  readonly #nodes: ReadonlySet<string>;
  #stalledUntil = 0;
  life: Life | undefined;

  constructor(name: string, nodes: ReadonlySet<string>, stage: ClusterStage) {
    this.name = name;
    this.#nodes = nodes;
    this.#stage = stage;
  }

  get alive(): boolean {
    return this.life !== undefined;
  }

  /** It stands still, or has had no time yet to make up for that. */
  get stalled(): boolean {
    return this.#stage.time.now < this.#stalledUntil + 500;
  }

  start(): void {
    note(this.#stage, `${this.name} started`);
    this.life ??= new Life(this.name, this.#nodes, this.#stage, this.#clock());
  }

  kill(): void {
    note(this.#stage, `${this.name} killed`);
    this.life?.upkeep[Symbol.dispose]();
    this.life?.feed[Symbol.dispose]();
    this.life = undefined;
  }

  /** Its loop runs no timer and reads nothing until then; the caller closes the paths. */
  stall(until: number): void {
    this.#stalledUntil = until;
  }

  accept(call: ReportCall, caller: Caller): void {
    this.life?.reports.handlers.report(call, { caller, key: keyOf(caller) });
  }

  #clock(): Clock {
    const { time, clock } = this.#stage;
    const after = (ms: number, run: () => void): (() => void) => {
      let cancel = time.after(ms, () => {
        if (time.now < this.#stalledUntil) cancel = time.after(this.#stalledUntil - time.now, run);
        else run();
      });
      return () => cancel();
    };
    return { ...clock, after };
  }
}
