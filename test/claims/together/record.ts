/** What happened in a run: how often, and as a trace of which two runs of one seed have the same hash. */
import { FaultCounts } from '../../simulate/faults.ts';
import { note } from '../../simulate/stage.ts';
import { Trace } from '../../simulate/trace.ts';
import type { VirtualTime } from '../../simulate/virtualtime.ts';
import type { Reach } from '../replicas.ts';
import type { Thing } from '../rig.ts';

export class Record {
  readonly trace: Trace;
  /** Those that the parts of the one-agent simulation tell. */
  readonly counts = new FaultCounts();
  readonly #time: VirtualTime;
  readonly #reached = new Map<string, number>();

  constructor(time: VirtualTime, lines: number) {
    this.#time = time;
    this.trace = new Trace(lines);
  }

  readonly reach: Reach = (what, value) => {
    this.#reached.set(what, (this.#reached.get(what) ?? 0) + 1);
    this.note(`** ${what}`);
    return value;
  };

  readonly happened = (what: string): void => this.reach(what, undefined);

  get reached(): ReadonlyMap<string, number> {
    const counted = this.counts.entries().filter(([, count]) => count > 0);
    return new Map([...this.#reached, ...counted]);
  }

  note(what: string): void {
    note({ trace: this.trace, time: this.#time }, what);
  }

  /** What of an object a reader of the trace wants to see. */
  change(type: string, plural: string, { metadata, spec, status }: Thing): void {
    const { namespace = '', name, uid, resourceVersion, deletionTimestamp, annotations } = metadata;
    const rest = JSON.stringify({ deletionTimestamp, annotations, spec, status });
    this.note(`api ${type} ${plural} ${namespace}/${name} ${uid} ${resourceVersion} ${rest}`);
  }
}
