/** Starts agents and ends them, and keeps the run going. */
import { AgentLife, type WrapWorld } from './agentlife.ts';
import { note, type Stage } from './stage.ts';

export class Director {
  readonly stage: Stage;
  readonly #wrap: WrapWorld;
  #life: AgentLife | undefined;
  #lives = 0;
  readonly #seed: number;
  /** How long the next agent is waited for, in ms; undefined: by chance. */
  nextDelay: number | undefined;

  constructor(stage: Stage, seed: number, wrap: WrapWorld) {
    this.stage = stage;
    this.#seed = seed;
    this.#wrap = wrap;
  }

  /** The agent that runs. */
  get life(): AgentLife | undefined {
    return this.#life?.alive ? this.#life : undefined;
  }

  start(): void {
    const { stage } = this;
    stage.weather.impair(stage.time.now);
    this.#life = new AgentLife(stage, this.#seed * 1_000 + ++this.#lives, () => this.#startLater());
    this.#doomAtStart(this.#life);
    this.#life.start(this.#wrap);
  }

  /** What an agent does once, or first of all, is over before another action could doom it. */
  #doomAtStart(life: AgentLife): void {
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
