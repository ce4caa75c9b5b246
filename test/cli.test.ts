/** `berth` as a process: what it does with a reader that goes away, and with settings of its other commands. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { replicas } from './client/replicas.ts';
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

for (const line of ['list', 'wait pod/cart-0 --namespace=shop']) {
  test(`berth ${line}: what cannot be written is no success`, async (t) => {
    const { registry, socketPath } = await fixture(t);
    registry.set(NODE, mapping('cart-0'), NOW);
    const full = openSync('/dev/full', 'w');
    t.teardown(() => closeSync(full));
    const args = [CLI, ...line.split(' '), '--socket', socketPath];
    const child = spawn(process.execPath, args, { env: {}, stdio: ['ignore', full, 'pipe'] });
    const [said, [code]] = await Promise.all([text(child.stderr as Readable), once(child, 'close')]);
    t.is(code, 1);
    t.regex(said, /^berth: cannot write to stdout: ENOSPC/);
  });
}

test('no proxy that the environment names is asked: plaintext stays on loopback', async (t) => {
  let asked = 0;
  const proxy = createServer((socket) => {
    asked += 1;
    socket.destroy();
  });
  t.teardown(() => proxy.close());
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { addresses } = await replicas(t, 1);
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const env = { http_proxy: url, https_proxy: url, grpc_proxy: url };
  const { ended } = berth(['nodes', '--aggregator', addresses], env);
  t.deepEqual(await ended, { code: 0, signal: null, stderr: 'berth: no node is known\n' });
  t.is(asked, 0);
});

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
