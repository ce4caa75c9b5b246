/** An aggregator over a real TCP socket, agents that report to it, and what the tests say about them. */
import { Client, credentials, status } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { type ClusterLimits, ClusterRegistry } from '../../daemon/core/cluster.ts';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import type { Clock } from '../../daemon/reconcile/ports.ts';
import { type Authenticator, trusting } from '../../daemon/rpc/caller.ts';
import { type Door, type ServedCluster, type ServerLimits, serveCluster } from '../../daemon/rpc/clusterserver.ts';
import { grpcConnector } from '../../daemon/rpc/reportconnector.ts';
import { Reporter } from '../../daemon/rpc/reporter.ts';
import type { ReportConnector } from '../../daemon/rpc/reportlink.ts';
import { type berth, MappingService, type Method, ReportService } from '../../proto/service.ts';

export interface Aggregator {
  readonly cluster: ClusterRegistry;
  readonly served: ServedCluster;
  readonly address: string;
  /** What observers heard, such as `opened node-a`. */
  readonly heard: string[];
  readonly defects: Error[];
  stop(): Promise<void>;
}

export interface AggregatorOptions {
  readonly limits?: Partial<ClusterLimits>;
  readonly server?: Partial<ServerLimits>;
  readonly clock?: Clock;
  readonly readyMs?: number;
  readonly port?: number;
  readonly authenticator?: Authenticator;
  readonly random?: () => number;
  readonly createListener?: NonNullable<Door['createListener']>;
  readonly onRefused?: (reason: string) => void;
}

/** Gone when the test ends; a defect of it fails the test. */
export async function aggregator(t: ExecutionContext, options: AggregatorOptions = {}): Promise<Aggregator> {
  const cluster = new ClusterRegistry(options.limits);
  const abort = new AbortController();
  const heard: string[] = [];
  const defects: Error[] = [];
  const served = await serveCluster({
    cluster,
    doors: [
      {
        address: { host: '127.0.0.1', port: options.port ?? 0 },
        authenticator: options.authenticator ?? trusting,
        ...(options.createListener && { createListener: options.createListener }),
      },
    ],
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    observer: {
      opened: ({ node }) => heard.push(`opened ${node}`),
      ended: (agent, refusal) => heard.push(`ended ${agent?.node} ${refusal ? status[refusal.code] : 'gone'}`),
      reported: (kind) => heard.push(kind),
      resync: ({ node }) => heard.push(`resync ${node}`),
      impostor: (caller, node) => heard.push(`impostor ${caller.node} as ${node}`),
    },
    report: (error) => defects.push(error),
    readyMs: options.readyMs ?? 0,
    signal: abort.signal,
    graceMs: 500,
    ...(options.server && { limits: options.server }),
    ...(options.onRefused && { onRefused: options.onRefused }),
  });
  const stop = async () => {
    abort.abort();
    await served.closed;
  };
  t.teardown(async () => {
    await stop();
    const [defect] = defects;
    if (defect !== undefined) throw defect;
  });
  return { cluster, served, address: `127.0.0.1:${served.addresses[0]?.port}`, heard, defects, stop };
}

export interface AgentOptions {
  readonly node?: string;
  readonly epoch?: number;
  readonly bootID?: string;
  readonly registry?: MappingRegistry;
  readonly connect?: ReportConnector;
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

export interface Agent {
  readonly registry: MappingRegistry;
  readonly reporter: Reporter;
  readonly heard: string[];
}

/** Started, with the shortest pauses. */
export function agent(t: ExecutionContext, addresses: readonly string[], options: AgentOptions = {}): Agent {
  const registry = options.registry ?? new MappingRegistry();
  const heard: string[] = [];
  const reporter = new Reporter({
    registry,
    targets: addresses.map((address) => {
      const [host = '', port = ''] = address.split(':');
      return { host, port: Number(port), literal: options.resolve === undefined };
    }),
    agent: {
      node: options.node ?? 'node-a',
      bootID: options.bootID ?? 'boot-1',
      epoch: options.epoch ?? 1,
      version: '1.2.3',
    },
    addresses: () => [
      { type: 1, address: '192.0.2.10' },
      { type: 4, address: 'a.internal' },
    ],
    pools: () => [
      {
        ...{ name: 'default', ports: 100, freeTcp: 99, freeUdp: 98, freeSctp: 97 },
        ranges: [{ first: 20_000, last: 20_099 }],
      },
    ],
    connect: options.connect ?? grpcConnector(),
    resolve: options.resolve ?? (() => Promise.reject(new Error('no names here'))),
    clock: systemClock,
    random: () => 0,
    observer: {
      connected: (address) => heard.push(`connected ${address}`),
      lost: (_address, code, details) => heard.push(`lost ${status[code]} ${details}`),
      dropped: () => {},
      sent: (kind) => heard.push(kind),
      resync: (_address, reason) => heard.push(`resync ${reason}`),
      resolved: () => {},
      unresolved: (target) => heard.push(`unresolved ${target}`),
    },
  });
  t.teardown(() => reporter[Symbol.dispose]());
  reporter.start();
  return { registry, reporter, heard };
}

/** Looks again in every turn of the loop until it holds; the test's own time limit ends it. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export function clientOf(t: ExecutionContext, address: string): Client {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  t.teardown(() => client.close());
  return client;
}

/** One unary call. Rejects with a ServiceError. */
export function ask<Q, R>(client: Client, method: Method<Q, unknown, never, R, false>, request: Q): Promise<R> {
  const { promise, resolve, reject } = Promise.withResolvers<R>();
  const { path, requestSerialize, responseDeserialize } = method;
  client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) =>
    error === null ? resolve(answer as R) : reject(error),
  );
  return promise;
}

export interface RawReport {
  readonly responses: berth.v1.ReportResponse[];
  write(message: berth.v1.ReportRequest.$Properties | Buffer): void;
  /** How the aggregator ended the stream. */
  readonly ended: Promise<{ readonly code: status; readonly details: string }>;
  cancel(): void;
}

/** A Report stream that says what a test wants, well-formed or not. */
export function rawReport(t: ExecutionContext, address: string): RawReport {
  const client = clientOf(t, address);
  const { path, requestSerialize, responseDeserialize } = ReportService.report;
  const serialize = (message: berth.v1.ReportRequest.$Properties | Buffer) =>
    Buffer.isBuffer(message) ? message : requestSerialize(message);
  const call = client.makeBidiStreamRequest(path, serialize, responseDeserialize);
  const responses: berth.v1.ReportResponse[] = [];
  call.on('data', (response: berth.v1.ReportResponse) => responses.push(response));
  const { promise: ended, resolve } = Promise.withResolvers<{ code: status; details: string }>();
  call.on('error', () => {});
  call.on('status', ({ code, details }) => resolve({ code, details }));
  return { responses, write: (message) => call.write(message), ended, cancel: () => call.cancel() };
}

/** Everything that the aggregator answers, as `node/pod:port`, with a `?` when it is stale. */
export async function listed(client: Client): Promise<string[]> {
  const { mappings } = await ask(client, MappingService.list, {});
  return (mappings ?? []).map(({ node, pod, hostPort, stale }) => `${node}/${pod}:${hostPort}${stale ? '?' : ''}`);
}
