/**
 * What an agent does with the name of its aggregators, as a process of its own, on a clock on which half a minute is a second:
 *
 *     resolving.agent.ts NAME:PORT …      on each message of its parent it says how it stands
 */
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { replicasOf } from '../../daemon/rpc/replicas.ts';
import { grpcConnector } from '../../daemon/rpc/reportconnector.ts';
import { Reporter } from '../../daemon/rpc/reporter.ts';
import { hasty } from '../rpc/clock.ts';

export interface Standing {
  readonly links: number;
  readonly connected: number;
  /** Answers of the resolver, good and bad, since the process began. */
  readonly resolved: number;
  readonly unresolved: number;
  /** How often a stream was accepted, and how often one that was accepted has ended, by address. */
  readonly accepted: Readonly<Record<string, number>>;
  readonly ended: Readonly<Record<string, number>>;
  /** What it holds, in bytes. */
  readonly held: number;
}

const accepted: Record<string, number> = {};
const ended: Record<string, number> = {};
const connected = new Set<string>();
let [resolved, unresolved] = [0, 0];
const registry = new MappingRegistry(16);
const reporter = new Reporter({
  registry,
  targets: process.argv.slice(2).map((target) => {
    const [host = '', port = ''] = target.split(':');
    return { host, port: Number(port), literal: false };
  }),
  agent: { node: 'node-a', bootID: 'boot-1', epoch: 1, version: '1' },
  addresses: () => [],
  pools: () => [],
  connect: grpcConnector(),
  resolve: replicasOf,
  clock: hasty(500, 30),
  random: Math.random,
  observer: {
    connected: (address) => {
      connected.add(address);
      accepted[address] = (accepted[address] ?? 0) + 1;
    },
    lost: (address) => {
      if (connected.delete(address)) ended[address] = (ended[address] ?? 0) + 1;
    },
    dropped: (address) => connected.delete(address),
    sent: () => {},
    resync: () => {},
    resolved: () => {
      resolved += 1;
    },
    unresolved: () => {
      unresolved += 1;
    },
  },
});
reporter.start();
function heldNow(): number {
  // Run with --expose-gc.
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

process.on('message', () => {
  const { links, connected: now } = reporter;
  const standing: Standing = {
    links,
    connected: now,
    resolved,
    unresolved,
    accepted,
    ended,
    held: heldNow(),
  };
  process.send?.(standing);
});
process.once('disconnect', () => process.exit());
