/**
 * The agent of one node: constructs the adapters, takes the lock before it touches anything, and runs the loop until it is
 * told to stop. Rules stay in place when it ends; the next agent adopts them.
 */

import { messageOf } from './core/errors.ts';
import { formatRanges, poolSize } from './core/pool.ts';
import { MappingRegistry, registryOfNode } from './core/registry.ts';
import { ConntrackFlows } from './datapath/flows.ts';
import { readHost } from './datapath/host.ts';
import { NetlinkTransport } from './datapath/netlinktransport.ts';
import { NodeNetwork } from './datapath/network.ts';
import { Nft } from './datapath/nft.ts';
import { Table } from './datapath/table.ts';
import { logGrpc } from './grpclog.ts';
import { giveBackMemorySoon } from './native/memory.ts';
import type { AgentOptions } from './ops/agentoptions.ts';
import { systemClock } from './ops/clock.ts';
import { hostWarnings, nodePassages } from './ops/doctor/hostfindings.ts';
import { claimEpoch } from './ops/epoch.ts';
import { Health } from './ops/health.ts';
import { serveHttp } from './ops/http.ts';
import { acquireLock } from './ops/lock.ts';
import { createLog, type Log } from './ops/log.ts';
import { AgentMetrics, type MetricsSnapshot } from './ops/metrics.ts';
import { peerLog } from './ops/peerlog.ts';
import { refuseNodePorts } from './ops/pools.ts';
import { watchPools } from './ops/poolwatch.ts';
import { fanOut, LogRecorder } from './ops/recorder.ts';
import { StateFile } from './ops/statefile.ts';
import { openPods } from './podadapters.ts';
import { PoolGuard } from './poolguard.ts';
import { Loop } from './reconcile/loop.ts';
import type { Network, Recorder, World } from './reconcile/ports.ts';
import { SocketReserver } from './reserve/reserver.ts';
import type { Reporter } from './rpc/reporter.ts';
import { serve } from './rpc/server.ts';
import { VERSION } from './version.ts';

/** Whoever is on the network can hold one for a while, and the kubelet must find a place too. */
const METRICS_CONNECTIONS = 1_024;

/** Replaces adapters: the fault tests wrap them, so that the agent itself needs no hook. */
export type WrapWorld = (world: World) => World;

/** Runs until the signal aborts and everything is closed. Rejects with what keeps the agent from working at all. */
export async function runAgent(
  options: AgentOptions,
  signal: AbortSignal,
  wrap: WrapWorld = (world) => world,
): Promise<void> {
  const log = createLog({ level: options.logLevel, format: options.logFormat, node: options.nodeName });
  logGrpc(log);
  const health = new Health(systemClock, options.fullPassIntervalMs);
  const reserver = new SocketReserver({ limit: options.maxSockets });
  const registry = new MappingRegistry();
  let loop: Loop | undefined;
  let reporter: Reporter | undefined;
  const metrics = new AgentMetrics(VERSION, () => ({ ...snapshot(loop, reserver), ...links(reporter) }));
  const serving: Recorder & { start?: () => void; tidy?: () => void } = {
    record: (event) => {
      if (event.kind !== 'pass') return;
      serving.start?.();
      if (!event.full) return;
      serving.tidy?.();
      giveBackMemorySoon();
    },
  };
  const recorder = fanOut([new LogRecorder(log, systemClock), metrics, health, serving]);
  const warn = (message: string) => log.warn({ event: 'warning', message });

  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  const closing = (closed: Promise<void>) => {
    stop.abort();
    return closed;
  };
  try {
    const sources = { metrics: () => metrics.expose(), live: () => health.live(), ready: () => health.ready() };
    log.info({ event: 'started', version: VERSION, pid: process.pid });
    await using metricsDoor = await openMetrics(options, log, warn);
    // An agent that waits for the lock has its metrics address taken by the one that holds it.
    const door = metricsDoor && {
      door: metricsDoor,
      connections: METRICS_CONNECTIONS,
      connectionsPerAddress: METRICS_CONNECTIONS / 4,
    };
    const http = await serveHttp(options.metricsAddress, sources, ends, door).catch(() => undefined);
    using lock = await acquireLock(options.stateDir, {
      signal: ends,
      onWait: (pid) => {
        const why = `another agent${pid === undefined ? '' : ` (pid ${pid})`} holds ${options.stateDir}/lock`;
        health.waiting(why);
        log.warn({ event: 'waiting', message: `${why}; this one waits until it ends` });
      },
    });
    health.lockTaken();
    log.info({ event: 'locked', path: lock.path });
    // Whoever waits for the lock takes numbers and addresses as soon as it has it: they are given back before.
    await using before = new AsyncDisposableStack();
    before.use(reserver);
    const { address, closed } = http ?? (await serveHttp(options.metricsAddress, sources, ends, door));
    before.defer(() => closing(closed));
    log.info({ event: 'metrics', address: `${address.host}:${address.port}` });

    const guard = new PoolGuard(options, warn);
    const changed = guard.guard(options.pools);

    const nft = await Nft.find();
    const transport = options.nftTransport === 'nft' ? nft : before.use(new NetlinkTransport());
    await using datapath = new Table({ nft, transport });
    log.info({ event: 'datapath', nft: nft.description, transport: transport.description });
    using network = new NodeNetwork(
      options.hostAddresses === undefined ? {} : { hostAddresses: options.hostAddresses },
    );
    await warnOfHost(network, warn);
    const pods = await openPods(options, {
      signal: ends,
      warn,
      podsFailed: failed(recorder, 'pods'),
      publishFailed: failed(recorder, 'publish'),
    });
    before.defer(() => pods.close());
    const file = new StateFile(options.stateDir);
    const reports = options.aggregator === undefined ? undefined : await claimEpoch(file, Date.now());
    const world = wrap({
      clock: systemClock,
      random: Math.random,
      source: pods.source,
      ...(pods.claims === undefined ? {} : { claims: pods.claims }),
      datapath,
      flows: new ConntrackFlows(),
      network,
      reserver,
      publisher: pods.publisher,
      store: reports?.store ?? file,
      recorder,
      registry: registryOfNode(registry, options.nodeName, Date.now),
    });
    loop = new Loop(world, {
      labels: pods.labels,
      pools: options.pools,
      fullPassMs: options.fullPassIntervalMs,
      ...(options.staticHostPorts ? { staticHostPorts: { nodePorts: options.nodePortRange } } : {}),
    });
    const { reconciler } = loop;
    if (changed !== undefined) reconciler.noteSetting(changed);
    for (const pool of options.pools)
      log.info({ event: 'pool', name: pool.name, ranges: formatRanges(pool.ranges), ports: poolSize(pool) });

    const served = await serve({
      registry,
      node: { name: options.nodeName, addresses: () => reconciler.nodeAddresses.map(({ address }) => address) },
      report: failed(recorder, 'rpc'),
      socketPath: options.socket,
      onClient: peerLog(log),
      signal: ends,
      serving: false,
    });
    before.defer(() => closing(served.closed));
    // After each full pass, until it was known once which pods there are.
    serving.tidy = () => {
      const { tidy } = serving;
      delete serving.tidy;
      pods.tidy?.().catch((error: unknown) => {
        failed(recorder, 'publish')(error);
        if (tidy !== undefined) serving.tidy = tidy;
      });
    };
    if (reports !== undefined) {
      const { openReporter } = await import('./reporting.ts');
      const { epoch } = reports;
      reporter = before.use(
        openReporter(options, { registry, reconciler, pods, epoch, log, metrics: metrics.reports }),
      );
    }
    serving.start = () => {
      served.setServing(true);
      reporter?.start();
      delete serving.start;
    };
    if (options.poolsFile !== undefined) {
      const accept = (pools: AgentOptions['pools']) => refuseNodePorts(pools, options.nodePortRange);
      const use = (pools: AgentOptions['pools']) => {
        const changed = guard.guard(pools);
        if (changed !== undefined) reconciler.noteSetting(changed);
        loop?.setPools(pools);
      };
      watchPools(options.poolsFile, use, failed(recorder, 'pools'), ends, { accept });
    }
    await loop.run(ends);
    log.info({ event: 'stopping', message: 'rules stay in place; the next agent adopts them' });
  } finally {
    stop.abort();
  }
}

