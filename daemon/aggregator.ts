/**
 * An aggregator: constructs the adapters and answers for the cluster until it is told to stop. It keeps nothing on a disk: after
 * a start the agents tell everything again, to each replica by itself.
 */
import { hostname } from 'node:os';
import { status } from '@grpc/grpc-js';
import { ClusterRegistry } from './core/cluster.ts';
import { printable } from './core/text.ts';
import { logGrpc } from './grpclog.ts';
import type { MetricsDoor } from './metricsdoor.ts';
import { collectSooner, giveBackMemorySoon, keepLittleFree } from './native/memory.ts';
import { AggregatorMetrics, type ClusterSnapshot } from './ops/aggregatormetrics.ts';
import type { AggregatorOptions } from './ops/aggregatoroptions.ts';
import { systemClock } from './ops/clock.ts';
import { Discovery } from './ops/discovery.ts';
import { serveHttp } from './ops/http.ts';
import { createLog, type Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';
import { reading, trusting } from './rpc/caller.ts';
import { SERVER_LIMITS, type ServedCluster, serveCluster } from './rpc/clusterserver.ts';
import type { ReportObserver } from './rpc/conversation.ts';
import type { Secured } from './securedoor.ts';
import { VERSION } from './version.ts';

const GRACE_MS = 3_000;
/**
 * Of the slabs that Node cuts small buffers from, 64 KB by default: each lives as long as the last one that was cut from it, and with
 * many watchers hundreds do. Larger buffers have their own memory.
 */
const SLAB_BYTES = 8 * 1024;
/** Whoever is on the network can hold one for a while, and the kubelet must find a place too. */
const METRICS_CONNECTIONS = 1_024;

/** Runs until the signal aborts and everything is closed. Rejects with what keeps it from working at all. */
export async function runAggregator(options: AggregatorOptions, signal: AbortSignal): Promise<void> {
  const log = createLog({ level: options.logLevel, format: options.logFormat, node: hostname() });
  logGrpc(log);
  Buffer.poolSize = SLAB_BYTES;
  const cluster = new ClusterRegistry({ graceMs: options.staleAfterMs, dropMs: options.dropAfterMs });
  let served: ServedCluster | undefined;
  const metrics = new AggregatorMetrics(VERSION, () => snapshot(cluster, served));
  log.info({ event: 'started', version: VERSION, pid: process.pid });
  const ready = () => {
    const { heard, known } = cluster.count;
    if (served?.ready) return { ok: true, text: `ready: ${heard} of ${known} nodes have reported` };
    return { ok: false, text: `not ready: ${heard} of ${known} nodes have reported` };
  };
  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  const discovery = new Discovery({ cluster, ready: () => served?.ready ?? false });
  const sources = {
    metrics: () => metrics.expose(),
    live: () => ({ ok: true, text: 'alive' }),
    ready,
    pages: { '/sd/prometheus': (query: URLSearchParams) => discovery.answer(query) },
  };
  const metricsDoor = await openMetrics(options, log);
  const http = await serveHttp(options.aggregatorMetricsAddress, sources, ends, {
    remedy: '--aggregator-metrics-address',
    ...(metricsDoor && {
      door: metricsDoor,
      connections: METRICS_CONNECTIONS,
      connectionsPerAddress: METRICS_CONNECTIONS / 4,
    }),
  });
  await using opened = new AsyncDisposableStack();
  try {
    let secure: Secured | undefined;
    if (metricsDoor !== undefined || asksCluster(options)) {
      const { openSecured } = await import('./securedoor.ts');
      secure = await openSecured(options, metricsDoor, cluster, log, ends);
      // It was told to stop while it waited.
      if (secure === undefined) return;
      opened.use(secure);
    }
    // Where agents have a door at which they prove their node, nobody speaks for a node without that.
    const plain = secure?.door === undefined ? trusting : reading;
    if (options.claims) {
      const { openClaims } = await import('./claimcontroller.ts');
      const reported = () => (served?.ready && cluster.count.heard > 0 ? cluster.records : undefined);
      opened.use(await openClaims(options, { reported, log, metrics }));
    }
    served = await serveCluster({
      cluster,
      doors: [{ address: options.listen, authenticator: plain }, ...(secure?.door === undefined ? [] : [secure.door])],
      clock: systemClock,
      random: Math.random,
      observer: observing(log, metrics, (caller, node) => secure?.impostor(caller, node)),
      report: (error) => log.error({ event: 'defect', error }),
      limits: { connections: { ...SERVER_LIMITS.connections, ofOne: options.connectionsPerAddress } },
      onRefused: refusing(log),
      readyMs: options.readyAfterMs,
      onReady: () => {
        log.info({ event: 'ready', ...cluster.count });
        // From now on memory counts, and before that how soon thousands of agents that come together have told everything.
        collectSooner();
        keepLittleFree();
        giveBackMemorySoon();
      },
      signal: ends,
      graceMs: GRACE_MS,
    });
    const listening = served.addresses.map(({ host, port }) => `${host}:${port}`).join(', ');
    log.info({ event: 'listening', address: listening, metrics: `${http.address.host}:${http.address.port}` });
    if (!options.listen.loopback) {
      log.warn({ event: 'warning', message: '--insecure-listen: whoever reaches this address may report and read' });
    }
    await served.closed;
    log.info({ event: 'stopped' });
  } finally {
    stop.abort();
    await http.closed;
  }
}

/** Where the metrics can be reached from a network they are guarded, unless that was given up. */
async function openMetrics(options: AggregatorOptions, log: Log): Promise<MetricsDoor | undefined> {
  const { aggregatorMetricsAddress, insecureMetrics, clientCA } = options;
  if (aggregatorMetricsAddress.loopback) return undefined;
  if (insecureMetrics) {
    log.warn({
      event: 'warning',
      message: '--insecure-metrics: whoever reaches the metrics may read them, /sd/prometheus too',
    });
    return undefined;
  }
  const { openMetricsDoor } = await import('./metricsdoor.ts');
  return openMetricsDoor({ askClients: clientCA !== undefined, names: ['localhost'], log });
}

/** Whoever is refused comes again: as often as a failure that repeats is told. */
function refusing(log: Log): (reason: string) => void {
  const repetition = new Repetition(systemClock);
  return (reason) => {
    const message = `${reason}: one more was closed; --connections-per-address allows more`;
    if (repetition.admit('connection-refused', '', reason)) log.warn({ event: 'connection-refused', message });
  };
}

/** Also for the nodes alone that should report, where there is an API server to tell. */
function asksCluster({ secureListen, reviewTokens, kubeconfig }: AggregatorOptions): boolean {
  const known = kubeconfig !== undefined || process.env.KUBERNETES_SERVICE_HOST !== undefined;
  return secureListen !== undefined || (reviewTokens && known);
}

/** Who comes and goes, bounded: an agent that comes again and again must not fill the log (I10). */
function observing(log: Log, metrics: AggregatorMetrics, impostor: ReportObserver['impostor']): ReportObserver {
  const repetition = new Repetition(systemClock);
  return {
    opened: ({ node, epoch, bootID, version }) => {
      if (repetition.admit('agent', node, 'opened')) log.info({ event: 'agent', agent: node, epoch, bootID, version });
    },
    ended: (agent, refusal) => {
      if (refusal !== undefined) metrics.refused(status[refusal.code] ?? 'UNKNOWN');
      const code = refusal === undefined ? 'CANCELLED' : status[refusal.code];
      const fields = { agent: agent?.node, code, message: refusal?.details };
      if (!repetition.admit('agent', agent?.node ?? '', `ended ${code}`)) return;
      const wrong = refusal !== undefined && refusal.code !== status.UNAVAILABLE;
      log[wrong ? 'warn' : 'info']({ event: 'agent-ended', ...fields });
    },
    reported: (kind) => metrics.reported(kind),
    resync: ({ node }, reason) => {
      metrics.resync();
      if (repetition.admit('resync', node, '')) log.info({ event: 'agent-resync', agent: node, message: reason });
    },
    impostor: (caller, node) => {
      metrics.impostor();
      if (!repetition.admit('impostor', caller.node, '')) return;
      impostor(caller, node);
      const message = `the agent of node ${caller.node} tried to report for node ${printable(node, 253)}: it was refused`;
      log.error({ event: 'impostor', agent: caller.node, claimed: node, message });
    },
  };
}

function snapshot(cluster: ClusterRegistry, served: ServedCluster | undefined): ClusterSnapshot {
  const { heard, known } = cluster.count;
  let stale = 0;
  for (const record of cluster.records.values()) if (record.stale && record.sequence !== undefined) stale += 1;
  return {
    nodes: { live: heard - stale, stale, silent: known - heard },
    mappings: cluster.mappings.size,
    watchers: served?.watchers ?? 0,
    streams: served?.streams ?? 0,
    ready: served?.ready ?? false,
  };
}
