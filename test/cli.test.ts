/** `berth` as a process: what it does with settings of its other commands. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';

const CLI = join(import.meta.dirname, '../daemon/cli.ts');

function berth(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], { env: { PATH: process.env.PATH ?? '', ...env } });
  const stderr = text(child.stderr);
  const ended = once(child, 'close').then(async ([code, signal]) => ({ code, signal, stderr: await stderr }));
  return { child, ended };
}

test('a variable of berth doctor and of the clients does not keep the agent from starting, an unknown one does', async (t) => {
  const run = (env: Readonly<Record<string, string>>) => berth(['agent', '--pods=nonsense'], env).ended;
  t.regex((await run({ BERTH_OUTPUT: 'json' })).stderr, /^berth agent: --pods: "nonsense" is not dir:PATH/);
  t.regex((await run({ BERTH_OUTPTU: 'json' })).stderr, /^berth agent: unknown environment variable BERTH_OUTPTU/);
});
