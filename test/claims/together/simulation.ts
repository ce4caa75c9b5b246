/**
 * One run: replicas of the controller, nodes with an agent each, and pods that name claims, over one API server in memory, for some
 * virtual minutes, everything from one number. What is judged are the shipped controller and agents; doubles are only the API
 * server, the kernels, the sockets and the disks.
 */
import type { ClaimApi } from '../../../daemon/claims/ports.ts';
import type { WrapWorld } from '../../simulate/agentlife.ts';
import type { Ground } from '../../simulate/ground.ts';
import { POOLS } from '../../simulate/pools.ts';
import { SimNode } from '../../simulate/simnode.ts';
import { Weather } from '../../simulate/weather.ts';
import { Judge, type Judged } from '../judge.ts';
import { NAMESPACES, People } from '../people.ts';
import { Replicas } from '../replicas.ts';
import { Rig, type Thing } from '../rig.ts';
import { ClusterJudge } from './clusterjudge.ts';
import { History } from './history.ts';
import { Host } from './host.ts';
import { KernelJudge } from './kerneljudge.ts';
import { Kubelets } from './kubelets.ts';
import { Record } from './record.ts';
import { wrongAtRest } from './rest.ts';
import { TellJudge } from './telljudge.ts';
import { Troubles } from './troubles.ts';
import { Verdict } from './verdict.ts';
import { Workload } from './workload.ts';

/** Longer than an agent believes what it was told of a bound claim. */
const CALM_MS = 480_000;
const QUIET_MS = 60_000;
const TICK_MS = 250;
/** A run has some ten thousand. */
const MAX_EVENTS = 400_000;

export interface TogetherOptions {
  /** A bug that is put between the controller and its API. */
  readonly alter?: ((api: ClaimApi) => ClaimApi) | undefined;
  /** A bug that is put between each agent and its world. */
  readonly wrap?: WrapWorld<Ground> | undefined;
  /** Whether what is wrong at the API server counts too; else only what the nodes make of it. */
  readonly judges?: 'all' | 'nodes';
  /** How many lines of the trace are kept. */
  readonly lines?: number;
}

export interface TogetherResult {
  readonly seed: number;
  readonly violation: Judged | undefined;
  /** How often each thing happened. */
  readonly reached: ReadonlyMap<string, number>;
  /** The same for the same seed. */
  readonly hash: string;
  readonly lines: readonly string[];
  readonly events: number;
}

export async function simulateTogether(seed: number, options: TogetherOptions = {}): Promise<TogetherResult> {
  await using run = new Run(seed, options);
  await run.play();
  return run.result();
}

class Run implements AsyncDisposable {
  readonly #seed: number;
  readonly #judgesApi: boolean;
  readonly #rig: Rig;
  readonly #record: Record;
  readonly #verdict: Verdict;
  readonly #history: History;
  readonly #api: Judge;
  readonly #cluster: ClusterJudge;
  readonly #people: People;
  readonly #replicas: Replicas;
  readonly #workload: Workload;
  readonly #troubles: Troubles;
  readonly #nodes: readonly { readonly host: Host; readonly kernel: KernelJudge }[];
  #events = 0;
  #tickAt = 0;
  /** Those of the API server, but for Leases. */
  #writes: string[] = [];

