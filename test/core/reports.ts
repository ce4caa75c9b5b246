/** What agents report, short enough to be read in tests. */
import type { ClusterRegistry } from '../../daemon/core/cluster.ts';
import type { Moment, ReportedAgent, ReportedStatus } from '../../daemon/core/noderecord.ts';
import type { EndReason, ReportedMapping, ReportSession, SnapshotPart } from '../../daemon/core/reportsession.ts';

export const STATUS: ReportedStatus = { addresses: [], pools: [] };

/** A moment so many ms after the beginning. */
export function at(ms: number): Moment {
  return { now: 1_767_225_600_000 + ms, monotonic: ms };
}

export function agentOf(node: string, epoch = 1, bootID = 'boot-1'): ReportedAgent {
  return { node, bootID, epoch, version: '0.1.0' };
}

/** TCP 20000 → 8080 of pod `shop/<name>` unless told otherwise. */
export function reported(name: string, hostPort = 20_000): ReportedMapping {
  const mapping = {
    pod: { namespace: 'shop', name, uid: `uid-${name}` },
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort,
    size: 1,
    containerPort: 8080,
    podIPs: ['10.0.0.5'],
  } as const;
  return { mapping, since: 1_000 };
}

/** A whole snapshot in one part. */
export function snapshotOf(sequence: number, ...names: readonly string[]): SnapshotPart {
  return { mappings: names.toSorted().map((name) => reported(name)), sequence };
}

/** Throws when the Hello is refused. */
export function opened(
  cluster: ClusterRegistry,
  agent: ReportedAgent,
  ms: number,
  onEnd: (reason: EndReason) => void = () => {},
): ReportSession {
  const result = cluster.open(agent, STATUS, at(ms), onEnd);
  if (result.kind !== 'accepted') throw new Error(result.message);
  return result.session;
}

/** As `node/pod:port`, sorted, with a `?` when it is stale. */
export function shownCluster(cluster: ClusterRegistry): string[] {
  const shown = cluster.mappings
    .all({})
    .map(({ node, mapping, stale }) => `${node}/${mapping.pod.name}:${mapping.hostPort}${stale ? '?' : ''}`);
  return shown.sort();
}
