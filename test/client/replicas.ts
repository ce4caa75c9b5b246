/** Aggregators that hold the same nodes, and addresses at which nobody answers. */
import { createServer, type Socket } from 'node:net';
import type { ExecutionContext } from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import {
  type Agent,
  type Aggregator,
  type AggregatorOptions,
  agent,
  aggregator,
  eventually,
} from '../rpc/clusterfixture.ts';
import { NOW } from '../rpc/fixture.ts';

export interface Replicas {
  readonly each: readonly Aggregator[];
  /** As `--aggregator` takes them. */
  readonly addresses: string;
  /** A node that reports to all of them; resolves once they know its mappings. */
  node(name: string, ...mappings: readonly Mapping[]): Promise<Agent>;
}

export async function replicas(t: ExecutionContext, count: number, options: AggregatorOptions = {}): Promise<Replicas> {
  const each = await Promise.all(Array.from({ length: count }, () => aggregator(t, options)));
  const node = async (name: string, ...mappings: readonly Mapping[]) => {
    const registry = new MappingRegistry();
    for (const one of mappings) registry.set(name, one, NOW);
    const made = agent(
      t,
      each.map(({ address }) => address),
      { node: name, registry },
    );
    await eventually(() => each.every(({ cluster }) => cluster.mappings.ofNode(name).size === mappings.length));
    return made;
  };
  return { each, addresses: each.map(({ address }) => address).join(','), node };
}

/** An address of loopback that refuses connections. */
export async function deadAddress(): Promise<string> {
  const server = createServer();
  const { promise: listening, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await listening;
  const address = server.address();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  server.close(() => close());
  await closed;
  return `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

/** An address that takes connections and never says a word, as one behind a firewall may seem to. */
export async function silentAddress(t: ExecutionContext): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  const { promise: listening, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await listening;
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}
