/** Everything that one run is made of, for those who act in it. */
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { ApiServer } from './apiserver.ts';
import type { SimClaims } from './claims.ts';
import type { Fault } from './faults.ts';
import type { Ground } from './ground.ts';
import type { Watcher } from './watcher.ts';

/** How long a pass waits for the disk before it goes on, in ms. */
export const DISK_MS = 1_100;

export interface Stage extends Ground {
  readonly api: ApiServer;
  /** Judges what the agents do. */
  readonly watcher: Watcher;
  pools: readonly PoolConfig[];
  /** Absent in the runs that have no claims. */
  readonly claims: SimClaims | undefined;
}

export function note(stage: Pick<Ground, 'trace' | 'time'>, what: string): void {
  stage.trace.add(`${stage.time.now.toFixed(3)} ${what}`);
}

export function reached(stage: Pick<Ground, 'trace' | 'time' | 'counts'>, fault: Fault, detail = ''): void {
  stage.counts.reached(fault);
  note(stage, `** ${fault} ${detail}`);
}
