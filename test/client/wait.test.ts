/** `berth wait pod/NAME`: which pod, asked from an aggregator or an agent, until when, and what it prints. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { connectTo } from '../../daemon/connection.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { readWaitOptions } from '../../daemon/ops/wait/options.ts';
import { liveMappings } from '../../daemon/rpc/livepod.ts';
import { waitForPod } from '../../daemon/waiting.ts';
import { ManualClock, until } from '../kube/scratch.ts';
import { eventually } from '../rpc/clusterfixture.ts';
import { fixture, mapping, NODE, NOW } from '../rpc/fixture.ts';
import { deadAddress, replicas } from './replicas.ts';

const never = new AbortController().signal;
const CLI = join(import.meta.dirname, '../../daemon/cli.ts');

function read(line: string, env: Readonly<Record<string, string>> = {}) {
  const command = readWaitOptions({ argv: line.split(' ').filter((word) => word !== ''), env });
  if (command.kind === 'help') throw new Error('help was asked for');
  return command;
}

function waitFor(line: string, clock: Parameters<typeof waitForPod>[3] = systemClock) {
  const { pod, options } = read(line);
  if (pod === undefined) throw new Error('no pod was named');
  return waitForPod(() => connectTo(pod.ask), pod, options, clock, never);
}

test('it ends at once when the ports are live, with lines that a shell can source', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  await node('node-a', mapping('x'), mapping('x', { name: '9000-udp', protocol: 'UDP', hostPort: 21_000, size: 2 }));
  t.is(
    await waitFor(`pod/x -n shop --aggregator ${addresses}`),
    'PORT_9000_UDP=21000-21001\nADDRESS_9000_UDP=192.0.2.10:21000-21001\nPORT_WEB=20000\nADDRESS_WEB=192.0.2.10:20000\n',
  );
  t.is(
    await waitFor(`pod/x -n shop --port web --aggregator ${addresses}`),
    'PORT_WEB=20000\nADDRESS_WEB=192.0.2.10:20000\n',
  );
});

test('it waits for the aggregator, for the pod, and for every port that was named', async (t) => {
  const dead = await deadAddress();
  let lines: string | undefined;
  const waiting = waitFor(`pod/x -n shop --port web,admin --aggregator ${dead}`).then((told) => {
    lines = told;
  });
  const late = await replicas(t, 1, { port: Number(dead.split(':')[1]) });
  const { registry } = await late.node('node-a', mapping('x'), mapping('other', { name: 'admin', hostPort: 20_005 }));
  // Once it watches, what it lacks is the port alone.
  await eventually(() => late.each[0]?.cluster.mappings.size === 2);
  registry.set('node-a', mapping('y', { name: 'admin', hostPort: 20_006 }), NOW);
  await eventually(() => late.each[0]?.cluster.mappings.size === 3);
  t.is(lines, undefined);
  registry.set('node-a', mapping('x', { name: 'admin', hostPort: 20_001 }), NOW);
  await waiting;
  t.regex(lines ?? '', /^PORT_ADMIN=20001\n/m);
  t.regex(lines ?? '', /^PORT_WEB=20000\n/m);
});

test('what is not live in time is an error that says why, and who did not answer', async (t) => {
  const { addresses } = await replicas(t, 1);
  const clock = new ManualClock();
  const waiting = waitFor(`x --port web --timeout 7s --aggregator ${addresses}`, clock);
  await until(() => clock.pending.length === 1);
  clock.advance(7_000);
  await t.throwsAsync(waiting, {
    code: 'NUMBERS_MISSING',
    message: /^not every one of the ports web of pod "x" in namespace "default" is live after 7 s: .*PortsMapped[^;]*$/,
  });

  let refused = 0;
  const hangingUp = createServer((socket) => {
    refused += 1;
    socket.destroy();
  });
  t.teardown(() => hangingUp.close());
  hangingUp.listen(0, '127.0.0.1');
  await once(hangingUp, 'listening');
  const { port } = hangingUp.address() as AddressInfo;
  const other = new ManualClock();
  const abandoned = waitFor(`x --timeout 7s --aggregator 127.0.0.1:${port}`, other);
  const failed = t.throwsAsync(abandoned, { message: /; nobody answered at times: the aggregator at 127\.0\.0\.1:/ });
  // It comes again once it has been told of the first failure.
  await eventually(() => refused >= 2);
  other.advance(7_000);
  await failed;
});

test('the agent of this node is asked by its socket', async (t) => {
  const { registry, socketPath } = await fixture(t);
  const waiting = waitFor(`pod/x -n shop --socket ${socketPath}`);
  registry.set(NODE, mapping('x'), NOW);
  t.is(await waiting, 'PORT_WEB=20000\nADDRESS_WEB=192.0.2.10:20000\n');
});

const view = (uid: string, since: number, more: object = {}) => ({
  namespace: 'shop',
  pod: 'x',
  podUID: uid,
  name: 'web',
  protocol: 'TCP',
  hostPort: since,
  endPort: since,
  containerPort: 80,
  node: 'n',
  nodeAddresses: [],
  podIPs: [],
  pool: 'default',
  since,
  ...more,
});

function scripted(...events: readonly object[]): Parameters<typeof liveMappings>[0] {
  return {
    watch: async function* () {
      yield* events;
    } as Parameters<typeof liveMappings>[0]['watch'],
  };
}

const synced = { kind: 'synced', freshness: { nodesHeard: 1, nodesKnown: 1 } };
const told = (t: ExecutionContext, ...events: readonly object[]) =>
  liveMappings(scripted(...events), { namespace: 'shop', pod: 'x', ports: ['web'] }, never, () => t.fail());

test('of two pods of one name the newer one counts, and nothing before the whole state is known', async (t) => {
  const [old, young] = [view('old', 1), view('young', 2)];
  const found = await told(t, { kind: 'live', mapping: young }, { kind: 'live', mapping: old }, synced);
  t.deepEqual(
    found?.map(({ podUID }) => podUID),
    ['young'],
  );
});

test('what is stale, and what is gone again, is not live', async (t) => {
  const stale = view('one', 1, { stale: true });
  t.is(await told(t, { kind: 'live', mapping: stale }, synced), undefined);
  t.is(
    await told(t, { kind: 'live', mapping: view('one', 1) }, { kind: 'gone', mapping: view('one', 1) }, synced),
    undefined,
  );
  const back = await told(t, { kind: 'live', mapping: stale }, synced, { kind: 'changed', mapping: view('one', 3) });
  t.is(back?.[0]?.since, 3);
});

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['job/x', /^"job\/x" is not pod\/NAME; the namespace is given with --namespace$/],
  ['pod/', /is not pod\/NAME/],
  ['pod/x y', /^unexpected argument "y"$/],
  ['-n shop', /^-n is of use with pod\/NAME alone/],
  ['--aggregator 127.0.0.1:1', /^--aggregator is of use with pod\/NAME alone/],
  ['pod/x --annotations /a', /^--annotations is of use without pod\/x alone/],
  ['pod/x --aggregator 192.0.2.1:1', /is not loopback and would be asked in plaintext/],
];
for (const [line, message] of WRONG) {
  test(`berth wait ${line} is refused`, (t) => {
    t.throws(() => read(line), { code: 'CONFIG_INVALID', message });
  });
}

test('without a pod it waits for its own annotations, whatever the environment says of aggregators', (t) => {
  const env = { BERTH_AGGREGATOR: '192.0.2.1:1', BERTH_NAMESPACE: 'shop', BERTH_SOCKET: '/s' };
  t.is(read('', env).pod, undefined);
  t.is(read('', env).options.annotations, '/etc/podinfo/annotations');
});

test('the command writes a file that a shell sources', async (t) => {
  const { addresses, node } = await replicas(t, 1);
  await node('node-a', mapping('x'));
  const directory = mkdtempSync(join(tmpdir(), 'berth-wait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'ports');
  const args = ['wait', 'pod/x', '-n', 'shop', '--port=web', `--aggregator=${addresses}`, `--env-file=${file}`];
  const child = spawn(process.execPath, ['--', CLI, ...args], { env: { PATH: process.env.PATH } });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
  t.deepEqual([code, said], [0, '']);
  t.regex(readFileSync(file, 'utf8'), /^PORT_WEB=20000$/m);
  const shell = execFileSync('sh', ['-c', `. ${file}; echo $ADDRESS_WEB`], { encoding: 'utf8' });
  t.is(shell, '192.0.2.10:20000\n');
});
