/** Everything that one run is made of, for those who act in it. */
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { ApiServer } from './apiserver.ts';
import type { SimClaims } from './claims.ts';
import type { Fault, FaultCounts } from './faults.ts';
import type { SeededRandom } from './random.ts';
import type { SimNode } from './simnode.ts';
import type { Trace } from './trace.ts';
import type { VirtualTime } from './virtualtime.ts';
import type { Watcher } from './watcher.ts';
import type { Weather } from './weather.ts';

/** How long a pass waits for the disk before it goes on, in ms. */
export const DISK_MS = 1_100;

export interface Stage {
  readonly random: SeededRandom;
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly counts: FaultCounts;
  readonly weather: Weather;
  readonly node: SimNode;
  readonly api: ApiServer;
  /** Judges what the agents do. */
  readonly watcher: Watcher;
  pools: readonly PoolConfig[];
  /** The agents serve static hostPorts themselves. */
  readonly servesStatics: boolean;
  /** Absent in the runs that have no claims. */
  readonly claims: SimClaims | undefined;
}

export function note(stage: Stage, what: string): void {
  stage.trace.add(`${stage.time.now.toFixed(3)} ${what}`);
}

export function reached(stage: Stage, fault: Fault, detail = ''): void {
  stage.counts.reached(fault);
  note(stage, `** ${fault} ${detail}`);
}
