/** Starts agents and ends them, and keeps the run going. */
import { AgentLife, type Tie, type WrapWorld } from './agentlife.ts';
import type { Ground } from './ground.ts';
import { note, type Stage } from './stage.ts';

/** Whatever the node is part of. */
export type NodeDirector = Pick<Director<Ground>, 'stage' | 'life' | 'nextDelay'>;

export class Director<S extends Ground = Stage> {
  readonly stage: S;
  readonly #tie: Tie<S>;
  readonly #wrap: WrapWorld<S>;
  #life: AgentLife<S> | undefined;
  #lives = 0;
  readonly #seed: number;
  /** How long the next agent is waited for, in ms; undefined: by chance. */
  nextDelay: number | undefined;

  constructor(stage: S, seed: number, tie: Tie<S>, wrap: WrapWorld<S>) {
    this.stage = stage;
    this.#tie = tie;
    this.#seed = seed;
    this.#wrap = wrap;
  }

  /** The agent that runs. */
  get life(): AgentLife<S> | undefined {
    return this.#life?.alive ? this.#life : undefined;
  }

  start(): void {
    const { stage } = this;
    stage.weather.impair(stage.time.now);
    this.#life = new AgentLife(stage, this.#seed * 1_000 + ++this.#lives, this.#tie, () => this.#startLater());
    this.#doomAtStart(this.#life);
    this.#life.start(this.#wrap);
  }

  /** What an agent does once, or first of all, is over before another action could doom it. */
  #doomAtStart(life: AgentLife<S>): void {
    const { random, weather } = this.stage;
    if (!weather.rough || !random.chance(0.1)) return;
    life.doom = {
      operation: random.pick(['store.load', 'source.list']),
      when: random.pick(['before', 'after']),
      calls: 1,
    };
  }

  /** The kubelet starts it again. */
  #startLater(): void {
    const { random, time } = this.stage;
    const delay = this.nextDelay ?? (random.chance(0.8) ? random.between(20, 2_000) : random.between(2_000, 40_000));
    this.nextDelay = undefined;
    note(this.stage, `next agent in ${delay.toFixed(0)} ms`);
    time.after(delay, () => this.start());
  }
}
