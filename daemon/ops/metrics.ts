/**
 * The agent's metrics in Prometheus' text format. Counters and histograms are fed by events; gauges are read when somebody
 * scrapes, so that the loop pays nothing for them. Labels are bounded: no metric names a pod.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { WATCHED } from '../reconcile/invariants.ts';
import type { AgentEvent, Recorder } from '../reconcile/ports.ts';
import { processMetrics } from './processmetrics.ts';
import { ReportMetrics } from './reportmetrics.ts';

/** What is true at the moment of a scrape. */
export interface MetricsSnapshot {
  readonly mappings: readonly { readonly state: string; readonly pool: string; readonly count: number }[];
  readonly pools: readonly { readonly name: string; readonly ports: number; readonly free: number }[];
  readonly reservedSockets: number;
  /** Streams to aggregators; absent: there is no reporter. */
  readonly links?: { readonly connected: number; readonly waiting: number };
}

/** From what a lone pod should take (5 ms) to what nobody should wait for, in seconds. */
const BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
/** One transaction is 0.1 ms, in seconds. */
const APPLY_BUCKETS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

export class AgentMetrics implements Recorder {
  readonly #registry = new Registry();
  /** Only of an agent that reports: others must not show an alarming zero. */
  #reports: ReportMetrics | undefined;
  readonly #snapshot: () => MetricsSnapshot;

  readonly #mappings: Gauge<'state' | 'pool'>;
  readonly #ports: Gauge<'pool'>;
  readonly #freePorts: Gauge<'pool'>;
  readonly #sockets: Gauge;
  readonly #programming: Histogram;
  readonly #passes: Histogram<'kind'>;
  readonly #applies: Histogram;
  readonly #heals: Counter;
  readonly #conflicts: Counter;
  readonly #errors: Counter<'operation'>;
  readonly #violations: Counter<'invariant'>;
  readonly #flows: Counter;

  constructor(version: string, snapshot: () => MetricsSnapshot) {
    this.#snapshot = snapshot;
    const registers = [this.#registry];
    const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
      new Gauge<L>({ name, help, labelNames, registers });
    const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
      new Counter<L>({ name, help, labelNames, registers });
    const histogram = <L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]) =>
      new Histogram<L>({ name, help, buckets, labelNames, registers });

    this.#mappings = gauge('berth_mappings', 'Mappings on this node by state and pool.', 'state', 'pool');
    this.#ports = gauge('berth_pool_ports', 'Numbers that the pool has.', 'pool');
    this.#freePorts = gauge(
      'berth_pool_free_ports',
      'Numbers of the pool that are neither mapped nor in quarantine.',
      'pool',
    );
    this.#sockets = gauge('berth_reserved_sockets', 'Sockets held to keep host ports from other processes.');
    this.#programming = histogram(
      'berth_network_programming_duration_seconds',
      "Time from when the agent saw a pod's address until its rule was live.",
      BUCKETS,
    );
    this.#passes = histogram(
      'berth_pass_duration_seconds',
      'Duration of reconcile passes, full or quick.',
      BUCKETS,
      'kind',
    );
    this.#applies = histogram('berth_apply_duration_seconds', 'Duration of nftables transactions.', APPLY_BUCKETS);
    this.#heals = counter(
      'berth_heals_total',
      'Times that the table was put right after somebody else had changed it.',
    );
    this.#conflicts = counter(
      'berth_conflicts_total',
      'Times that another process was found to hold the port of a mapping.',
    );
    this.#errors = counter('berth_errors_total', 'Failures by operation.', 'operation');
    this.#violations = counter(
      'berth_invariant_violations_total',
      'Times that an invariant was found broken.',
      'invariant',
    );
    this.#flows = counter(
      'berth_flows_deleted_total',
      'Tracked connections deleted because they disagreed with the mappings.',
    );
    gauge('berth_build_info', 'Always 1; the label has the version.', 'version').set({ version }, 1);
    processMetrics(this.#registry);
    for (const kind of ['full', 'quick']) this.#passes.zero({ kind });
    for (const invariant of WATCHED) this.#violations.inc({ invariant }, 0);
  }

  /** What the agent tells aggregators, from the first time that it is asked for. */
  get reports(): ReportMetrics {
    this.#reports ??= new ReportMetrics(this.#registry);
    return this.#reports;
  }

  record(event: AgentEvent): void {
    switch (event.kind) {
      case 'mapped':
        // What was adopted at start was live all the time.
        if (!event.adopted && event.sinceSeenMs !== undefined) this.#programming.observe(event.sinceSeenMs / 1_000);
        return;
      case 'pass':
        this.#passes.observe({ kind: event.full ? 'full' : 'quick' }, event.ms / 1_000);
        return;
      case 'applied':
        this.#applies.observe(event.ms / 1_000);
        return;
      case 'healed':
        this.#heals.inc();
        return;
      case 'conflict':
        this.#conflicts.inc();
        return;
      case 'failure':
        this.#errors.inc({ operation: event.operation });
        return;
      case 'violation':
        this.#violations.inc({ invariant: event.invariant });
        return;
      case 'flows':
        this.#flows.inc(event.deleted);
        return;
      case 'released':
      case 'problem':
      case 'solved':
      case 'recovered':
        return;
    }
  }

  /** The exposition, and the content type to serve it with. */
  async expose(): Promise<{ readonly type: string; readonly text: string }> {
    const { mappings, pools, reservedSockets, links } = this.#snapshot();
    // What is gone since the last scrape must not stay behind.
    for (const gauge of [this.#mappings, this.#ports, this.#freePorts]) gauge.reset();
    for (const { state, pool, count } of mappings) this.#mappings.set({ state, pool }, count);
    for (const { name, ports, free } of pools) {
      this.#ports.set({ pool: name }, ports);
      this.#freePorts.set({ pool: name }, free);
    }
    this.#sockets.set(reservedSockets);
    if (links !== undefined) this.reports.links(links);
    return { type: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
