/** Wires the agent's reporter: what it says of the node, and where it tells how that goes. */
import { readFileSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import type { berth } from '../proto/service.ts';
import { allAddresses } from './core/answering.ts';
import { messageOf } from './core/errors.ts';
import type { ReportedAddress } from './core/noderecord.ts';
import { poolSize } from './core/pool.ts';
import type { MappingRegistry } from './core/registry.ts';
import { printable } from './core/text.ts';
import type { AgentOptions } from './ops/agentoptions.ts';
import { systemClock } from './ops/clock.ts';
import type { Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';
import type { ReportMetrics } from './ops/reportmetrics.ts';
import type { PodAdapters } from './podadapters.ts';
import type { Reconciler } from './reconcile/reconciler.ts';
import { replicasOf } from './rpc/replicas.ts';
import { grpcConnector } from './rpc/reportconnector.ts';
import { Reporter } from './rpc/reporter.ts';
import type { ReporterObserver } from './rpc/reportlink.ts';
import { addressTypeNumber } from './rpc/reportmessage.ts';
import { targetNameOptions, tlsCredentials } from './rpc/tls/channel.ts';
import { ChannelFiles } from './trust/channelfiles.ts';
import { readToken } from './trust/files.ts';
import { VERSION } from './version.ts';

interface Reported {
  readonly registry: MappingRegistry;
  readonly reconciler: Reconciler;
  readonly pods: Pick<PodAdapters, 'addresses'>;
  readonly epoch: number;
  readonly log: Log;
  readonly metrics: ReportMetrics;
}

/** More than the aggregator takes (the contract says how many) is left out. */
const MAX_ADDRESSES = 32;
const MAX_POOLS = 256;
const MAX_RANGES = 256;

/** Not started yet. Throws CONFIG_INVALID. */
export function openReporter(options: AgentOptions, reported: Reported): Reporter {
  const { registry, reconciler, pods, epoch, log, metrics } = reported;
  const bootID = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return new Reporter({
    registry,
    targets: options.aggregator ?? [],
    agent: { node: options.nodeName, bootID, epoch, version: VERSION },
    addresses: () => nodeAddresses(reconciler, pods.addresses),
    pools: () => poolStatuses(reconciler),
    connect: connectorOf(options, log),
    resolve: replicasOf,
    clock: systemClock,
    random: Math.random,
    observer: observing(log, metrics),
  });
}

function connectorOf(options: AgentOptions, log: Log) {
  const { aggregatorCA, aggregatorToken: token, aggregatorCert: cert, aggregatorKey: key } = options;
  if (aggregatorCA === undefined) return grpcConnector();
  const name = options.aggregatorServerName ?? options.aggregator?.find(({ literal }) => !literal)?.host;
  const material = new ChannelFiles(
    { authorities: aggregatorCA, ...(cert && key && { identity: { cert, key } }) },
    (error) => log.warn({ event: 'aggregator-files', error }),
  );
  const channel = tlsCredentials({
    material,
    identified: cert !== undefined,
    ...(token === undefined ? {} : { token: () => readToken(token) }),
  });
  return grpcConnector(channel, targetNameOptions(name));
}

function nodeAddresses(
  reconciler: Reconciler,
  ofNode: readonly ReportedAddress[],
): readonly berth.v1.NodeAddress.$Properties[] {
  const found = reconciler.nodeAddresses.map(({ address }) => address);
  return allAddresses(ofNode, found)
    .slice(0, MAX_ADDRESSES)
    .map(({ type, address }) => ({ type: addressTypeNumber(type), address }));
}

function poolStatuses({ ledger }: Reconciler): readonly berth.v1.PoolStatus.$Properties[] {
  const now = systemClock.monotonic();
  return ledger
    .pools()
    .slice(0, MAX_POOLS)
    .map((pool) => ({
      name: pool.name,
      ports: poolSize(pool),
      freeTcp: ledger.free(pool.name, now, 'TCP'),
      freeUdp: ledger.free(pool.name, now, 'UDP'),
      freeSctp: ledger.free(pool.name, now, 'SCTP'),
      ranges: pool.ranges.slice(0, MAX_RANGES),
    }));
}

/** One line when an aggregator is lost, and one when it is back: not one for each attempt between them. */
function observing(log: Log, metrics: ReportMetrics): ReporterObserver {
  const failing = new Map<string, status>();
  // A name server may give new addresses each time.
  const repetition = new Repetition(systemClock);
  return {
    connected: (address, replica) => {
      failing.delete(address);
      log.info({ event: 'aggregator-connected', address, replica: printable(replica, 64) });
    },
    lost: (address, code, details) => {
      metrics.failed(status[code] ?? 'UNKNOWN');
      if (failing.get(address) === code) return;
      failing.set(address, code);
      if (!repetition.admit('lost', address, status[code])) return;
      const message = `${status[code]}: ${printable(details, 512)}; it is tried again, and mappings work meanwhile`;
      log[code === status.ABORTED ? 'error' : 'warn']({ event: 'aggregator-lost', address, message });
    },
    dropped: (address) => {
      failing.delete(address);
    },
    sent: (kind) => metrics.sent(kind),
    resync: (address, reason) => {
      metrics.resync();
      log.info({ event: 'aggregator-resync', address, message: printable(reason, 256) });
    },
    resolved: (target) => {
      failing.delete(target);
    },
    unresolved: (target, error) => {
      metrics.failed('UNRESOLVED');
      if (failing.has(target)) return;
      failing.set(target, status.UNAVAILABLE);
      log.warn({ event: 'aggregator-unresolved', target, message: printable(messageOf(error), 512) });
    },
  };
}
