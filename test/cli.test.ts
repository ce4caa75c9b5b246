/** `berth` as a process: what it does with a reader that goes away, and with settings of its other commands. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { fixture, mapping, NODE, NOW } from './rpc/fixture.ts';

const CLI = join(import.meta.dirname, '../daemon/cli.ts');

function berth(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], { env: { PATH: process.env.PATH ?? '', ...env } });
  const stderr = text(child.stderr);
  const ended = once(child, 'close').then(async ([code, signal]) => ({ code, signal, stderr: await stderr }));
  return { child, ended };
}

for (const args of [['--help'], ['--version'], ['agent', '--help'], ['doctor', '--help'], ['list', '--help']]) {
  test(`berth ${args.join(' ')}: a reader that is gone ends it quietly`, async (t) => {
    const { child, ended } = berth(args);
    child.stdout.destroy();
    t.deepEqual(await ended, { code: 0, signal: null, stderr: '' });
  });
}

test('berth watch ends quietly when its reader goes away', async (t) => {
  const { registry, socketPath } = await fixture(t);
  registry.set(NODE, mapping('cart-0'), NOW);
  const { child, ended } = berth(['watch', '--output', 'json', '--socket', socketPath]);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  // It notices when it writes again.
  const writing = setInterval(
    () => registry.set(NODE, mapping(`cart-${performance.now()}`.replace('.', '-')), NOW),
    50,
  );
  t.teardown(() => clearInterval(writing));
  t.deepEqual(await ended, { code: 0, signal: null, stderr: '' });
});

test('a variable of berth doctor and of the clients does not keep the agent from starting, an unknown one does', async (t) => {
  const run = (env: Readonly<Record<string, string>>) => berth(['agent', '--pods=nonsense'], env).ended;
  t.regex(
    (await run({ BERTH_OUTPUT: 'json' })).stderr,
    /^berth agent: --pods: "nonsense" is neither dir:PATH nor kubernetes/,
  );
  t.regex((await run({ BERTH_DRY_RUN: 'true', BERTH_ENV_FILE: '/env' })).stderr, /^berth agent: --pods: "nonsense"/);
  t.regex((await run({ BERTH_OUTPTU: 'json' })).stderr, /^berth agent: unknown environment variable BERTH_OUTPTU/);
});
