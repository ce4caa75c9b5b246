/**
 * The tracked flows that may disagree with the rules, kept as a list until they were cleaned: what could not be cleaned is
 * tried again, and a crash makes everything suspect.
 */
import { messageOf } from '../core/errors.ts';
import { disagrees, type FormerTarget } from '../core/flow.ts';
import type { Mapping } from '../core/vocabulary.ts';
import type { Clock, FlowPorts, Flows, Recorder } from './ports.ts';
import { flowTruth } from './truth.ts';

/** When it has failed for so long, in ms, mappings are announced although their flows could not be cleaned. */
const PATIENCE_MS = 1_000;

export class Cleaning {
  readonly #flows: Flows;
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  readonly #ports = new Map<string, FlowPorts>();
  /** What an earlier agent left may disagree anywhere. */
  #everything = true;
  readonly #former = new Map<string, FormerTarget>();
  /** Since when it fails, in monotonic ms. */
  #failingSince: number | undefined;

  constructor(flows: Flows, recorder: Recorder, clock: Clock) {
    this.#flows = flows;
    this.#recorder = recorder;
    this.#clock = clock;
  }

  /** Something is left to be cleaned. */
  get due(): boolean {
    return this.#everything || this.#ports.size > 0;
  }

  /** These host ports change, and these targets end. To be noted before the change is made: it may be made half. */
  note(ports: readonly FlowPorts[] | 'all', former: readonly FormerTarget[]): void {
    if (ports === 'all') this.#everything = true;
    else for (const port of ports) this.#ports.set(`${port.protocol}/${port.port}/${port.size}`, port);
    for (const one of former) this.#former.set(keyOf(one), one);
  }

  /**
   * Deletes the flows that disagree with the wanted mappings, of which some may have no rule (`stands`). `draining`: see FlowTruth. False when that failed
   * and announcing should wait for another try.
   */
  async run(
    wanted: readonly Mapping[],
    stands: (mapping: Mapping) => boolean,
    isNodeAddress: (address: string) => boolean,
    draining: readonly Mapping[] = [],
  ): Promise<boolean> {
    if (!this.due) return true;
    const ports = this.#everything ? 'all' : [...this.#ports.values()];
    const began = this.#clock.monotonic();
    const truth = flowTruth(wanted, ports, [...this.#former.values()], isNodeAddress, stands, draining);
    try {
      const deleted = await this.#flows.purge(ports, (flow) => disagrees(flow, truth));
      this.#recorder.record({ kind: 'flows', deleted, ms: this.#clock.monotonic() - began });
    } catch (error) {
      this.#recorder.record({ kind: 'failure', operation: 'flows', error: asError(error) });
      const now = this.#clock.monotonic();
      this.#failingSince ??= now;
      return now - this.#failingSince >= PATIENCE_MS;
    }
    if (this.#failingSince !== undefined) this.#recorder.record({ kind: 'recovered', operation: 'flows' });
    this.#failingSince = undefined;
    this.#everything = false;
    this.#ports.clear();
    this.#former.clear();
    return true;
  }
}

function keyOf({ protocol, hostPort, size, hostIP, containerPort, podIPs }: FormerTarget): string {
  return [protocol, hostPort, size, hostIP, containerPort, ...(podIPs ?? ['any'])].join(' ');
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(messageOf(error));
}
