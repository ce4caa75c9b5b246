/**
 * One run: a node, its agents and their world for some virtual minutes, all of it from one number. Two runs with the same
 * number are the same to the last call.
 */

import type { WrapWorld } from './agentlife.ts';
import { API_ACTIONS, calmApi, startBookmarks } from './apiactions.ts';
import { ApiServer } from './apiserver.ts';
import { bindAll, CLAIM_ACTIONS } from './claimactions.ts';
import { SimClaims } from './claims.ts';
import { claimsOf } from './claimsource.ts';
import { Director } from './director.ts';
import { checkEnding } from './ending.ts';
import { FaultCounts } from './faults.ts';
import { KERNEL_ACTIONS } from './kernelactions.ts';
import { calm, NODE_ACTIONS } from './nodeactions.ts';
import { ObjectShelf } from './objectshelf.ts';
import { type Action, createPod, POD_ACTIONS } from './podactions.ts';
import { POOLS } from './pools.ts';
import { SeededRandom } from './random.ts';
import { QuickShelf } from './shelf.ts';
import { SimNode } from './simnode.ts';
import { note, reached, type Stage } from './stage.ts';
import { tieTo } from './tie.ts';
import { Trace } from './trace.ts';
import { Violation } from './violation.ts';
import { VirtualTime } from './virtualtime.ts';
import { Watcher } from './watcher.ts';
import { Weather } from './weather.ts';

export interface RunOptions {
  /** How many lines of the trace are kept. */
  readonly lines: number;
  /** Judge the run; a run is the same with and without. */
  readonly judged: boolean;
  readonly wrap: WrapWorld;
}

export interface RunResult {
  readonly seed: number;
  readonly hash: string;
  readonly violation: Violation | undefined;
  readonly lines: readonly string[];
  readonly counts: FaultCounts;
  /** Virtual ms. */
  readonly duration: number;
  readonly events: number;
}

/** How long everything works before the end is judged, in ms. */
const CALM_MS = 180_000;
const TICK_MS = 1_000;
const HOUR = 3_600_000;
/** In one run of so many the agents talk to an API server. */
const API_EVERY = 4;
/** In one run of so many there are claims. */
const CLAIMS_EVERY = 5;
/** A run has some hundred events; an agent that never comes to rest has any number. */
const MAX_EVENTS = 20_000;

export async function simulate(seed: number, options: RunOptions): Promise<RunResult> {
  const random = new SeededRandom(seed);
  const time = new VirtualTime();
  const node = new SimNode();
  const api = new ApiServer(shelfOf(seed, random));
  const partial = {
    random,
    time,
    trace: new Trace(options.lines),
    counts: new FaultCounts(),
    weather: new Weather(),
    node,
    api,
    known: api.known,
    pools: POOLS,
    servesStatics: seed % 3 === 0,
    claims: seed % CLAIMS_EVERY === 2 ? new SimClaims() : undefined,
  };
  const stage: Stage = Object.assign(partial, { watcher: undefined as unknown as Watcher });
  Object.assign(stage, { watcher: new Watcher(stage, options.judged) });
  const director = new Director(stage, seed, tieTo, (world, life) =>
    options.wrap({ ...world, ...claimsOf(life) }, life),
  );
  const run = new Run(stage, director, options.judged);
  try {
    await run.play(random.integer(8, 20));
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    stage.watcher.violation ??= error;
  }
  return {
    seed,
    hash: stage.trace.hash,
    violation: stage.watcher.violation,
    lines: stage.trace.lines,
    counts: stage.counts,
    duration: time.now,
    events: run.events,
  };
}

class Run {
  readonly #stage: Stage;
  readonly #director: Director;
  readonly #judged: boolean;
  events = 0;
  #tickAt = 0;

  constructor(stage: Stage, director: Director, judged: boolean) {
    this.#judged = judged;
    this.#stage = stage;
    this.#director = director;
  }

  async play(left: number): Promise<void> {
    const { random, time, watcher, api, claims } = this.#stage;
    const apart = [
      ...(api.shelf instanceof ObjectShelf ? API_ACTIONS : []),
      ...(claims === undefined ? [] : CLAIM_ACTIONS),
    ];
    const actions = [...ACTIONS, ...apart];
    startBookmarks(this.#director);
    if (api.shelf instanceof ObjectShelf && api.shelf.clockOffset !== 0)
      reached(this.#stage, 'clock of the API server is another');
    if (claims !== undefined) for (const [, action] of CLAIM_ACTIONS.slice(0, 2)) action(this.#director);
    for (let pods = random.integer(0, 4); pods > 0; pods--) createPod(this.#director);
    this.#director.start();
    for (; left > 0 && watcher.violation === undefined; left--) {
      await this.#until(time.now + gap(this.#stage));
      const action: Action = random.weighted(actions);
      action(this.#director);
      await drain();
    }
    await this.#sitOut();
    note(this.#stage, '== calm');
    calm(this.#director);
    calmApi(this.#director);
    bindAll(this.#stage);
    const more = this.#director.life?.link.mend() ?? 0;
    await this.#until(time.now + CALM_MS + more);
    if (this.#judged && watcher.violation === undefined) checkEnding(this.#stage, this.#director.life);
    this.#director.life?.kill('at the end');
  }

  /** An API server that is away for an hour comes back in some runs before everything else does. */
  async #sitOut(): Promise<void> {
    const { weather, time, random } = this.#stage;
    if (weather.apiDownUntil - time.now < HOUR / 2 || !random.chance(0.2)) return;
    await this.#until(weather.apiDownUntil + random.between(0, 60_000));
    reached(this.#stage, 'API server back after an hour');
  }

  async #until(end: number): Promise<void> {
    const { time, watcher } = this.#stage;
    while (watcher.violation === undefined && time.step(end)) {
      await drain();
      if (++this.events > MAX_EVENTS) throw new Violation('I10', 'the agent does not come to rest');
      const { life } = this.#director;
      if (life === undefined) continue;
      life.rest();
      if (time.now - this.#tickAt < TICK_MS) continue;
      this.#tickAt = time.now;
      watcher.tick(life);
    }
  }
}

const ACTIONS: readonly (readonly [number, Action])[] = [...POD_ACTIONS, ...KERNEL_ACTIONS, ...NODE_ACTIONS];

/** Every fourth run has an API server, and every other of those one whose clock is not that of the node. */
function shelfOf(seed: number, random: SeededRandom): QuickShelf | ObjectShelf {
  if (seed % API_EVERY !== 1) return new QuickShelf();
  const shelf = new ObjectShelf(random.chance(0.5) ? random.between(-HOUR, HOUR) : 0);
  shelf.server.resources.uidRefusal = random.pick([409, 422]);
  return shelf;
}

/** Most things happen close upon each other, some after the agent has come to rest, few after a quarantine. */
function gap({ random }: Stage): number {
  return random.weighted([
    [5, () => random.between(0, 4)],
    [5, () => random.between(4, 80)],
    [5, () => random.between(80, 3_000)],
    [1.5, () => random.between(3_000, 20_000)],
    [0.7, () => random.between(30_000, 100_000)],
  ] as const)();
}

/** Everything that follows from the last event without time passing has happened: Node runs this when no promise is left to settle. */
function drain(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
