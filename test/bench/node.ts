/**
 * A node for the agent: a namespace with one address outside and a veth device behind which all pods of POD_NETWORK are, a
 * directory of manifests, and the agents that are started on it. The pods need not exist: the agent routes, it never calls.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NODE_FLAGS, RUN_ENV } from '../../deploy/bundle.ts';
import { Namespace } from '../kernel/namespace.ts';
import { manifest, POD_NETWORK, type PodPlan } from './mappings.ts';
import type { Observation, ObservedOptions } from './observation.ts';

const OBSERVED = new URL('observed.ts', import.meta.url).pathname;
export const NODE_IP = '192.0.2.1';

export class BenchNode implements Disposable {
  readonly namespace = Namespace.create('node');
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-bench-'));
  readonly pods = join(this.directory, 'pods');
  readonly log = join(this.directory, 'agent.log');
  readonly socket = join(this.directory, 'agent.sock');

  constructor() {
    const { namespace } = this;
    mkdirSync(this.pods);
    mkdirSync(join(this.directory, 'staged'));
    namespace.link('eth0', namespace, 'eth0peer');
    namespace.address('eth0', `${NODE_IP}/24`);
    namespace.link('pods0', namespace, 'pods0peer');
    namespace.ip(`route add ${POD_NETWORK} dev pods0`);
  }

  /** Writes manifests where the agent does not see them. The returned function shows them all, each by one rename. */
  stage(plans: readonly PodPlan[]): () => void {
    const moves = plans.map((plan) => {
      const [from, to] = [join(this.directory, 'staged', `${plan.name}.json`), join(this.pods, `${plan.name}.json`)];
      writeFileSync(from, JSON.stringify(manifest(plan)));
      return [from, to] as const;
    });
    return () => {
      for (const [from, to] of moves) renameSync(from, to);
    };
  }

  declare(plans: readonly PodPlan[]): void {
    this.stage(plans)();
  }

  get agentArguments(): readonly string[] {
    return [
      'agent',
      ...['--pods', `dir:${this.pods}`],
      ...['--state-dir', join(this.directory, 'state')],
      ...['--socket', this.socket],
      ...['--node-name', 'bench'],
    ];
  }

  /** Resolves when its first pass is done. */
  async observe(options: ObservedOptions = {}): Promise<ObservedAgent> {
    const log = openSync(this.log, 'a');
    const args = [...NODE_FLAGS, OBSERVED, JSON.stringify(options), ...this.agentArguments.slice(1)];
    const stdio = ['ignore', log, log, 'ipc'] as ['ignore', number, number, 'ipc'];
    const env = { ...process.env, ...RUN_ENV };
    const agent = new ObservedAgent(this, this.namespace.spawn(process.execPath, args, { env, stdio }));
    await agent.until(({ passes }) => passes > 0, 'its first pass', 60);
    return agent;
  }

  [Symbol.dispose](): void {
    this.namespace[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class ObservedAgent {
  readonly process: ChildProcess;
  readonly #node: BenchNode;
  #last: Observation | undefined;
  #told: () => void = () => {};

  constructor(node: BenchNode, child: ChildProcess) {
    this.#node = node;
    this.process = child;
    child.on('message', (observation: Observation) => {
      this.#last = observation;
      this.#told();
    });
    child.on('exit', () => this.#told());
  }

  /** What it told last. */
  get seen(): Observation {
    if (this.#last === undefined) throw new Error('the agent has told nothing yet');
    return this.#last;
  }

  /** Resolves to the first observation that satisfies. Rejects with the agent's log after `seconds`, or when it ends. One at a time. */
  async until(satisfies: (seen: Observation) => boolean, what: string, seconds = 30): Promise<Observation> {
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      this.#told();
    }, seconds * 1_000);
    try {
      while (this.#last === undefined || !satisfies(this.#last)) {
        if (over || this.process.exitCode !== null) throw new Error(`${what}: ${this.#state(seconds)}`);
        await new Promise<void>((resolve) => {
          this.#told = resolve;
        });
      }
      return this.#last;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Tells the source in memory, or that the longest stall is to be forgotten. */
  send(plans: readonly PodPlan[] | 'reset'): void {
    this.process.send(plans);
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    await ended;
  }

  #state(seconds: number): string {
    const how = this.process.exitCode === null ? `not within ${seconds} s` : 'the agent ended';
    return `${how}; seen: ${JSON.stringify(this.#last)}\n${readFileSync(this.#node.log, 'utf8').slice(-4_000)}`;
  }
}
