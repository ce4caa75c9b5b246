/**
 * The aggregator's gRPC server on TCP: ReportService for agents, MappingService and NodeService for clients, health and
 * reflection, behind one guard and with bounds on everything that a peer can make it hold.
 */
import { randomUUID } from 'node:crypto';
import type { AddressInfo, Server as Listener } from 'node:net';
import {
  HealthService,
  MappingService,
  NodeService,
  OldReflectionService,
  ReflectionService,
  ReportService,
} from '../../proto/service.ts';
import type { ClusterRegistry } from '../core/cluster.ts';
import { BerthError, messageOf } from '../core/errors.ts';
import type { ReportedStatus } from '../core/noderecord.ts';
import type { ShareLimits } from '../core/share.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import { Admission } from './admission.ts';
import type { Authenticator } from './caller.ts';
import type { ReportObserver } from './conversation.ts';
import { ChangeFeed } from './feed.ts';
import { freshnessFor } from './freshness.ts';
import { type GrpcListenerOptions, listenGrpc } from './grpclistener.ts';
import { Guard } from './guard.ts';
import { HealthAnswers } from './health.ts';
import { Inbox, type InboxLimits } from './inbox.ts';
import { MappingAnswers } from './mappingservice.ts';
import { NodeAnswers } from './nodeservice.ts';
import { OUTBOX_LIMITS, Outbox, type OutboxLimits } from './outbox.ts';
import { ReflectionAnswers, servicesOf } from './reflection.ts';
import { isIPType } from './reportmessage.ts';
import { ReportAnswers } from './reportservice.ts';
import { type StrangerLimits, Strangers } from './strangers.ts';
import { streamAge } from './streamage.ts';
import { Upkeep } from './upkeep.ts';
import { EncodedMappingService } from './watcher.ts';

/** Where callers come in, and how it is found out who they are. */
export interface Door {
  /** Port 0 lets the kernel choose. */
  readonly address: { readonly host: string; readonly port: number };
  readonly authenticator: Authenticator;
  /** Plaintext unless given. */
  readonly createListener?: NonNullable<GrpcListenerOptions['createListener']>;
}

export interface ServeClusterOptions {
  readonly cluster: ClusterRegistry;
  /** At least one; they serve the same. */
  readonly doors: readonly Door[];
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: ReportObserver;
  /** Hears of defects. */
  readonly report: (error: Error) => void;
  /** Told of connections that are closed because there are too many of their address. */
  readonly onRefused?: (reason: string) => void;
  /** How long clients wait for nodes that have not reported yet, in ms. */
  readonly readyMs: number;
  readonly onReady?: () => void;
  readonly signal: AbortSignal;
  /** How long calls may take to end once the signal aborts, in ms. */
  readonly graceMs: number;
  readonly limits?: Partial<ServerLimits>;
}

export interface ServedCluster {
  /** Of the doors, in their order. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  readonly ready: boolean;
  readonly watchers: number;
  readonly streams: number;
  /** Resolves once every connection is closed. */
  readonly closed: Promise<void>;
}

export interface ServerLimits {
  /** Of each door; of one: of an address. */
  readonly connections: ShareLimits;
  /** Of agents; of one: of the agent of a node. */
  readonly streams: ShareLimits;
  readonly watchers: ShareLimits;
  /** What comes of callers that are known. */
  readonly inbox: InboxLimits;
  /** What comes where anybody may call; of one: of an address. */
  readonly anybody: InboxLimits;
  readonly strangers: StrangerLimits;
  readonly outbox: OutboxLimits;
}

const KB = 1024;
const MB = 1024 * KB;
/** Questions are far shorter, and come at once. Thousands of agents that come again together wait for each other. */
const MESSAGES = { single: { bytes: 64 * KB, ms: 10_000 }, streamed: { bytes: MB, ms: 60_000 } } as const;
const SHORT = { bytes: KB, ms: 10_000 } as const;

export const SERVER_LIMITS: ServerLimits = {
  // Agents hold one connection each, and clients some; the nodes of a cloud may all have the address of its NAT.
  connections: { ofAll: 25_000, ofOne: 1_000 },
  // An agent that comes again may be there before it is known that it had gone.
  streams: { ofAll: 20_000, ofOne: 8 },
  watchers: { ofAll: 1_000, ofOne: 250 },
  // As many as a connection has streams. Agents that come again together tell their state together.
  inbox: {
    requests: { ofAll: 1_000, ofOne: 100 },
    bytes: { ofAll: 128 * MB, ofOne: 16 * MB },
    ...MESSAGES,
  },
  anybody: {
    requests: { ofAll: 250, ofOne: 250 },
    bytes: { ofAll: 8 * MB, ofOne: MB },
    single: SHORT,
    streamed: SHORT,
  },
  // As many as there are tokens that may wait to be reviewed, and as many again of others.
  strangers: { calls: { ofAll: 4_096, ofOne: 2_048 }, bytes: { ofAll: 64 * MB, ofOne: 256 * KB } },
  outbox: OUTBOX_LIMITS,
};
/** Watchers of the cluster hear of changes so often at most. */
const BATCH_MS = 50;
const LIMITS = {
  'grpc.max_receive_message_length': MESSAGES.streamed.bytes,
  'grpc.max_concurrent_streams': 100,
  // In MiB, for everything that one connection makes Node hold.
  'grpc-node.max_session_memory': 10,
  // A peer that is gone without a word is noticed within 25 s.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Who asks nothing keeps no place from others.
  'grpc.max_connection_idle_ms': 300_000,
  'grpc.enable_channelz': 0,
};

