/** Metrics of the controller of claims. Labels are bounded: none names a claim, a namespace or a node, and classes are an administrator's. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ClaimSummary } from '../core/claims/summary.ts';

export interface ClaimSnapshot {
  readonly leading: boolean;
  /** Undefined: this replica does not lead, or has not seen everything yet. */
  readonly summary: ClaimSummary | undefined;
}

/** More classes than that are not told of. */
const MAX_CLASSES = 100;
/** In s: of a few claims to those of a large cluster. */
const PASS_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 2];

export class ClaimMetrics {
  readonly #snapshot: () => ClaimSnapshot;
  readonly #leader: Gauge;
  readonly #claims: Gauge<'phase'>;
  readonly #hostPorts: Gauge<'phase'>;
  readonly #ports: Gauge<'class'>;
  readonly #free: Gauge<'class'>;
  readonly #overlap: Gauge<'class'>;
  readonly #steps: Counter<'step' | 'outcome'>;
  readonly #passes: Histogram;

  constructor(registry: Registry, snapshot: () => ClaimSnapshot) {
    this.#snapshot = snapshot;
    const registers = [registry];
    const ofClass = (name: string, help: string) => new Gauge({ name, help, labelNames: ['class'], registers });
    this.#leader = new Gauge({
      name: 'berth_claims_leader',
      help: '1 when this replica gives host ports to claims. The other metrics of claims are told by that one alone.',
      registers,
    });
    this.#claims = new Gauge({
      name: 'berth_claims',
      help: 'HostPortClaims by phase.',
      labelNames: ['phase'],
      registers,
    });
    this.#hostPorts = new Gauge({
      name: 'berth_claim_host_ports',
      help: 'HostPorts by phase.',
      labelNames: ['phase'],
      registers,
    });
    this.#ports = ofClass('berth_claim_class_ports', 'Numbers in the pools of the HostPortClass.');
    this.#free = ofClass('berth_claim_class_ports_free', 'Numbers of the HostPortClass that no HostPort has.');
    this.#overlap = ofClass(
      'berth_claim_class_pools_overlap',
      '1 when agents give numbers of the HostPortClass to other pods too.',
    );
    this.#steps = new Counter({
      name: 'berth_claim_steps_total',
      help: 'What the controller did, by outcome: done, stale (somebody else was faster: it looks again), failed.',
      labelNames: ['step', 'outcome'],
      registers,
    });
    this.#passes = new Histogram({
      name: 'berth_claim_pass_duration_seconds',
      help: 'How long the controller was busy with one look at all claims, without the moments that it left to other work.',
      buckets: PASS_BUCKETS,
      registers,
    });
  }

  /** Steps are few and fixed. */
  step(step: string, outcome: 'done' | 'stale' | 'failed'): void {
    this.#steps.inc({ step, outcome });
  }

  pass(ms: number): void {
    this.#passes.observe(ms / 1_000);
  }

  /** Before the metrics are told. */
  refresh(): void {
    const { leading, summary } = this.#snapshot();
    this.#leader.set(leading ? 1 : 0);
    for (const gauge of [this.#claims, this.#hostPorts, this.#ports, this.#free, this.#overlap]) gauge.reset();
    if (summary === undefined) return;
    for (const [phase, count] of Object.entries(summary.phases)) this.#claims.set({ phase }, count);
    for (const [phase, count] of Object.entries(summary.hostPorts)) this.#hostPorts.set({ phase }, count);
    for (const { name, ports, free, overlapping } of summary.classes.slice(0, MAX_CLASSES)) {
      this.#ports.set({ class: name }, ports);
      this.#free.set({ class: name }, free);
      this.#overlap.set({ class: name }, overlapping ? 1 : 0);
    }
  }
}
