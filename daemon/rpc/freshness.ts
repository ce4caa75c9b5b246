/** What an aggregator's answers mean: when the nodes that they are about were heard, and how many nodes have told what they have. */
import type { berth } from '../../proto/service.ts';
import type { ClusterCount, ClusterRegistry } from '../core/cluster.ts';
import type { Clock } from '../reconcile/ports.ts';
import { toTimestamp } from './convert.ts';
import type { Subject } from './mappingservice.ts';

/** Of all nodes it is found out again at most so often, in ms: thousands would be looked at for every answer. */
const FRESHNESS_MS = 250;

export function freshnessFor(
  cluster: ClusterRegistry,
  clock: Pick<Clock, 'monotonic'>,
): (subject?: Subject) => berth.v1.Freshness.$Properties {
  let oldest = Number.POSITIVE_INFINITY;
  let counted: ClusterCount | undefined;
  let knownAt = 0;
  const ofAll = () => {
    const now = clock.monotonic();
    // It is counted anew whenever a node comes or goes.
    if (counted !== cluster.count || now - knownAt >= FRESHNESS_MS) {
      oldest = oldestHeard(cluster, cluster.records.keys());
      counted = cluster.count;
      knownAt = now;
    }
    return oldest;
  };
  return (subject) => {
    const { heard, known } = cluster.count;
    const lastHeard = subject === undefined ? ofAll() : oldestHeard(cluster, subject);
    return {
      ...(Number.isFinite(lastHeard) ? { lastHeard: toTimestamp(lastHeard) } : {}),
      complete: { nodesHeard: heard, nodesKnown: known },
    };
  };
}

/** When that one of the nodes was heard that was heard longest ago, of those that have told something. */
function oldestHeard({ records }: ClusterRegistry, names: Iterable<string>): number {
  let oldest = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const record = records.get(name);
    if (record?.sequence !== undefined) oldest = Math.min(oldest, record.heard.now);
  }
  return oldest;
}
