/** The metrics of what an agent tells aggregators. Labels are bounded: no metric names an aggregator. */
import { Counter, Gauge, type Registry } from 'prom-client';

export class ReportMetrics {
  readonly #links: Gauge<'state'>;
  readonly #reports: Counter<'kind'>;
  readonly #resyncs: Counter;
  readonly #failures: Counter<'code'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#links = new Gauge({
      name: 'berth_aggregator_streams',
      help: 'Streams to aggregators: connected, or waiting to be.',
      labelNames: ['state'],
      registers,
    });
    this.#reports = new Counter({
      name: 'berth_aggregator_reports_total',
      help: 'Snapshots and deltas sent to aggregators.',
      labelNames: ['kind'],
      registers,
    });
    this.#resyncs = new Counter({
      name: 'berth_aggregator_resyncs_total',
      help: 'Times that an aggregator asked for a snapshot.',
      registers,
    });
    this.#failures = new Counter({
      name: 'berth_aggregator_failures_total',
      help: 'Streams to aggregators that ended or could not be opened, by gRPC status.',
      labelNames: ['code'],
      registers,
    });
  }

  links({ connected, waiting }: { readonly connected: number; readonly waiting: number }): void {
    this.#links.set({ state: 'connected' }, connected);
    this.#links.set({ state: 'waiting' }, waiting);
  }

  sent(kind: 'snapshot' | 'delta'): void {
    this.#reports.inc({ kind });
  }

  resync(): void {
    this.#resyncs.inc();
  }

  /** `code`: the name of a gRPC status. */
  failed(code: string): void {
    this.#failures.inc({ code });
  }
}
