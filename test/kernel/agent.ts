/**
 * A node with the agent as a real process on it, a directory of manifests, and everything that can be read from outside
 * about both. Tests break it; nothing here helps the agent.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MappingView } from '../../daemon/rpc/convert.ts';
import { heldSockets } from './heldsockets.ts';
import { Manifests, type PodPlan } from './manifest.ts';
import { probe, type Question } from './matrix/probe.ts';
import { atOnce, Server } from './matrix/server.ts';
import { CLIENT, LAYOUTS, type Layout, NODE, type Place, Topology } from './matrix/topology.ts';
import { answered } from './matrix/waiting.ts';
import type { Namespace } from './namespace.ts';
import { program } from './program.ts';
import {
  announcedIn,
  elementsIn,
  type Holding,
  installedIn,
  listFrom,
  numbersOf,
  readState,
  type StateText,
  type TableElement,
  writtenIn,
} from './standing.ts';

export { CLIENT, NODE };

/** What `.status` tells of a pod. */
export interface Told {
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly conditions: readonly { readonly status: string; readonly reason: string; readonly message: string }[];
  readonly events: readonly {
    readonly type: string;
    readonly reason: string;
    readonly message: string;
    readonly count: number;
  }[];
}

export interface StartOptions {
  /** More options of `berth agent`; what is given here wins over what every agent of the site gets. */
  readonly flags?: readonly string[];
  /** A program that runs the agent in its place: `['setpriv', '--bounding-set=-net_admin']`. */
  readonly under?: readonly string[];
  /** The program that is run, from the root of the repository. */
  readonly entry?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** A channel for messages between the test and the program. */
  readonly ipc?: boolean;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One agent process. */
export class AgentProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
  readonly #log: string;

