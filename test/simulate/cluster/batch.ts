/** Many seeds, each run twice: the second run must leave the same trace, or a failure could not be replayed. */
import { CLUSTER_FAULTS, type ClusterFault } from './faults.ts';
import { simulateCluster } from './simulation.ts';

export interface ClusterBatch {
  readonly failures: readonly string[];
  readonly unreached: readonly ClusterFault[];
  readonly faults: ReadonlyMap<ClusterFault, number>;
}

const MAX_FAILURES = 5;

export async function runClusterSeeds(first: number, count: number): Promise<ClusterBatch> {
  const failures: string[] = [];
  const faults = new Map<ClusterFault, number>();
  for (let seed = first; seed < first + count && failures.length < MAX_FAILURES; seed++) {
    const run = await simulateCluster(seed, 0);
    const again = await simulateCluster(seed, 0);
    for (const [fault, times] of run.counts.entries()) faults.set(fault, (faults.get(fault) ?? 0) + times);
    if (run.violation !== undefined) failures.push(`seed ${seed}: ${run.violation.message}`);
    else if (run.hash !== again.hash) failures.push(`seed ${seed}: two runs differ`);
  }
  return { failures, faults, unreached: CLUSTER_FAULTS.filter((fault) => (faults.get(fault) ?? 0) === 0) };
}
