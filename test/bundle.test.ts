/** dist/ as it is shipped: made in a directory of its own, moved, and run where the repository cannot be seen. */
import { type ExecFileException, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { MappingRegistry } from '../daemon/core/registry.ts';
import { VERSION } from '../daemon/version.ts';
import { makeBundle } from '../deploy/bundle.ts';
import { Namespace } from './kernel/namespace.ts';
import { agent, aggregator, eventually } from './rpc/clusterfixture.ts';
import { mapping, NOW } from './rpc/fixture.ts';

const run = promisify(execFile);
const place = mkdtempSync(join(tmpdir(), 'berth-bundle-'));
const dist = join(place, 'moved');

const root = join(import.meta.dirname, '..');

/** What a user of the package would write. */
const PROGRAM = `import { addressesOf, connect, type Mapping, type WatchEvent } from 'berth/client';
using client = connect({ aggregator: process.argv[2] ?? '' });
const { mappings } = await client.get({ namespace: 'shop', pod: 'cart-0' });
for (const mapping of mappings) console.log(addressesOf(mapping)[0]);
const all: Mapping[] = [];
for await (const page of client.list({ protocol: 'TCP' })) all.push(...page.mappings);
console.log(all.map(({ pod }) => pod).join());
for await (const { nodes } of client.listNodes()) for (const { name, pools } of nodes) console.log(name, pools[0]?.free.TCP);
for await (const event of client.watch() as AsyncIterable<WatchEvent>) {
  console.log('mapping' in event ? event.kind + ' ' + event.mapping.pod : event.kind);
  if (event.kind === 'synced') break;
}
`;

/** An aggregator that knows one node with one mapping. */
async function oneNode(t: ExecutionContext) {
  const served = await aggregator(t);
  const registry = new MappingRegistry();
  registry.set('node-a', mapping('cart-0'), NOW);
  agent(t, [served.address], { registry });
  await eventually(() => served.cluster.mappings.size === 1);
  return served;
}

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

test('the bundled aggregator takes reports, and the bundled client asks it', async (t) => {
  const doors = ['--listen=127.0.0.1:0', '--aggregator-metrics-address=127.0.0.1:0', '--ready-after=0s'];
  const child = spawn(process.execPath, [join(dist, 'berth.mjs'), 'aggregator', ...doors], { cwd: '/', env: {} });
  t.teardown(() => child.kill('SIGTERM'));
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      log += chunk;
    });
  }
  await eventually(() => /"event":"listening","address":"[^"]+"/.test(log) || child.exitCode !== null);
  const [, address = ''] = /"event":"listening","address":"([^"]+)"/.exec(log) ?? [];
  const registry = new MappingRegistry();
  registry.set('node-a', mapping('cart-0'), NOW);
  const { heard } = agent(t, [address], { registry });
  await eventually(() => heard.some((one) => /^connected|^lost/.test(one)));
  t.false(
    heard.some((one) => one.startsWith('lost')),
    heard.join(),
  );
  const { stdout } = await berth(['wait', 'pod/cart-0', '-n', 'shop', '--aggregator', address]);
  t.is(stdout, 'PORT_WEB=20000\nADDRESS_WEB=192.0.2.10:20000\n');
  t.regex(
    (await berth(['nodes', '--aggregator', address])).stdout,
    /\nnode-a +live +\d+s +1 +default=99 +default=98\n/,
  );
});

test('a program that has the package imports berth/client, with its types, and no package beside it is loaded', async (t) => {
  const program = join(place, 'program');
  const installed = join(program, 'node_modules/berth');
  mkdirSync(installed, { recursive: true });
  cpSync(join(root, 'package.json'), join(installed, 'package.json'));
  cpSync(dist, join(installed, 'dist'), { recursive: true });
  const { bin, exports } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const path of [...Object.values<string>(bin), ...Object.values<string>(exports['./client'])])
    t.true(existsSync(join(installed, path)), path);
  writeFileSync(join(program, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(program, 'main.ts'), PROGRAM);
  const { address } = await oneNode(t);
  const { stdout } = await run(process.execPath, ['main.ts', address], { cwd: program });
  t.is(stdout, '192.0.2.10:20000\ncart-0\nnode-a 99\nlive cart-0\nsynced\n');

  // For the compiler alone, as npm would install it beside the package.
  symlinkSync(join(root, 'node_modules/@grpc'), join(program, 'node_modules/@grpc'));
  const wrong = PROGRAM.replace("pod: 'cart-0'", 'pod: 7');
  writeFileSync(join(program, 'wrong.ts'), wrong);
  const flags = [
    '--strict',
    '--noEmit',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--lib',
    'es2024,esnext.disposable',
  ];
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
  const check = (file: string) =>
    run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...flags, ...types, file], { cwd: program });
  await t.notThrowsAsync(check('main.ts'));
  const refused = await t.throwsAsync<ExecFileException>(check('wrong.ts'));
  t.regex(
    String(refused?.stdout),
    /wrong\.ts\(\d+,\d+\): error TS2322: Type 'number' is not assignable to type 'string'/,
  );
});

test('kubectl finds kubectl-berth in the PATH, also by a link, and runs it as a command of its own', async (t) => {
  const bin = join(place, 'bin');
  mkdirSync(bin);
  symlinkSync(join(dist, 'kubectl-berth'), join(bin, 'kubectl-berth'));
  const env = { PATH: [bin, dirname(process.execPath), '/usr/bin', '/bin'].join(':'), HOME: place };
  const help = /^kubectl berth: where the pods of this cluster can be reached\n/;
  t.regex((await run(join(bin, 'kubectl-berth'), ['--help'], { cwd: '/', env })).stdout, help);
  const complete = join(dist, 'kubectl_complete-berth');
  t.regex((await run(complete, ['wa'], { cwd: '/', env })).stdout, /^watch\t.*\nwait\t.*\n:4\n$/);
  const lost = await t.throwsAsync<ExecFileException>(run(join(bin, 'kubectl-berth'), ['nodes'], { cwd: '/', env }));
  t.regex(String(lost?.stderr), /no API server is known: give --kubeconfig, --context or --server/);
  const kubectl = await run('kubectl', ['berth', '--help'], { cwd: '/', env }).catch(
    (error: ExecFileException) => error,
  );
  if ('code' in kubectl && kubectl.code === 'ENOENT') t.log('kubectl is not installed: not run by it');
  else t.regex(String(kubectl.stdout), help);
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
