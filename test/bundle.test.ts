/** dist/ as it is shipped: made in a directory of its own, moved, and run where the repository cannot be seen. */
import { type ExecFileException, execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { VERSION } from '../daemon/version.ts';
import { makeBundle } from '../deploy/bundle.ts';
import { Namespace } from './kernel/namespace.ts';

const run = promisify(execFile);
const place = mkdtempSync(join(tmpdir(), 'berth-bundle-'));
const dist = join(place, 'moved');

test.before(async () => {
  await makeBundle(join(place, 'made'));
  renameSync(join(place, 'made'), dist);
});
test.after.always(() => rmSync(place, { recursive: true, force: true }));

function berth(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return run(process.execPath, [join(dist, 'berth.mjs'), ...args], { cwd: '/', env });
}

test('the bundle tells its version and the options of the agent', async (t) => {
  t.is((await berth(['--version'])).stdout, `${VERSION}\n`);
  t.regex((await berth(['agent', '--help'])).stdout, /--state-dir=PATH/);
});

test('--env-file is an option of berth wait, although Node has one of that name', async (t) => {
  const args = ['wait', '--env-file=/nowhere/ports', '--annotations=/nowhere/annotations', '--timeout=1s'];
  const path = `${dirname(process.execPath)}:/usr/bin:/bin`;
  const { stderr } = await t.throwsAsync<ExecFileException>(
    run(join(dist, 'berth.mjs'), args, { cwd: '/', env: { PATH: path } }),
  );
  t.regex(String(stderr), /^berth wait: .*\/nowhere\/annotations/);
});

test('the bundled agent works in the kernel, and the bundled client lists what it serves', async (t) => {
  using node = Namespace.create('bundle');
  const [pods, socket] = [join(place, 'pods'), join(place, 'agent.sock')];
  mkdirSync(pods);
  const agent = node.spawn(
    process.execPath,
    [
      join(dist, 'berth.mjs'),
      'agent',
      '--pods',
      `dir:${pods}`,
      '--state-dir',
      join(place, 'state'),
      '--socket',
      socket,
    ],
    { cwd: '/', env: {}, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  agent.stderr?.on('data', (text) => {
    log += text;
  });
  let listed = await berth(['list', '--socket', socket, '--output', 'json']).catch(() => undefined);
  while (listed === undefined && agent.exitCode === null) {
    listed = await berth(['list', '--socket', socket, '--output', 'json']).catch(() => undefined);
  }
  t.deepEqual(JSON.parse(listed?.stdout ?? 'null')?.mappings, [], log);
  t.regex(node.run('/usr/sbin/nft', ['list', 'tables']), /inet berth/);
  agent.kill('SIGTERM');
  const [code] = await once(agent, 'exit');
  t.is(code, 0, log);
});

test('the baked compile cache is used, also after the bundle was moved', async (t) => {
  const { stderr } = await berth(['agent', '--help'], { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' });
  const files = readdirSync(dist).filter((name) => /^(cli|agentoptions-\w+)\.mjs$/.test(name));
  t.is(files.length, 2);
  for (const file of files) t.regex(stderr, new RegExp(`V8 code cache for ESM file://${dist}/${file} was accepted`));
  t.notRegex(stderr, /was rejected/);
});

test('a directory that holds something else is not replaced', async (t) => {
  const other = mkdtempSync(join(place, 'other-'));
  mkdirSync(join(other, 'precious'));
  await t.throwsAsync(makeBundle(other), { message: /is not empty and no bundle/ });
  t.deepEqual(readdirSync(other), ['precious']);
});
