/**
 * The agent, with its adapters wrapped so that it kills itself (SIGKILL, as `kill -9` and the OOM killer do) at the n-th
 * step from when it was armed. The agent proper knows nothing of it. Arguments as those of `berth`; DIE_AT arms it from the start.
 *
 * A step is the moment before a call that changes something, and the moment after one that had to be waited for. After a
 * call that returns at once it is the same moment as before the next one.
 */
import { writeSync } from 'node:fs';
import { runAgent } from '../../daemon/agent.ts';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import type { World } from '../../daemon/reconcile/ports.ts';

/** Tells the agent at which step from now on it dies; answered by 'armed'. */
export interface Arm {
  readonly dieAt: number;
}

/** Steps that are left; undefined: it lives. */
let left = process.env.DIE_AT === undefined ? undefined : Number(process.env.DIE_AT);

function step(name: string): void {
  if (left === undefined || left-- > 0) return;
  writeSync(2, `${JSON.stringify({ event: 'dies', at: name })}\n`);
  process.kill(process.pid, 'SIGKILL');
}

/** The methods of each adapter that change the world. */
const ACTIONS = {
  reserver: ['reserve', 'release'],
  store: ['save'],
  datapath: ['apply'],
  flows: ['purge'],
  publisher: ['publish', 'event', 'forget'],
  registry: ['set', 'delete'],
} as const satisfies { readonly [Name in keyof World]?: readonly (keyof World[Name])[] };

function wrap(world: World): World {
  const wrapped = Object.entries(ACTIONS).map(([name, methods]) => {
    const adapter: object = world[name as keyof typeof ACTIONS];
    const proxy = new Proxy(adapter, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key);
        if (typeof member !== 'function') return member;
        if (!(methods as readonly unknown[]).includes(key)) return member.bind(target);
        return (...args: readonly unknown[]) => {
          step(`before ${name}.${String(key)}`);
          const result: unknown = member.apply(target, args);
          if (!(result instanceof Promise)) return result;
          return result.then((value: unknown) => {
            step(`after ${name}.${String(key)}`);
            return value;
          });
        };
      },
    });
    return [name, proxy];
  });
  return { ...world, ...Object.fromEntries(wrapped) };
}

process.on('message', ({ dieAt }: Arm) => {
  left = Number.isFinite(dieAt) ? dieAt : undefined;
  process.send?.('armed');
});
// The agent's end is not the business of this channel.
process.channel?.unref();

const command = readAgentOptions({ argv: process.argv.slice(3), env: {} }, 'node');
if (command.kind === 'run') {
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  await runAgent(command.options, stop.signal, wrap);
}
