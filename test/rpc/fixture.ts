/** A server over a real unix socket in a directory of its own, and what the tests of rpc/ say about it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { MappingClient, type WatchAnswer } from '../../daemon/rpc/client.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import type { Peer } from '../../daemon/rpc/peer.ts';
import { type AgentLimits, type Served, serve } from '../../daemon/rpc/server.ts';
import type { Method } from '../../proto/service.ts';

export const NODE = 'node-a';
export const ADDRESSES = ['192.0.2.10', '2001:db8::10'];
/** 2026-01-02T03:04:05.678Z */
export const NOW = 1_767_323_045_678;

export interface Fixture {
  readonly registry: MappingRegistry;
  readonly socketPath: string;
  readonly client: MappingClient;
  /** What the server reported as its own defects. */
  readonly defects: Error[];
  readonly served: Served;
  /** Stops the server and waits until it is gone. */
  stop(): Promise<void>;
  /** Another process as far as clients can tell, at the same socket. */
  restart(registry?: MappingRegistry): Promise<void>;
}

export interface FixtureOptions {
  readonly registry?: MappingRegistry;
  readonly serving?: boolean;
  readonly graceMs?: number;
  readonly onClient?: (peer: Peer) => void;
  readonly limits?: Partial<AgentLimits>;
}

/** Everything is gone when the test ends, also when it fails; a defect of the server fails the test. */
export async function fixture(t: ExecutionContext, options: FixtureOptions = {}): Promise<Fixture> {
  const directory = await temporaryDirectory(t);
  const socketPath = join(directory, 'agent.sock');
  const registry = options.registry ?? new MappingRegistry();
  const defects: Error[] = [];
  const client = new MappingClient(agentEndpoint(socketPath));
  let abort = new AbortController();
  const start = (held: MappingRegistry) => {
    abort = new AbortController();
    return serve({
      registry: held,
      node: { name: NODE, addresses: () => ADDRESSES },
      report: (error) => defects.push(error),
      socketPath,
      signal: abort.signal,
      now: () => NOW,
      serving: options.serving ?? true,
      graceMs: options.graceMs ?? 1_000,
      ...(options.onClient && { onClient: options.onClient }),
      ...(options.limits && { limits: options.limits }),
    });
  };
  let served = await start(registry);
  const stop = async () => {
    abort.abort();
    await served.closed;
  };
  t.teardown(async () => {
    client[Symbol.dispose]();
    await stop();
    const [defect] = defects;
    if (defect !== undefined) throw defect;
  });
  return {
    registry,
    socketPath,
    client,
    defects,
    get served() {
      return served;
    },
    stop,
    restart: async (held = registry) => {
      await stop();
      served = await start(held);
    },
  };
}

export async function temporaryDirectory(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-rpc-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A mapping of pod `shop/<name>`, TCP 20000 → 8080 unless told otherwise. */
export function mapping(pod: string, fields: Partial<Mapping> = {}): Mapping {
  return {
    pod: { namespace: 'shop', name: pod, uid: `uid-of-${pod}` },
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: 20_000,
    size: 1,
    containerPort: 8080,
    podIPs: ['10.0.0.5'],
    ...fields,
  };
}

/** The answers of a watch until one satisfies the condition, that one included. */
export async function until(
  answers: AsyncIterator<WatchAnswer>,
  enough: (answer: WatchAnswer) => boolean,
): Promise<WatchAnswer[]> {
  const seen: WatchAnswer[] = [];
  for (;;) {
    const { value, done } = await answers.next();
    if (done) throw new Error(`the watch ended after ${seen.length} answers`);
    seen.push(value);
    if (enough(value)) return seen;
  }
}

/** As `set cart-0:20000`. */
export function shown(answers: readonly WatchAnswer[]): string[] {
  return answers.flatMap(({ changes }) =>
    changes.map(({ kind, mapping: { pod, hostPort } }) => `${kind} ${pod}:${hostPort}`),
  );
}

/** One unary call with any request that the types allow or not. */
export function call<Q, R>(socketPath: string, method: Method<Q, unknown, never, R, false>, request: Q): Promise<R> {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  const { promise, resolve, reject } = Promise.withResolvers<R>();
  const { path, requestSerialize, responseDeserialize } = method;
  client.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    (error: ServiceError | null, answer?: R) => (error === null ? resolve(answer as R) : reject(error)),
  );
  return promise.finally(() => client.close());
}

/** A bare connection. */
export function connected(socketPath: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({ path: socketPath });
  socket.once('connect', () => resolve(socket));
  socket.once('error', reject);
  return promise;
}

/** Lets everything that is ready run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
