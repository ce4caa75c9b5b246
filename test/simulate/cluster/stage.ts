/** What every part of a run of the cluster has at hand. */
import type { Clock } from '../../../daemon/reconcile/ports.ts';
import type { SeededRandom } from '../random.ts';
import type { Trace } from '../trace.ts';
import type { VirtualTime } from '../virtualtime.ts';
import type { ClusterFaultCounts } from './faults.ts';

export interface ClusterStage {
  readonly random: SeededRandom;
  readonly time: VirtualTime;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly counts: ClusterFaultCounts;
}

export function note({ trace, time }: ClusterStage, line: string): void {
  trace.add(`${time.now.toFixed(1)} ${line}`);
}

export function clockOf(time: VirtualTime): Clock {
  return { now: () => time.wall, monotonic: () => time.now, after: (ms, run) => time.after(ms, run) };
}
