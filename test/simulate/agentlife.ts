/**
 * One life of the agent: the loop, and between it and the world a wall that delays its calls, lets them fail, and cuts it off
 * for good when it is killed. From then on nothing that it does has any effect, and nothing that it waits for comes.
 */
import { BerthError } from '../../daemon/core/errors.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { DatapathDouble } from '../../daemon/datapath/datapath.double.ts';
import { Loop } from '../../daemon/reconcile/loop.ts';
import type { Clock, World } from '../../daemon/reconcile/ports.ts';
import type { Operation } from './faults.ts';
import type { Ground } from './ground.ts';
import type { Link } from './link.ts';
import { SeededRandom } from './random.ts';
import { note, reached, type Stage } from './stage.ts';
import { worldOf } from './wall.ts';

/** Where an agent is to be killed. */
export interface Doom {
  readonly operation: Operation;
  readonly when: 'before' | 'after';
  /** Counts down. */
  calls: number;
}

/** Puts something of its own between the agent and its world. */
export type WrapWorld<S extends Ground = Stage> = (world: World, life: AgentLife<S>) => World;

/** Ties an agent to the cluster. */
export type Tie<S extends Ground = Stage> = (life: AgentLife<S>) => Link;

class Killed extends Error {
  override readonly name = 'Killed';
}

export class AgentLife<S extends Ground = Stage> {
  readonly stage: S;
  readonly link: Link;
  readonly datapath: DatapathDouble;
  /** What it announced, by uid, name and protocol. */
  readonly announced = new Map<string, Mapping>();
  readonly startedAt: number;
  readonly clock: Clock;
  readonly random: SeededRandom;
  loop: Loop | undefined;
  doom: Doom | undefined;
  /** Calls of the kernel that have begun and not ended. */
  inFlight = 0;
  /** When nothing was in flight for the last time: what it does now it decided after that. */
  idleAt: number;
  /** The kernel was read, so that what stands there is adopted. */
  adopted = false;
  #alive = true;
  readonly #end = new AbortController();
  readonly #stop = new AbortController();
  readonly #onEnd: () => void;

  constructor(stage: S, seed: number, tie: Tie<S>, onEnd: () => void) {
    this.stage = stage;
    this.#onEnd = onEnd;
    this.startedAt = stage.time.now;
    this.idleAt = stage.time.now;
    this.random = new SeededRandom(seed);
    this.datapath = new DatapathDouble(stage.node.ruleset);
    this.clock = {
      now: () => stage.time.wall,
      // Counts from the start of the process, as performance.now() does.
      monotonic: () => stage.time.now - this.startedAt,
      after: (ms, callback) => this.after(ms, callback),
    };
    this.link = tie(this);
    stage.node.disk.stalled = true;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Aborts when this life is over, however it ended. */
  get end(): AbortSignal {
    return this.#end.signal;
  }

  start(wrap: WrapWorld<S>): void {
    const { stage } = this;
    note(stage, 'agent starts');
    stage.watcher.starts(this);
    const world = wrap(worldOf(this), this);
    const statics = stage.servesStatics ? { staticHostPorts: { nodePorts: { first: 30_000, last: 32_767 } } } : {};
    this.loop = new Loop(world, { labels: {}, pools: stage.pools, fullPassMs: 60_000, ...statics });
    const ran = this.loop.run(this.#stop.signal).then(() => (this.#alive ? this.link.flush() : undefined));
    ran.then(
      () => this.#alive && this.#over('ends', 'new'),
      (error: unknown) => this.#alive && stage.watcher.fail('I3', `the agent gave up: ${String(error)}`),
    );
  }

  /** SIGTERM. After the grace period it is killed. */
  terminate(): void {
    reached(this.stage, this.inFlight > 0 ? 'SIGTERM in a pass' : 'SIGTERM between passes');
    this.#stop.abort();
    this.stage.time.after(30_000, () => this.#alive && this.kill('after its grace period'));
  }

  /** kill -9. What is in flight never arrives; of a file that is being written the old or the new text stands. */
  kill(why: string): void {
    if (this.#alive) this.#over(`killed ${why}`, this.stage.random.chance(0.5) ? 'old' : 'new');
  }

  #over(how: string, disk: 'old' | 'new'): void {
    const { node } = this.stage;
    note(this.stage, `agent ${how}`);
    this.#alive = false;
    this.#stop.abort();
    this.#end.abort();
    this.link.close();
    node.reserver.crash();
    node.disk.crash(disk);
    node.rememberState();
    this.stage.watcher.ended();
    this.#onEnd();
  }

  /** A call that answers at once. */
  sync<T>(operation: Operation, detail: string, effect: () => T): T {
    this.#enter(operation, detail);
    const result = effect();
    if (this.#dies(operation, 'after')) throw new Killed();
    return result;
  }

  /** A call that takes `before` ms to have its effect and `after` ms to answer. */
  call<T>(operation: Operation, detail: string, before: number, after: number, effect: () => Promise<T>): Promise<T> {
    if (!this.#alive) return new Promise(() => {});
    const { time } = this.stage;
    const heavy = operation.startsWith('datapath') || operation.startsWith('flows');
    note(this.stage, `${operation} ${detail}`);
    if (this.#dies(operation, 'before')) return new Promise(() => {});
    if (heavy) this.inFlight++;
    return new Promise((resolve, reject) => {
      const answer = (settle: () => void) => {
        if (this.#dies(operation, 'after')) return;
        time.after(after, () => {
          if (!this.#alive) return;
          if (heavy) this.inFlight--;
          settle();
        });
      };
      time.after(before, () => {
        if (!this.#alive) return;
        effect().then(
          (value) => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(error)),
        );
      });
    });
  }

  /** A timer of the agent's. */
  after(ms: number, callback: () => void): () => void {
    if (!this.#alive) return () => {};
    return this.stage.time.after(ms, () => {
      if (this.#alive) callback();
    });
  }

  /** To be called when an event has been dealt with. */
  rest(): void {
    if (this.inFlight === 0) this.idleAt = this.stage.time.now;
  }

  #enter(operation: Operation, detail: string): void {
    if (!this.#alive) throw new Killed();
    note(this.stage, `${operation} ${detail}`);
    if (this.#dies(operation, 'before')) throw new Killed();
  }

  #dies(operation: Operation, when: 'before' | 'after'): boolean {
    if (!this.#alive) return true;
    const { doom } = this;
    if (doom === undefined || doom.operation !== operation || doom.when !== when || --doom.calls > 0) return false;
    reached(this.stage, `killed ${when} ${operation}`);
    this.kill(`${when} ${operation}`);
    return true;
  }
}

/** The error of nft that cannot be run. */
export function nftDown(): BerthError {
  return new BerthError('NFT_UNAVAILABLE', 'nft: Cannot allocate memory');
}
