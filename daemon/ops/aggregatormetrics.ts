/** The aggregator's metrics in Prometheus' text format. Labels are bounded: no metric names a node. */
import { Counter, Gauge, Registry } from 'prom-client';
import { ClaimMetrics, type ClaimSnapshot } from './claimmetrics.ts';
import { processMetrics } from './processmetrics.ts';

/** What is true at the moment of a scrape. */
export interface ClusterSnapshot {
  readonly nodes: Readonly<Record<'live' | 'stale' | 'silent', number>>;
  readonly mappings: number;
  readonly watchers: number;
  readonly streams: number;
  readonly ready: boolean;
}

const KINDS = ['snapshot', 'delta', 'status'] as const;

export class AggregatorMetrics {
  readonly #registry = new Registry();
  readonly #snapshot: () => ClusterSnapshot;
  readonly #nodes: Gauge<'state'>;
  readonly #mappings: Gauge;
  readonly #watchers: Gauge;
  readonly #streams: Gauge;
  readonly #ready: Gauge;
  readonly #reports: Counter<'kind'>;
  readonly #resyncs: Counter;
  readonly #refused: Counter<'code'>;
  readonly #impostors: Counter;
  #claims: ClaimMetrics | undefined;

  constructor(version: string, snapshot: () => ClusterSnapshot) {
    this.#snapshot = snapshot;
    const registers = [this.#registry];
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
    this.#nodes = new Gauge({
      name: 'berth_cluster_nodes',
      help: 'Nodes that are known: live, stale (the agent was lost), or silent (it has not reported yet).',
      labelNames: ['state'],
      registers,
    });
    this.#mappings = gauge('berth_cluster_mappings', 'Mappings of all nodes.');
    this.#watchers = gauge('berth_watchers', 'Clients that watch.');
    this.#streams = gauge('berth_report_streams', 'Streams of agents that are open.');
    this.#ready = gauge('berth_aggregator_ready', '1 when every known node has reported, or was waited for.');
    this.#reports = new Counter({
      name: 'berth_reports_total',
      help: 'Messages of agents by kind.',
      labelNames: ['kind'],
      registers,
    });
    this.#resyncs = new Counter({
      name: 'berth_report_resyncs_total',
      help: 'Times that an agent was asked for a snapshot because a change did not fit.',
      registers,
    });
    this.#refused = new Counter({
      name: 'berth_report_streams_refused_total',
      help: 'Streams of agents that were ended by the aggregator, by gRPC status.',
      labelNames: ['code'],
      registers,
    });
    this.#impostors = new Counter({
      name: 'berth_report_impostors_total',
      help: 'Times that the agent of one node tried to report for another, and was refused.',
      registers,
    });
    const build = { name: 'berth_build_info', help: 'Always 1; the label has the version.', registers };
    new Gauge({ ...build, labelNames: ['version'] }).set({ version }, 1);
    processMetrics(this.#registry);
    for (const kind of KINDS) this.#reports.inc({ kind }, 0);
  }

  reported(kind: (typeof KINDS)[number]): void {
    this.#reports.inc({ kind });
  }

  resync(): void {
    this.#resyncs.inc();
  }

  /** `code`: the name of a gRPC status. */
  refused(code: string): void {
    this.#refused.inc({ code });
  }

  impostor(): void {
    this.#impostors.inc();
  }

  /** From now on those of the controller of claims are told too. Once. */
  withClaims(snapshot: () => ClaimSnapshot): ClaimMetrics {
    this.#claims = new ClaimMetrics(this.#registry, snapshot);
    return this.#claims;
  }

  /** The exposition, and the content type to serve it with. */
  async expose(): Promise<{ readonly type: string; readonly text: string }> {
    const { nodes, mappings, watchers, streams, ready } = this.#snapshot();
    for (const [state, count] of Object.entries(nodes)) this.#nodes.set({ state }, count);
    this.#mappings.set(mappings);
    this.#watchers.set(watchers);
    this.#streams.set(streams);
    this.#ready.set(ready ? 1 : 0);
    this.#claims?.refresh();
    return { type: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
