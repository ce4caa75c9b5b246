/**
 * A known bug of the field, put between the agent and its world. The simulation must catch each of them: checks that never
 * fail would prove nothing. The agent itself knows nothing of this.
 */
import type { World } from '../../../daemon/reconcile/ports.ts';
import type { AgentLife, WrapWorld } from '../agentlife.ts';
import type { Ground } from '../ground.ts';
import { simulate } from '../simulation.ts';
import type { Stage } from '../stage.ts';
import type { Violation } from '../violation.ts';

export interface Variant {
  /** What goes wrong, as a sentence. */
  readonly bug: string;
  /** Who had it, or in which shape the field knows it. */
  readonly whose: string;
  /** The invariants of which it must break one. */
  readonly breaks: readonly [string, ...string[]];
  /** Made anew for every run: what it remembers outlives an agent, not the node. */
  readonly make: () => WrapWorld;
}

/** The first seed that caught it. */
export interface Catch {
  readonly seed: number;
  readonly violation: Violation;
}

type ObjectPort = Exclude<keyof World, 'random' | 'claims'>;

/** Some methods of one port are other ones. */
export function replacing<P extends ObjectPort, S extends Ground = Stage>(
  port: P,
  methods: (inner: World[P], world: World, life: AgentLife<S>) => Partial<World[P]>,
): WrapWorld<S> {
  return (world, life) => ({ ...world, [port]: { ...world[port], ...methods(world[port], world, life) } });
}

/** Every call goes through a wrapper, and none is another one: what the others must differ from. */
export function unchanged(): WrapWorld {
  return (world, life) => {
    let wrapped = world;
    for (const port of Object.keys(world) as (keyof World)[]) {
      if (port !== 'random' && port !== 'claims') wrapped = replacing(port, (inner) => inner)(wrapped, life);
    }
    return wrapped;
  };
}

/** What nobody waits for: an agent that dies meanwhile, or a refusal, ends it. */
export function later(life: AgentLife, ms: number, act: () => unknown): void {
  life.after(ms, () => void attempt(act));
}

export async function attempt(act: () => unknown): Promise<void> {
  try {
    await act();
  } catch {
    // Nobody looks at it: that is the bug.
  }
}

/** Runs the seeds from 1 to `last`, until one breaks one of these invariants (any, when none is named). */
export async function firstCatch(
  wrap: () => WrapWorld,
  last: number,
  invariants?: readonly string[],
): Promise<Catch | undefined> {
  for (let seed = 1; seed <= last; seed++) {
    const { violation } = await simulate(seed, { lines: 0, judged: true, wrap: wrap() });
    if (violation === undefined) continue;
    if (invariants === undefined || invariants.includes(violation.invariant)) return { seed, violation };
  }
  return undefined;
}
