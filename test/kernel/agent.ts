/**
 * A node with the agent as a real process on it, a directory of manifests, and everything that can be read from outside
 * about both. Tests break it; nothing here helps the agent.
 */
import type { SpawnOptions } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MappingView } from '../../daemon/rpc/views.ts';
import { AgentProcess } from './agentprocess.ts';
import { fetchFrom, metricIn, type Reply } from './endpoint.ts';
import { heldSockets } from './heldsockets.ts';
import { Manifests, type PodPlan, type Told } from './manifest.ts';
import { probe, type Question } from './matrix/probe.ts';
import { Server } from './matrix/server.ts';
import { CLIENT, LAYOUTS, type Layout, NODE, type Place, Topology } from './matrix/topology.ts';
import { answered } from './matrix/waiting.ts';
import type { Namespace } from './namespace.ts';
import { program } from './program.ts';
import * as standing from './standing.ts';

export { AgentProcess, CLIENT, NODE };

export interface SiteOptions {
  /** As `--pool` takes them. */
  readonly pools?: readonly string[];
  readonly layout?: Layout;
  readonly stateDir?: string;
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

/** A question to a host port of the node; by default TCP, from the client, at the node's first address. */
export type Ask = Partial<Question> & { readonly from?: Namespace };

export class Site implements AsyncDisposable {
  readonly topology: Topology;
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-site-'));
  readonly stateDir: string;
  readonly socket = join(this.directory, 'agent.sock');
  readonly manifests = new Manifests(join(this.directory, 'pods'), join(this.directory, 'draft'));
  readonly #pools: readonly string[];
  readonly #agents: AgentProcess[] = [];
  readonly #servers: Server[] = [];

  /** Pods hang on a bridge unless another layout is named. */
  constructor({ pools = ['default=20000-20999'], layout = bridge(), stateDir }: SiteOptions = {}) {
    this.#pools = pools;
    this.stateDir = stateDir ?? join(this.directory, 'state');
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

  async start({ flags = [], under = [], entry, env = {}, ipc = false }: StartOptions = {}): Promise<AgentProcess> {
    const file = await program(entry ?? 'daemon/cli.ts');
    const path = join(this.directory, `agent-${this.#agents.length}.log`);
    const log = openSync(path, 'a');
    const [command = '', ...args] = [...under, process.execPath, file, 'agent', ...this.#flags, ...flags];
    const stdio: SpawnOptions['stdio'] = ['ignore', log, log, ...(ipc ? (['ipc'] as const) : [])];
    const agent = new AgentProcess(this.node.spawn(command, args, { stdio, env: { ...process.env, ...env } }), path);
    closeSync(log);
    this.#agents.push(agent);
    return agent;
  }

  get #flags(): readonly string[] {
    const pools = this.#pools.flatMap((pool) => ['--pool', pool]);
    const places = ['--pods', `dir:${this.manifests.path}`, '--state-dir', this.stateDir, '--socket', this.socket];
    return [...places, '--node-name', 'node', ...pools];
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
  told(plan: PodPlan): Told | undefined {
    return this.manifests.told(plan);
  }

  /** Waits until the pod was told that it is mapped: the host port, of a block the first, by `name/PROTOCOL`. */
  async mapped(plan: PodPlan): Promise<ReadonlyMap<string, number>> {
    const { annotations } = await this.#heard(plan, 'is mapped', ({ status }) => status === 'True');
    const list: readonly { name: string; protocol: string; hostPort: number }[] = JSON.parse(
      annotations['berth.dev/mappings'] ?? '[]',
    );
    return new Map(list.map(({ name, protocol, hostPort }) => [`${name}/${protocol}`, hostPort]));
  }

  /** Waits until the pod was told that it is not mapped, for this reason. Resolves to the message. */
  async refused(plan: PodPlan, reason: string): Promise<string> {
    const told = await this.#heard(plan, reason, (one) => one.status === 'False' && one.reason === reason);
    return told.conditions[0]?.message ?? '';
  }

  async #heard(plan: PodPlan, what: string, good: (condition: Told['conditions'][number]) => boolean): Promise<Told> {
    const ask = () => {
      const told = this.told(plan);
      return told?.conditions[0] !== undefined && good(told.conditions[0]) ? told : undefined;
    };
    return await answered(ask, `pod ${plan.name}: ${what}`, {
      why: () => `${JSON.stringify(this.told(plan))}\n${this.#why()}`,
    });
  }

  list(): Promise<readonly MappingView[]> {
    return standing.listFrom(this.socket);
  }

  elements(): readonly standing.TableElement[] {
    return standing.elementsIn(this.node);
  }

  state(): standing.StateText {
    return standing.readState(this.stateDir);
  }

  /**
   * Waits until the kernel, the state file, the answer over gRPC and the sockets that the agent holds say the same, and that
   * satisfies; resolves to it.
   */
  async agreed(
    agent: AgentProcess,
    good: (holdings: readonly standing.Holding[]) => boolean = () => true,
  ): Promise<readonly standing.Holding[]> {
    let seen = '';
    const ask = async () => {
      if (!agent.running) throw new Error(`the agent ended:\n${agent.log}`);
      const announced = standing.announcedIn(await this.list());
      const installed = standing.installedIn(this.elements());
      const written = standing.writtenIn(this.state());
      const sockets = heldSockets(agent.pid);
      seen = JSON.stringify({ announced, installed, written, sockets }, null, 1);
      const same = isEqual(announced, installed) && isEqual(announced, written);
      return same && isEqual(sockets, standing.numbersOf(announced)) && good(announced) ? announced : undefined;
    };
    const what = 'kernel, state file, gRPC and sockets agree';
    return await answered(ask, what, { why: () => `${seen}\n${this.#why()}` });
  }

  async until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    await answered(async () => ((await condition()) ? true : undefined), what, { why: () => this.#why() });
  }

  ready(port?: number): Promise<Reply> {
    return fetchFrom(this.node, '/readyz', port);
  }

  /** The sum of a metric over its labels. */
  async metric(name: string): Promise<number> {
    return metricIn((await fetchFrom(this.node, '/metrics')).text, name);
  }

  /** What a client outside is answered at a host port of the node. */
  ask(port: number, { from = this.topology.client, ...question }: Ask = {}): Promise<string> {
    return probe(from, { protocol: 'TCP', address: NODE[4], port, ...question });
  }

  /** Waits until the client is answered so. */
  async answers(port: number, answer: string, question: Ask = {}): Promise<void> {
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

function isEqual(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}

function bridge(): Layout {
  return LAYOUTS.find((layout) => layout.bridge && !layout.callIptables) as Layout;
}
