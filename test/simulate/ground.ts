/** What the agents of one node stand on and are seen by, whichever simulation the node is part of. */
import type { Flow } from '../../daemon/core/flow.ts';
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { Mapping, Pod, PodRef, PodResult, Reservation } from '../../daemon/core/vocabulary.ts';
import type { ReserveOutcome } from '../../daemon/reconcile/ports.ts';
import type { ElementChange } from '../../rules/element.ts';
import type { AgentLife } from './agentlife.ts';
import type { FaultCounts } from './faults.ts';
import type { SeededRandom } from './random.ts';
import type { SimNode } from './simnode.ts';
import type { Trace } from './trace.ts';
import type { VirtualTime } from './virtualtime.ts';
import type { Weather } from './weather.ts';

export interface Ground {
  readonly random: SeededRandom;
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly counts: FaultCounts;
  readonly weather: Weather;
  readonly node: SimNode;
  readonly watcher: Witness;
  readonly pools: readonly PoolConfig[];
  /** The agents serve static hostPorts themselves. */
  readonly servesStatics: boolean;
  /** Every pod that there ever was, by uid. */
  readonly known: ReadonlyMap<string, PodRef>;
}

/** Sees what the agents of a node do. */
export interface Witness {
  fail(invariant: string, detail: string): void;
  starts(life: AgentLife<Ground>): void;
  /** The agent is no more, however it came. */
  ended(): void;
  /** Somebody else changed the table. */
  tampered(): void;
  loading(life: AgentLife<Ground>): void;
  read(life: AgentLife<Ground>): void;
  reserved(life: AgentLife<Ground>, reservation: Reservation, outcome: ReserveOutcome): void;
  released(life: AgentLife<Ground>, reservation: Reservation): void;
  beforeApply(life: AgentLife<Ground>): void;
  applied(life: AgentLife<Ground>, change: ElementChange): void;
  purgeFailed(): void;
  purged(life: AgentLife<Ground>, before: readonly Flow[], after: readonly Flow[]): void;
  announced(life: AgentLife<Ground>, mapping: Mapping): void;
  published(life: AgentLife<Ground>, pod: Pod, result: PodResult): void;
  /** A write to the API server leaves the agent. */
  writing(life: AgentLife<Ground>): void;
}
