/**
 * The few metrics of the process itself that cost nothing between scrapes. The event loop's delay is not among them: Node
 * measures it with a timer that takes 0.6 % of a core at its usual 10 ms, three times what the whole agent may take.
 */
import { performance } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';

/** Adds them to the registry. The names with `process_` are those of every Prometheus client library. */
export function processMetrics(registry: Registry): void {
  const registers = [registry];
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'When the process started, in seconds since the epoch.',
    registers,
  }).set(performance.timeOrigin / 1_000);
  total(registry, 'process_cpu_seconds_total', 'CPU time of the process, user and system.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  total(
    registry,
    'berth_event_loop_active_seconds_total',
    'Time in which the event loop was busy: near 1 a second means overload.',
    () => performance.eventLoopUtilization().active / 1_000,
  );
}

/** A counter that somebody else counts: Node tells the sum. */
function total(registry: Registry, name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}
