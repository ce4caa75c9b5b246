/**
 * A node with an agent and one pod, for the doctor to examine: the scene of the demonstration, with a manifest that each test
 * writes for itself, and `berth doctor` run inside the node.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Finding } from '../../daemon/core/diagnosis.ts';
import type { PodStatus } from '../../daemon/kube/statusfile.ts';
import { MappingClient } from '../../daemon/rpc/client.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import { Scene } from '../demo/scene.ts';
import type { Namespace } from './namespace.ts';

const CLI = new URL('../../daemon/cli.ts', import.meta.url).pathname;
export const POD_IP = '10.90.1.11';
const UID = '11111111-1111-4111-8111-111111111111';

export interface Manifest {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly object[];
  /** Empty: none yet. */
  readonly ip?: string;
  readonly phase?: string;
}

export interface Report {
  readonly exitCode: number | null;
  readonly findings: readonly Finding[];
  readonly breaksAt: Finding | null;
  readonly stderr: string;
  /** `fail BD301 rule`, without what is in order. */
  readonly troubles: readonly string[];
}

export class Patient implements AsyncDisposable {
  readonly scene = new Scene();
  readonly log = join(this.scene.directory, 'agent.log');
  readonly #arguments: readonly string[];
  #agent: ChildProcess | undefined;
  #server: ChildProcess | undefined;

  /** `options`: more options of the agent; the doctor gets the same. */
  constructor(...options: readonly string[]) {
    this.#arguments = options;
  }

  get node(): Namespace {
    return this.scene.node;
  }

  /** The agent at work, a pod that serves, and its two mappings live. */
  static async well(...options: readonly string[]): Promise<Patient> {
    const patient = new Patient(...options);
    try {
      await patient.serve();
      patient.declare();
      await patient.startAgent();
      await patient.mapped();
      return patient;
    } catch (error) {
      await patient[Symbol.asyncDispose]();
      throw error;
    }
  }

  async serve(): Promise<void> {
    this.#server = await this.scene.serve({ name: 'one', uid: UID, ip: POD_IP });
  }

  async stopServing(): Promise<void> {
    if (this.#server !== undefined) await ended(this.#server, 'SIGKILL');
  }

  declare({ annotations = { 'berth.dev/ports': '' }, ports, ip = POD_IP, phase = 'Running' }: Manifest = {}): void {
    const declared = ports ?? [
      { name: 'web', containerPort: 8080 },
      { name: 'game', containerPort: 9000, protocol: 'UDP' },
    ];
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'one', namespace: 'default', uid: UID, annotations },
      spec: { containers: [{ name: 'main', ports: declared }] },
      status: { phase, ...(ip === '' ? {} : { podIP: ip, podIPs: [{ ip }] }) },
    };
    const path = join(this.scene.directory, 'new.json');
    writeFileSync(path, JSON.stringify(pod));
    renameSync(path, join(this.scene.pods, 'one.json'));
  }

  async startAgent(): Promise<void> {
    const log = openSync(this.log, 'a');
    const stdio = ['ignore', log, log] as const;
    this.#agent = this.node.node(CLI, [...this.scene.agentArguments, ...this.#arguments], { stdio: [...stdio] });
    await eventually(async () => existsSync(this.scene.socket) && (await this.#answers()), 'the agent answers');
  }

  /** SIGSTOP: it holds everything and does nothing. */
  freezeAgent(): void {
    this.#agent?.kill('SIGSTOP');
  }

  async endAgent(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#agent !== undefined) await ended(this.#agent, signal);
  }

  async #answers(): Promise<boolean> {
    using client = new MappingClient(agentEndpoint(this.scene.socket));
    try {
      await client.get({ namespace: 'default', pod: 'one' });
      return true;
    } catch {
      return false;
    }
  }

  async mapped(): Promise<void> {
    await eventually(async () => this.#status?.conditions[0]?.status === 'True', 'the pod is mapped');
  }

  /** The pod has so many live mappings: pods that do not opt in are told nothing. */
  async listed(count: number): Promise<void> {
    using client = new MappingClient(agentEndpoint(this.scene.socket));
    await eventually(
      async () => (await client.get({ namespace: 'default', pod: 'one' })).mappings.length === count,
      `${count} mappings are live`,
    );
  }

  /** The agent has told the pod how it stands. */
  async told(): Promise<void> {
    await eventually(async () => this.#status !== undefined, 'the agent has told the pod');
  }

  /** The promise: the number of a port that is mapped. */
  hostPort(name: string): number {
    return Number(this.#status?.annotations[`port.berth.dev/${name}`]);
  }

  get #status(): PodStatus | undefined {
    const path = join(this.scene.pods, '.status', 'default_one.json');
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as PodStatus) : undefined;
  }

  get doctorArguments(): readonly string[] {
    const { pods, socket, directory } = this.scene;
    return ['--pods', `dir:${pods}`, '--socket', socket, '--state-dir', join(directory, 'state'), ...this.#arguments];
  }

  /** Runs `berth doctor ARGS` in the node, behind `wrapper` (a program that runs it with other rights). */
  run(
    args: readonly string[],
    wrapper: readonly string[] = [],
  ): { status: number | null; stdout: string; stderr: string } {
    const [program = '', ...words] = [...wrapper, process.execPath, CLI, 'doctor', ...args];
    return this.node.enter(() => spawnSync(program, words, { encoding: 'utf8', timeout: 60_000 }));
  }

  doctor(args: readonly string[] = ['default/one'], wrapper: readonly string[] = []): Report {
    const { status, stdout, stderr } = this.run([...args, ...this.doctorArguments, '--output', 'json'], wrapper);
    if (stdout === '') throw new Error(`the doctor ended with ${status}: ${stderr}`);
    const { findings, breaksAt } = JSON.parse(stdout) as Pick<Report, 'findings' | 'breaksAt'>;
    const quiet = ['ok', 'skipped'];
    const troubles = findings
      .filter((one) => !quiet.includes(one.status))
      .map(({ status, code, hop, port }) => [status, code, hop, port].filter((word) => word !== undefined).join(' '));
    return { exitCode: status, findings, breaksAt, stderr, troubles };
  }

  /** Whether a client outside is served, within a second. */
  async reachable(port: number, ...options: readonly string[]): Promise<boolean> {
    const curl = this.scene.client.spawn('curl', ['-sS', '--max-time', '1', ...options, `http://10.90.2.1:${port}/`], {
      stdio: 'ignore',
    });
    const [code] = await once(curl, 'exit');
    return code === 0;
  }

  get logText(): string {
    return readFileSync(this.log, 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#agent, this.#server]) if (child !== undefined) await ended(child, 'SIGKILL');
    this.scene[Symbol.dispose]();
  }
}

async function ended(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

async function eventually(holds: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within 30 s: ${what}`);
    await setTimeout(5);
  }
}