  constructor(seed: number, { alter, wrap = (world) => world, judges = 'all', lines = 0 }: TogetherOptions) {
    this.#seed = seed;
    this.#judgesApi = judges === 'all';
    const rig = new Rig(seed);
    this.#rig = rig;
    this.#record = new Record(rig.time, lines);
    const { reach, happened } = this.#record;
    this.#verdict = new Verdict(rig);
    this.#history = new History(rig);
    this.#api = new Judge(rig);
    this.#nodes = Array.from({ length: rig.random.integer(2, 3) }, (_, index) => this.#node(`node-${index + 1}`, wrap));
    this.#cluster = new ClusterJudge(this.#nodes, this.#verdict, () => rig.time.now, happened);
    this.#hear();
    const hosts = this.#nodes.map(({ host }) => host);
    this.#people = new People({ rig, reach });
    this.#replicas = new Replicas({ rig, reach, shared: seed % 2 === 0, alter });
    const kubelets = new Kubelets(rig, this.#history);
    this.#workload = new Workload({ rig, reach, hosts, kubelets, people: this.#people, history: this.#history });
    this.#troubles = new Troubles({ rig, reach, hosts, replicas: this.#replicas });
    this.#people.meddle();
  }

  async play(): Promise<void> {
    const { random, time } = this.#rig;
    for (const name of NAMESPACES) this.#rig.createNamespace(name);
    this.#rig.createClass('games', { pools: [{ start: 7000, end: 7000 + random.integer(2, 8) }] });
    this.#rig.createClass('voice', { pools: [{ start: 7100, end: 7104 }], handover: 'OnTerminated' });
    for (let count = random.integer(2, 3); count > 0; count--) this.#replicas.start();
    for (const { host } of this.#nodes) host.director.start();
    const actions = [
      ...this.#people.actions(),
      [1.5, () => this.#people.changeClass()] as const,
      ...this.#workload.actions(),
      ...this.#troubles.actions(),
    ];
    for (let left = random.integer(50, 130); left > 0 && this.#violation === undefined; left--) {
      await this.#until(time.now + gap(random));
      random.weighted(actions)();
      await drain();
    }
    await this.#settle();
  }

  result(): TogetherResult {
    return {
      seed: this.#seed,
      violation: this.#violation,
      reached: this.#record.reached,
      hash: this.#record.trace.hash,
      lines: this.#record.trace.lines,
      events: this.#events,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { host } of this.#nodes) host.life?.kill('at the end');
    await this.#rig[Symbol.asyncDispose]();
  }

  get #violation(): Judged | undefined {
    return (this.#judgesApi ? this.#api.violation : undefined) ?? this.#verdict.first;
  }

  #node(name: string, wrap: WrapWorld<Ground>) {
    const { random, time } = this.#rig;
    const node = new SimNode();
    const kernel = new KernelJudge({
      ...{ name, node, history: this.#history, verdict: this.#verdict },
      now: () => time.now,
      onCommit: () => this.#cluster.look(),
      reach: this.#record.happened,
    });
    const ground: Ground = {
      ...{ random, time, trace: this.#record.trace, counts: this.#record.counts, weather: new Weather(), node },
      ...{ watcher: kernel, pools: POOLS, servesStatics: false, known: this.#history.pods },
    };
    const seed = this.#seed * 10 + Number(name.slice(-1));
    return { host: new Host({ name, rig: this.#rig, seed, ground, wrap }), kernel };
  }

  /** Every change of the API server is noted, and then judged. */
  #hear(): void {
    const { server } = this.#rig;
    const judged = server.onChange;
    const tell = new TellJudge(this.#history, this.#verdict);
    server.onChange = (change) => {
      const { type, plural, object } = change;
      this.#history.note(type, plural, object);
      if (plural !== 'leases') {
        this.#writes.push(`${type} ${plural} ${object.metadata.name}`);
        this.#record.change(type, plural, object);
      }
      judged(change);
      if (plural === 'hostportclaims' && isHeld(object)) this.#record.happened('a claim waits for its pods');
      if (plural === 'pods') tell.look(object.metadata.uid);
      if (plural === 'pods' || plural === 'hostportclaims') this.#cluster.look();
    };
  }

  /** Everything must be as it should, and then nothing must be written. */
  async #settle(): Promise<void> {
    const { time } = this.#rig;
    this.#record.note('== calm');
    this.#people.calm = true;
    this.#troubles.end();
    await this.#until(time.now + CALM_MS);
    this.#writes = [];
    const commits = this.#nodes.map(({ kernel }) => kernel.commits);
    await this.#until(time.now + QUIET_MS);
    if (this.#violation !== undefined) return;
    const late = [
      ...this.#api.atRest(),
      ...this.#nodes.flatMap((node) => wrongAtRest({ ...node, history: this.#history })),
      ...this.#writes.map((what) => `it is written at rest: ${what}`),
      ...this.#nodes.flatMap(({ host, kernel }, index) =>
        kernel.commits === commits[index] ? [] : [`the table of ${host.name} is changed at rest`],
      ),
    ];
    for (const what of late) this.#verdict.wrong('it converges', what);
  }

  async #until(end: number): Promise<void> {
    const { time } = this.#rig;
    await drain();
    while (this.#violation === undefined && time.step(end)) {
      await drain();
      if (++this.#events > MAX_EVENTS) this.#verdict.wrong('it converges', 'it does not come to rest');
      for (const { host } of this.#nodes) host.life?.rest();
      if (time.now - this.#tickAt < TICK_MS) continue;
      this.#tickAt = time.now;
      this.#cluster.look();
    }
  }
}

/** Most things happen close upon each other, some after everything has come to rest. */
function gap(random: Rig['random']): number {
  return random.weighted([
    [5, () => random.between(0, 80)],
    [5, () => random.between(80, 3_000)],
    [1.5, () => random.between(3_000, 20_000)],
    [0.3, () => random.between(30_000, 100_000)],
  ] as const)();
}

/** It is being deleted, and pods use it. */
function isHeld({ status }: Thing): boolean {
  return status?.phase === 'Deleting' && status.heldBy?.length > 0;
}

function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
