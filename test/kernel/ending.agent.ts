/**
 * The agent, telling how many sockets it has open at the moment when it gives its lock back: whoever waits for the lock begins
 * then. Arguments as those of `berth`; SIGUSR2 makes its source of pods fail, which ends it with an error.
 */
import fs, { readdirSync, readlinkSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { runAgent } from '../../daemon/agent.ts';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import type { World } from '../../daemon/reconcile/ports.ts';

function linkOf(descriptor: number | string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return '';
  }
}

const closeSync = fs.closeSync;
fs.closeSync = (descriptor: number) => {
  if (linkOf(descriptor).endsWith('/lock')) {
    const sockets = readdirSync('/proc/self/fd').filter((one) => linkOf(one).startsWith('socket:'));
    writeSync(2, `${JSON.stringify({ event: 'unlocked', sockets: sockets.length })}\n`);
  }
  closeSync(descriptor);
};
syncBuiltinESMExports();

function wrap(world: World): World {
  const { source } = world;
  const { promise: failure, reject } = Promise.withResolvers<void>();
  process.once('SIGUSR2', () => reject(new Error('the source of pods fails')));
  return {
    ...world,
    source: {
      watch: (observer, signal) => Promise.race([source.watch(observer, signal), failure]),
      get: (namespace, name) => source.get(namespace, name),
    },
  };
}

const command = readAgentOptions({ argv: process.argv.slice(3), env: {} }, 'node');
if (command.kind === 'run') {
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  await runAgent(command.options, stop.signal, wrap);
}
