import { symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { readUninstallOptions } from '../../daemon/ops/uninstall/options.ts';
import { NodeFiles } from '../../daemon/ops/uninstall/ownfiles.ts';
import { directory } from './disk.ts';

function read(argv: readonly string[], env: Record<string, string> = {}) {
  const result = readUninstallOptions({ argv, env }, 'Node-7');
  if (result.kind !== 'run') throw new Error('help');
  return result.options;
}

test('it takes what the agent takes, from flags, environment and the same file', (t) => {
  const config = join(directory(t), 'agent.yaml');
  writeFileSync(
    config,
    'pods: dir:/pods\nstateDir: /state\npools: [{ name: games, ranges: 7000-7999 }]\nmetricsAddress: 127.0.0.1:1\n',
  );
  const options = read(['--config', config, '--socket', '/s'], { BERTH_PROC_SYS: '/host/proc/sys' });
  const { pods, stateDir, socket, procSys, nodeName, pools, timeoutMs, dryRun } = options;
  t.deepEqual(pods, { kind: 'dir', path: '/pods' });
  t.deepEqual([stateDir, socket, procSys, nodeName], ['/state', '/s', '/host/proc/sys', 'node-7']);
  t.deepEqual(pools, [{ first: 7000, last: 7999 }]);
  t.deepEqual([timeoutMs, dryRun], [10_000, false]);
});

test('pools that cannot be read any more are in the way of nothing', (t) => {
  const options = read(['--pods=dir:/pods', '--pools-file=/gone/pools.yaml', '--dry-run', '--timeout=0s']);
  t.is(options.pools, undefined);
  t.deepEqual([options.timeoutMs, options.dryRun], [0, true]);
});

test('without --pods nobody would be told: it is required', (t) => {
  t.throws(() => read([]), { message: /--pods is required/ });
});

test('of the files only those of the agent are found, the lock last', async (t) => {
  const path = directory(t);
  const [state, socket] = [path, join(path, 'agent.sock')];
  for (const name of ['lock', 'state.json', 'state.json.corrupt', 'notes.txt']) writeFileSync(join(state, name), '');
  const files = new NodeFiles(state, socket);
  const names = () => files.find().map((file) => file.path.slice(path.length + 1));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.deepEqual(names(), ['state.json.corrupt', 'state.json', 'agent.sock', 'lock']);
  t.deepEqual(files.find().filter(({ memory }) => memory).length, 1);
  for (const file of files.find()) files.remove(file);
  t.deepEqual(names(), []);
  server.close();
  symlinkSync('/etc/passwd', socket);
  t.deepEqual(names(), [], 'what is no socket is not the agent’s');
});
