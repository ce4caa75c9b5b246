/**
 * What the node has to grant for the numbers of the pools: that the kernel gives none of them away as an ephemeral port, and
 * that the agent may open a socket for each. It warns where the node does not; it must never keep the agent from running.
 */
import { messageOf } from './core/errors.ts';
import { type PoolConfig, poolSize } from './core/pool.ts';
import type { ChangedSetting } from './core/state.ts';
import type { AgentOptions } from './ops/agentoptions.ts';
import { protectFromEphemeral } from './ops/ephemeral.ts';
import { checkDescriptors } from './reserve/descriptors.ts';

export class PoolGuard {
  readonly #options: Pick<AgentOptions, 'maxSockets' | 'procSys'>;
  readonly #warn: (message: string) => void;
  #lacks: readonly string[] = [];

  /** `warn` is told once of each lack, and again when another list of pools has it anew. */
  constructor(options: Pick<AgentOptions, 'maxSockets' | 'procSys'>, warn: (message: string) => void) {
    this.#options = options;
    this.#warn = warn;
  }

  /** Call before numbers of these pools are given out. Returns the kernel setting that was changed for them. */
  guard(pools: readonly PoolConfig[]): ChangedSetting | undefined {
    const protection = protectFromEphemeral(
      pools.flatMap(({ ranges }) => ranges),
      this.#options.procSys,
    );
    const lacks = [this.#descriptors(pools), protection.warning].filter((lack) => lack !== undefined);
    for (const lack of lacks) if (!this.#lacks.includes(lack)) this.#warn(lack);
    this.#lacks = lacks;
    return protection.changed;
  }

  #descriptors(pools: readonly PoolConfig[]): string | undefined {
    const ports = pools.reduce((sum, pool) => sum + poolSize(pool), 0);
    try {
      // TCP and UDP.
      return checkDescriptors(Math.min(this.#options.maxSockets, 2 * ports));
    } catch (error) {
      return `whether the agent may open enough sockets is not known: ${messageOf(error)}`;
    }
  }
}
