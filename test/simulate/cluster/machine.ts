/** A node with its mappings, which outlive its agent, and the agent that reports them: the reporter as it is shipped. */

import { status } from '@grpc/grpc-js';
import { keyOf } from '../../../daemon/core/livemapping.ts';
import { MappingRegistry } from '../../../daemon/core/registry.ts';
import type { Mapping } from '../../../daemon/core/vocabulary.ts';
import { Reporter } from '../../../daemon/rpc/reporter.ts';
import type { Network } from './network.ts';
import { type ClusterStage, note } from './stage.ts';

/** What the node's kernel held from a time on. */
interface Truth {
  readonly from: number;
  readonly ports: ReadonlyMap<string, number>;
}

/** Some machines forget so soon that a slow stream needs a snapshot anew. */
const HISTORY = 12;

export class Machine {
  /** Unique; a machine that claims the name of another one has a `'` behind it. */
  readonly id: string;
  readonly node: string;
  readonly #stage: ClusterStage;
  readonly #network: Network;
  readonly #replicas: readonly string[];
  readonly #ports = new Map<string, number>();
  readonly truths: Truth[] = [{ from: Number.NEGATIVE_INFINITY, ports: new Map() }];
  #boot = 0;
  #savedEpoch = 0;
  #registry: MappingRegistry | undefined;
  #reporter: Reporter | undefined;
  /** Since when the agent has run; undefined: it does not. */
  runningSince: number | undefined;

  constructor(id: string, stage: ClusterStage, network: Network, replicas: readonly string[]) {
    this.id = id;
    this.node = id.replace(/'+$/, '');
    this.#stage = stage;
    this.#network = network;
    this.#replicas = replicas;
  }

  get ports(): ReadonlyMap<string, number> {
    return this.#ports;
  }

  get epoch(): number {
    return this.#savedEpoch;
  }

  /** Only a running agent changes what the kernel holds. */
  change(pod: string, port: number | undefined): void {
    if (this.#registry === undefined) return;
    const mapping = mappingOf(pod, port ?? 0);
    if (port === undefined) {
      this.#ports.delete(pod);
      this.#registry.delete(this.node, mapping.pod, mapping.name, mapping.protocol);
    } else {
      this.#ports.set(pod, port);
      this.#registry.set(this.node, mapping, this.#stage.time.wall);
    }
    this.truths.push({ from: this.#stage.time.now, ports: new Map(this.#ports) });
    note(this.#stage, `${this.id} ${pod}=${port}`);
  }

  start(): void {
    if (this.#reporter !== undefined) return;
    const { time, clock, random, counts } = this.#stage;
    const registry = new MappingRegistry(HISTORY);
    for (const [pod, port] of this.#ports) registry.set(this.node, mappingOf(pod, port), time.wall);
    this.#savedEpoch = Math.max(time.wall, this.#savedEpoch + 1);
    this.#registry = registry;
    let parts = 0;
    this.#reporter = new Reporter({
      registry,
      targets: this.#replicas.map((host) => ({ host, port: 1, literal: true })),
      agent: {
        node: this.node,
        bootID: `${this.id.replaceAll("'", 'x')}-${this.#boot}`,
        epoch: this.#savedEpoch,
        version: '1',
      },
      addresses: () => [{ type: 1, address: '192.0.2.1' }],
      pools: () => [],
      connect: (address, listener) => {
        const stream = this.#network.connect(this.id, address.split(':')[0] as string, listener);
        return {
          ...stream,
          write: (message, written) => {
            if (message.snapshot && !message.snapshot.last) parts += 1;
            if (message.snapshot?.last && parts > 0) counts.reached('snapshot in several parts');
            if (message.snapshot?.last) parts = 0;
            const [kind] = Object.keys(message);
            note(this.#stage, `${this.id} says ${kind} to ${address}`);
            stream.write(message, written);
          },
          cancel: () => stream.cancel(),
        };
      },
      resolve: () => Promise.reject(new Error('there are no names here')),
      clock,
      random: () => random.next(),
      observer: {
        connected: (address) => note(this.#stage, `${this.id} connected to ${address}`),
        lost: (address, code, details) => {
          note(this.#stage, `${this.id} lost ${address}: ${status[code]} ${details}`);
          if (code === status.ABORTED) counts.reached('agent superseded');
        },
        dropped: () => {},
        sent: () => {},
        resync: (address, reason) => {
          note(this.#stage, `${this.id} resync ${address} ${reason}`);
          counts.reached('resync');
        },
        resolved: () => {},
        unresolved: () => {},
      },
    });
    this.runningSince = time.now;
    note(this.#stage, `${this.id} agent started, epoch ${this.#savedEpoch}`);
    this.#reporter.start();
  }

  /** The agent's process ends; its mappings stay. */
  kill(): void {
    this.#stop();
    this.#network.end({ machine: this.id });
  }

  /** Nobody is told, and what the kernel held is gone when it is back. */
  powerOff(): void {
    // Its streams just fall silent: cancelling them would tell.
    this.#network.end({ machine: this.id }, true);
    this.#stop();
    this.#boot += 1;
    this.#ports.clear();
    this.truths.push({ from: this.#stage.time.now, ports: new Map() });
  }

  #stop(): void {
    if (this.#reporter === undefined) return;
    note(this.#stage, `${this.id} agent ended`);
    this.#reporter[Symbol.dispose]();
    this.#reporter = undefined;
    this.#registry = undefined;
    this.runningSince = undefined;
  }

  /** Whether the node had exactly these ports at some time since. */
  had(ports: ReadonlyMap<string, number>, since: number): boolean {
    return this.truths.some(({ ports: truth }, index) => {
      const until = this.truths[index + 1]?.from ?? Number.POSITIVE_INFINITY;
      return until >= since && samePorts(truth, ports);
    });
  }

  /** Whether the node has had this mapping all the time since. */
  alwaysHad(pod: string, port: number, since: number): boolean {
    return this.truths.every(({ ports }, index) => {
      const until = this.truths[index + 1]?.from ?? Number.POSITIVE_INFINITY;
      return until < since || ports.get(pod) === port;
    });
  }
}

function samePorts(one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>): boolean {
  return one.size === other.size && [...one].every(([pod, port]) => other.get(pod) === port);
}

/** A long allow-list makes snapshots of several parts. */
const ALLOW = Array.from({ length: 64 }, (_, index) => ({ family: 4, text: `10.${index}.0.0/16` }) as const);

export function mappingOf(pod: string, port: number): Mapping {
  return {
    pod: { namespace: 'shop', name: pod, uid: `uid-${pod}` },
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: port,
    size: 1,
    containerPort: 8080,
    podIPs: ['10.0.0.5'],
    ...(pod.startsWith('big') ? { allowFrom: ALLOW } : {}),
  };
}

export function keyOfPod(node: string, pod: string): string {
  const { pod: ref, name, protocol } = mappingOf(pod, 1);
  return keyOf(node, ref, name, protocol);
}