/** Resolves once agents and clients can connect. Rejects with CONFIG_INVALID. */
export async function serveCluster(options: ServeClusterOptions): Promise<ServedCluster> {
  const { cluster, clock, random, report, observer, signal, graceMs } = options;
  const limits = { ...SERVER_LIMITS, ...options.limits };
  const instance = randomUUID();
  const age = streamAge(clock, random);
  const feed = new ChangeFeed(cluster.mappings, clock, BATCH_MS);
  const health = new HealthAnswers(false, ['berth.v1.MappingService', 'berth.v1.NodeService']);
  const freshness = freshnessFor(cluster, clock);
  const upkeep = new Upkeep(cluster, clock, options.readyMs, () => {
    health.set(true);
    options.onReady?.();
  });
  const mappings = new MappingAnswers({
    feed,
    addresses: (node) => addressesOf(cluster.records.get(node)?.status),
    freshness,
    instance,
    unready: () => (upkeep.ready ? undefined : 'this aggregator has just started and does not know every node yet'),
    report,
    watchers: limits.watchers,
    age,
  });
  const reports = new ReportAnswers({ cluster, instance, clock, observer, streams: limits.streams, age, report });
  const nodes = new NodeAnswers({ cluster, freshness, report });
  const definitions = [
    MappingService,
    NodeService,
    ReportService,
    HealthService,
    ReflectionService,
    OldReflectionService,
  ];
  const reflection = new ReflectionAnswers({ services: servicesOf(definitions), age });
  let stopped = false;
  const onStop = () => {
    if (stopped) return;
    stopped = true;
    upkeep[Symbol.dispose]();
    health.set(false);
    mappings.stop();
    reports.stop();
    reflection.stop();
    health.stop();
    feed[Symbol.dispose]();
  };
  const outbox = new Outbox({ limits: limits.outbox, clock });
  const inbox = {
    known: new Inbox({ limits: limits.inbox, clock }),
    anybody: new Inbox({ limits: limits.anybody, clock, displaces: true }),
  };
  const strangers = new Strangers(limits.strangers, clock);
  const opened: Awaited<ReturnType<typeof openDoor>>[] = [];
  // One that cannot be opened closes those before it.
  const failed = new AbortController();
  const ends = AbortSignal.any([signal, failed.signal]);
  try {
    for (const { address, authenticator, createListener } of options.doors) {
      const admission = new Admission({ authenticator, inbox, strangers, report });
      const guard = new Guard(admission, outbox, report);
      const services = [
        guard.guarded(EncodedMappingService, mappings.handlers, MappingService),
        guard.guarded(NodeService, nodes.handlers),
        guard.guarded(ReportService, reports.handlers),
        guard.guarded(HealthService, health.handlers),
        guard.guarded(ReflectionService, reflection.handlers),
        guard.guarded(OldReflectionService, reflection.handlers),
      ];
      const door = {
        services,
        interceptor: admission.interceptor,
        limits: LIMITS,
        connections: limits.connections,
        ...(options.onRefused && { onRefused: options.onRefused }),
        onStop,
        report,
        signal: ends,
        graceMs,
      };
      opened.push(await openDoor({ ...door, ...(createListener && { createListener }) }, address));
    }
  } catch (error) {
    failed.abort();
    onStop();
    throw error;
  }
  return {
    addresses: opened.map(({ address }) => address),
    get ready() {
      return upkeep.ready;
    },
    get watchers() {
      return mappings.watchers;
    },
    get streams() {
      return reports.streams;
    },
    closed: Promise.all(opened.map(({ closed }) => closed)).then(() => {}),
  };
}

async function openDoor(options: Omit<GrpcListenerOptions, 'listen'>, address: Door['address']) {
  let listener: Listener | undefined;
  const listening = await listenGrpc({
    ...options,
    listen: async (made) => {
      listener = made;
      await listen(made, address);
      return () => {};
    },
  });
  const { address: host, port } = (listener?.address() as AddressInfo | null) ?? { address: address.host, port: 0 };
  return { ...listening, address: { host, port } };
}

async function listen(listener: Listener, { host, port }: Door['address']): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  listener.once('error', reject);
  listener.listen({ host, port }, resolve);
  try {
    await promise;
  } catch (error) {
    const why = `gRPC cannot be served on ${host} port ${port} (${messageOf(error)}): set --listen to a free address`;
    throw new BerthError('CONFIG_INVALID', why, { cause: error });
  } finally {
    listener.off('error', reject);
  }
}

/** Made once a status: asked for every mapping of every answer. */
const reachable = new WeakMap<ReportedStatus, readonly string[]>();

function addressesOf(status: ReportedStatus | undefined): readonly string[] {
  if (status === undefined) return [];
  let addresses = reachable.get(status);
  if (addresses === undefined) {
    addresses = status.addresses.filter(({ type }) => isIPType(type)).map(({ address }) => address);
    reachable.set(status, addresses);
  }
  return addresses;
}