/** Where the metrics can be reached from a network they are guarded, unless that was given up. */
async function openMetrics(options: AgentOptions, log: Log, warn: (message: string) => void) {
  if (options.metricsAddress.loopback) return undefined;
  if (options.insecureMetrics) {
    warn('--insecure-metrics: whoever reaches the metrics may read them');
    return undefined;
  }
  const { openAgentMetrics } = await import('./agentmetrics.ts');
  return await openAgentMetrics(options, log);
}

/** Says where mappings cannot work, or not for every client: nothing else would tell. */
async function warnOfHost(network: Network, warn: (message: string) => void): Promise<void> {
  try {
    const addresses = network.addresses();
    const host = await readHost({ addresses, passages: nodePassages(addresses) });
    for (const message of hostWarnings(host)) warn(message);
  } catch (error) {
    warn(`the host could not be examined: ${messageOf(error)}`);
  }
}

function failed(recorder: Recorder, operation: string): (error: unknown) => void {
  return (error) =>
    recorder.record({
      kind: 'failure',
      operation,
      error: error instanceof Error ? error : new Error(messageOf(error)),
    });
}

function links(reporter: Reporter | undefined): Pick<MetricsSnapshot, 'links'> {
  if (reporter === undefined) return {};
  const { connected } = reporter;
  return { links: { connected, waiting: reporter.links - connected } };
}

function snapshot(loop: Loop | undefined, reserver: SocketReserver): MetricsSnapshot {
  if (loop === undefined) return { mappings: [], pools: [], reservedSockets: 0 };
  const { ledger, announcer } = loop.reconciler;
  const counts = new Map<string, { state: string; pool: string; count: number }>();
  const count = (state: string, pool: string) => {
    const key = `${state} ${pool}`;
    const known = counts.get(key) ?? { state, pool, count: 0 };
    counts.set(key, { ...known, count: known.count + 1 });
  };
  for (const grant of ledger.grants())
    count(announcer.live.has(`${grant.uid}/${grant.name}/${grant.protocol}`) ? 'live' : 'promised', grant.pool);
  const now = performance.now();
  return {
    mappings: [...counts.values()],
    pools: ledger
      .pools()
      .map((pool) => ({ name: pool.name, ports: poolSize(pool), free: ledger.free(pool.name, now) })),
    reservedSockets: reserver.sockets,
  };
}
