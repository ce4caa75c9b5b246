/**
 * The real agent as a process on the node of a topology, fed with manifests from a directory. What it tells pods is read
 * where a person would read it.
 */
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Protocol } from '../../../daemon/core/vocabulary.ts';
import type { Place, Topology } from './topology.ts';
import { answered } from './waiting.ts';

const CLI = fileURLToPath(new URL('../../../daemon/cli.ts', import.meta.url));

export interface PodPort {
  readonly name: string;
  readonly containerPort: number;
  readonly protocol: Protocol;
}

/** What is written into a pod's manifest. */
export interface PodWish {
  readonly annotations: Readonly<Record<string, string>>;
  readonly ports: readonly PodPort[];
  /** By default the two addresses of the place. */
  readonly podIPs?: readonly string[];
}

/** The same number for TCP and UDP, leading to port 8080 of the pod. */
export const BOTH: readonly PodPort[] = [
  { name: 'web', containerPort: 8080, protocol: 'TCP' },
  { name: 'web-udp', containerPort: 8080, protocol: 'UDP' },
];

interface Status {
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly conditions: readonly { readonly status: string; readonly message: string }[];
}

export class Agent implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-kernel-'));
  readonly #topology: Topology;
  readonly #pods = join(this.directory, 'pods');
  readonly #options: readonly string[];
  readonly #uids = new Map<string, string>();
  #process: ChildProcess | undefined;
  #starts = 0;
  #log = '';

  constructor(topology: Topology, options: readonly string[] = []) {
    this.#topology = topology;
    this.#options = options;
    mkdirSync(this.#pods);
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** The end of what the agent has logged since it was started. */
  get log(): string {
    return readFileSync(this.#log, 'utf8').slice(-4_000);
  }

  start(): void {
    this.#log = join(this.directory, `agent-${++this.#starts}.log`);
    const log = openSync(this.#log, 'a');
    const { directory } = this;
    const places = [
      '--pods',
      `dir:${this.#pods}`,
      '--state-dir',
      join(directory, 'state'),
      '--socket',
      join(directory, 'agent.sock'),
    ];
    this.#process = this.#topology.node.node(CLI, ['agent', ...places, ...this.#options], {
      stdio: ['ignore', log, log],
    });
  }

  /** `kill -9`, unless another signal is named. Resolves when the process has ended. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    this.#process = undefined;
    const exit = once(running, 'exit');
    running.kill(signal);
    await exit;
  }

  /** Writes the pod's manifest in one step. A pod that was declared before keeps its uid, unless it is `anew`. */
  declare(place: Place, wish: PodWish, { name = place.name, anew = false } = {}): void {
    const uid = (anew ? undefined : this.#uids.get(name)) ?? randomUUID();
    this.#uids.set(name, uid);
    const { annotations, ports, podIPs = [place.address[4], place.address[6]] } = wish;
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', uid, annotations, creationTimestamp: new Date().toISOString() },
      spec: { containers: [{ name: 'main', ports }] },
      status: { phase: 'Running', podIPs: podIPs.map((ip) => ({ ip })) },
    };
    writeFileSync(join(this.directory, 'new.json'), JSON.stringify(pod));
    renameSync(join(this.directory, 'new.json'), join(this.#pods, `${name}.json`));
  }

  withdraw(name: string): void {
    rmSync(join(this.#pods, `${name}.json`));
  }

  /** The host ports of the pod by port name, once it was told that they are live; of a block the first. */
  async mapped(name: string): Promise<Readonly<Record<string, number>>> {
    const uid = this.#uids.get(name);
    const live = () => {
      const status = this.#status(name);
      return status?.uid === uid && status?.conditions[0]?.status === 'True' ? status : undefined;
    };
    const { annotations } = await answered(live, `pod ${name} is mapped`, { why: () => this.log });
    const mappings: { name: string; hostPort: number }[] = JSON.parse(annotations['berth.dev/mappings'] ?? '[]');
    return Object.fromEntries(mappings.map(({ name: port, hostPort }) => [port, hostPort]));
  }

  /** The agent that was started last has taken over a mapping of the one before it. */
  async adopted(): Promise<void> {
    const told = () => readFileSync(this.#log, 'utf8').includes('"event":"adopted"') || undefined;
    await answered(told, 'a mapping is adopted', { why: () => this.log });
  }

  /** The agent has taken back everything that the pod had. */
  async released(name: string): Promise<void> {
    const uid = this.#uids.get(name) ?? '';
    const gone = () => (this.#status(name) === undefined && !this.stands(uid) ? true : undefined);
    await answered(gone, `pod ${name} is released`, { why: () => this.log });
  }

  /** Something in the agent's table belongs to the pod of this uid. */
  stands(uid: string): boolean {
    return this.#topology.node.run('/usr/sbin/nft', ['list', 'table', 'inet', 'berth']).includes(uid);
  }

  #status(name: string): Status | undefined {
    try {
      return JSON.parse(readFileSync(join(this.#pods, '.status', `default_${name}.json`), 'utf8'));
    } catch {
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
