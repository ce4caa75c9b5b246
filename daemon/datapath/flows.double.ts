/** The connection table in memory, for tests: no timers, and entries in the order in which they were added. */
import type { Flow } from '../core/flow.ts';
import type { FlowPorts, Flows } from '../reconcile/ports.ts';

export class FlowsDouble implements Flows {
  /** What the kernel tracks. A test may change it at any time. */
  flows: Flow[] = [];
  /** How often `purge` was called, and with which ports the last time. */
  purges = 0;
  lastPorts: readonly FlowPorts[] | 'all' | undefined;
  /** Runs before every purge: what it throws, or rejects with, the purge rejects with; what it awaits delays the purge. */
  fault: () => void | Promise<void> = () => {};

  /** One purge at a time; connections that a test adds meanwhile are seen like those that were there before. */
  async purge(ports: readonly FlowPorts[] | 'all', disagrees: (flow: Flow) => boolean): Promise<number> {
    this.purges++;
    this.lastPorts = ports;
    await this.fault();
    const kept = this.flows.filter((flow) => !(isAsked(flow, ports) && disagrees(flow)));
    const deleted = this.flows.length - kept.length;
    this.flows = kept;
    return deleted;
  }
}

function isAsked(flow: Flow, ports: readonly FlowPorts[] | 'all'): boolean {
  if (ports === 'all') return true;
  return ports.some(
    ({ protocol, port, size }) => flow.protocol === protocol && flow.port >= port && flow.port < port + size,
  );
}