  constructor(child: ChildProcess, log: string) {
    this.child = child;
    this.#log = log;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Everything that it said. */
  get log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  /** The lines of its log that tell of this event, oldest first. */
  logged(event: string): readonly Record<string, unknown>[] {
    return this.log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line): Record<string, unknown> => JSON.parse(line))
      .filter((line) => line.event === event);
  }

  /** `kill -9`, unless another signal is named. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<Ending> {
    if (this.running) this.child.kill(signal);
    return await this.ended;
  }
}

export class Site implements AsyncDisposable {
  readonly topology: Topology;
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-site-'));
  readonly stateDir = join(this.directory, 'state');
  readonly socket = join(this.directory, 'agent.sock');
  readonly manifests = new Manifests(join(this.directory, 'pods'), join(this.directory, 'draft'));
  readonly #pools: readonly string[];
  readonly #agents: AgentProcess[] = [];
  readonly #servers: Server[] = [];

  /** Pods hang on a bridge unless another layout is named. */
  constructor({
    pools = ['default=20000-20999'],
    layout = bridge(),
  }: { pools?: readonly string[]; layout?: Layout } = {}) {
    this.#pools = pools;
    mkdirSync(this.manifests.path);
    this.topology = new Topology(layout);
  }

  get node(): Namespace {
    return this.topology.node;
  }

  /** The place of this name with a server, TCP and UDP, on each of the ports. */
  place(name: string, ...ports: readonly number[]): Place {
    const place = this.topology.place(name);
    for (const port of ports) this.#servers.push(new Server(place.namespace, port, name));
    return place;
  }

  /** The options of an agent of this site. */
  get flags(): readonly string[] {
    const pools = this.#pools.flatMap((pool) => ['--pool', pool]);
    const places = ['--pods', `dir:${this.manifests.path}`, '--state-dir', this.stateDir, '--socket', this.socket];
    return [...places, '--node-name', 'node', ...pools];
  }

  async start({
    flags = [],
    under = [],
    entry = 'daemon/cli.ts',
    env = {},
    ipc = false,
  }: StartOptions = {}): Promise<AgentProcess> {
    const file = await program(entry);
    const path = join(this.directory, `agent-${this.#agents.length}.log`);
    const log = openSync(path, 'a');
    const [command = '', ...args] = [...under, process.execPath, file, 'agent', ...this.flags, ...flags];
    const options: SpawnOptions = {
      stdio: ['ignore', log, log, ...(ipc ? (['ipc'] as const) : [])],
      env: { ...process.env, ...env },
    };
    const agent = new AgentProcess(this.node.spawn(command, args, options), path);
    closeSync(log);
    this.#agents.push(agent);
    return agent;
  }

  /** Starts an agent and waits until it is ready. */
  async run(options: StartOptions = {}): Promise<AgentProcess> {
    const agent = await this.start(options);
    await this.until(async () => {
      if (!agent.running) throw new Error(`the agent ended:\n${agent.log}`);
      return (await this.ready()).status === 200;
    }, 'the agent is ready');
    return agent;
  }

  declare(...plans: readonly PodPlan[]): void {
    for (const plan of plans) this.manifests.write(plan);
  }

  withdraw(...plans: readonly Pick<PodPlan, 'name'>[]): void {
    for (const { name } of plans) this.manifests.remove(name);
  }

  /** What this very pod was told; undefined when nothing. */
  told({ namespace = 'default', name, uid }: PodPlan): Told | undefined {
    try {
      const told: Told = JSON.parse(
        readFileSync(join(this.manifests.path, '.status', `${namespace}_${name}.json`), 'utf8'),
      );
      return told.uid === uid ? told : undefined;
    } catch {
      return undefined;
    }
  }

  /** Waits until the pod was told that it is mapped: the host port, of a block the first, by `name/PROTOCOL`. */
  async mapped(plan: PodPlan): Promise<ReadonlyMap<string, number>> {
    const told = await answered(
      () => {
        const found = this.told(plan);
        return found?.conditions[0]?.status === 'True' ? found : undefined;
      },
      `pod ${plan.name} is mapped`,
      { why: () => `${JSON.stringify(this.told(plan))}\n${this.#why()}` },
    );
    const list: readonly { name: string; protocol: string; hostPort: number }[] = JSON.parse(
      told.annotations['berth.dev/mappings'] ?? '[]',
    );
    return new Map(list.map(({ name, protocol, hostPort }) => [`${name}/${protocol}`, hostPort]));
  }

  /** Waits until the pod was told that it is not mapped, for this reason. Resolves to the message. */
  async refused(plan: PodPlan, reason: string): Promise<string> {
    return await answered(
      () => {
        const condition = this.told(plan)?.conditions[0];
        return condition?.status === 'False' && condition.reason === reason ? condition.message : undefined;
      },
      `pod ${plan.name} is refused: ${reason}`,
      { why: () => `${JSON.stringify(this.told(plan))}\n${this.#why()}` },
    );
  }

  list(): Promise<readonly MappingView[]> {
    return listFrom(this.socket);
  }

  elements(): readonly TableElement[] {
    return elementsIn(this.node);
  }

  state(): StateText {
    return readState(this.stateDir);
  }

  /**
   * Waits until the kernel, the state file, the answer over gRPC and the sockets that the agent holds say the same, and that
   * satisfies; resolves to it.
   */
  async agreed(
    agent: AgentProcess,
    good: (holdings: readonly Holding[]) => boolean = () => true,
  ): Promise<readonly Holding[]> {
    let seen: unknown;
    return await answered(
      async () => {
        if (!agent.running) throw new Error(`the agent ended:\n${agent.log}`);
        const announced = announcedIn(await this.list());
        const views = {
          announced,
          installed: installedIn(this.elements()),
          written: writtenIn(this.state()),
          sockets: heldSockets(agent.pid),
        };
        seen = views;
        const texts = [views.installed, views.written].map((view) => JSON.stringify(view));
        const same = texts.every((text) => text === JSON.stringify(announced));
        return same && JSON.stringify(views.sockets) === JSON.stringify(numbersOf(announced)) && good(announced)
          ? announced
          : undefined;
      },
      'kernel, state file, gRPC and sockets agree',
      { why: () => `${JSON.stringify(seen, null, 1)}\n${this.#why()}` },
    );
  }

  async until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    await answered(async () => ((await condition()) ? true : undefined), what, { why: () => this.#why() });
  }

  /** `/readyz`: status 0 while nobody answers. */
  ready(): Promise<{ readonly status: number; readonly text: string }> {
    return this.#http('/readyz');
  }

  /** The value of a metric, as it stands before its labels' `{`; the sum where it has several. */
  async metric(name: string): Promise<number> {
    const { text } = await this.#http('/metrics');
    const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  #http(path: string): Promise<{ readonly status: number; readonly text: string }> {
    return new Promise((resolve) => {
      const createConnection = () =>
        this.node.enter(() =>
          connect({
            host: 'at 127.0.0.1',
            port: 9464,
            family: 4,
            lookup: (_host, options, answer) => atOnce('127.0.0.1', options, answer),
          }),
        );
      const request = get({ path, createConnection, headers: { connection: 'close' } }, (response) => {
        let text = '';
        response.on('data', (data) => {
          text += data;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      request.on('error', () => resolve({ status: 0, text: '' }));
    });
  }

  /** What a client outside is answered at a host port of the node. */
  ask(port: number, question: Partial<Question> & { readonly from?: Namespace } = {}): Promise<string> {
    return probe(question.from ?? this.topology.client, { protocol: 'TCP', address: NODE[4], port, ...question });
  }

  /** Waits until the client is answered so. */
  async answers(
    port: number,
    answer: string,
    question: Partial<Question> & { readonly from?: Namespace } = {},
  ): Promise<void> {
    let last = '';
    const ask = async () => {
      last = await this.ask(port, { patience: 200, ...question });
      return last === answer ? true : undefined;
    };
    await answered(ask, `port ${port} answers ${answer}`, { why: () => `last: ${last}\n${this.#why()}` });
  }

  #why(): string {
    return this.#agents.at(-1)?.log.slice(-4_000) ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
    for (const server of this.#servers) server[Symbol.dispose]();
    this.topology[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function bridge(): Layout {
  return LAYOUTS.find((layout) => layout.bridge && !layout.callIptables) as Layout;
}
