import { PassThrough } from 'node:stream';
import test from 'ava';
import { type ClientName, readClientOptions } from '../../daemon/ops/clientoptions.ts';
import { BerthClient } from '../../daemon/rpc/berthclient.ts';
import { EXIT, get, list, nodes, type Surroundings, watch } from '../../daemon/rpc/commands.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import { fixture, mapping, NODE, NOW, temporaryDirectory } from './fixture.ts';

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function surroundings(socketPath: string) {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const abort = new AbortController();
  const connect = () => new BerthClient([agentEndpoint(socketPath)]);
  const around: Surroundings = { stdout, stderr, signal: abort.signal, connect, now: () => NOW };
  return { stdout, stderr, abort, around };
}

/** The whole command line behind `berth`. */
async function berth(socketPath: string, line: string): Promise<Outcome> {
  const [name, ...argv] = line.split(' ') as [ClientName, ...string[]];
  const { stdout, stderr, around } = surroundings(socketPath);
  const command = readClientOptions(name, { argv: [...argv, '--socket', socketPath], env: {} });
  if (command.kind === 'help') throw new Error('help was asked for');
  const code = await { get, list, watch, nodes }[name](command.positionals, command.options, around);
  return { code, out: String(stdout.read() ?? ''), err: String(stderr.read() ?? '') };
}

const TABLE = `NAMESPACE  POD     PORT  PROTOCOL  ADDRESS           POD-PORT  NODE    AGE  STATE
shop       cart-0  web   TCP       192.0.2.10:20000  8080      node-a  60s  live
`;

for (const line of [
  'get shop/cart-0',
  'get cart-0 -n shop',
  'get shop/cart-0 -n shop',
  'get shop/cart-0 web',
  'get shop/cart-0 web/tcp',
  'get shop/cart-0 8080',
  'get shop/cart-0 8080/TCP',
  'list',
  'list -n shop --pod cart-0 --node node-a --pool default --protocol tcp --host-port 20000',
]) {
  test(`berth ${line} finds the mapping`, async (t) => {
    const { registry, socketPath } = await fixture(t);
    registry.set(NODE, mapping('cart-0'), NOW - 60_000);
    t.deepEqual(await berth(socketPath, line), { code: EXIT.found, out: TABLE, err: '' });
  });
}

for (const line of [
  'get shop/other',
  'get cart-0',
  'get shop/cart-0 metrics',
  'get shop/cart-0 8081',
  'get shop/cart-0 web/udp',
]) {
  test(`berth ${line} finds nothing: exit code 3, and where to look`, async (t) => {
    const { registry, socketPath } = await fixture(t);
    registry.set(NODE, mapping('cart-0'), NOW);
    const { code, out, err } = await berth(socketPath, line);
    t.deepEqual([code, out], [EXIT.notFound, '']);
    t.regex(err, /^berth: no port .*is mapped on this node: the pod's condition berth.dev\/PortsMapped says why/);
  });
}

test('berth get pod/NAME, as kubectl and berth wait take it, is told what the / means here', async (t) => {
  const { registry, socketPath } = await fixture(t);
  registry.set(NODE, mapping('cart-0'), NOW);
  const { code, err } = await berth(socketPath, 'get pod/cart-0');
  t.is(code, EXIT.notFound);
  t.regex(err, /\nberth: what stands before the \/ is the namespace: "pod" here\n$/);
  t.notRegex((await berth(socketPath, 'get other/cart-0')).err, /what stands before/);
});

test('berth list of nothing is an answer: exit code 0, and a word on stderr', async (t) => {
  const { socketPath } = await fixture(t);
  t.deepEqual(await berth(socketPath, 'list -n shop'), { code: 0, out: '', err: 'berth: no live mapping matches\n' });
  t.deepEqual(JSON.parse((await berth(socketPath, 'list -o json')).out).mappings, []);
});

const wrong: readonly (readonly [string, string])[] = [
  ['get', 'which pod? berth get NAMESPACE/POD [PORT[/PROTOCOL]]'],
  ['get a/b/c', '"a/b/c" is not NAMESPACE/POD or POD'],
  ['get /b', '"/b" is not NAMESPACE/POD or POD'],
  ['get a/', '"a/" is not NAMESPACE/POD or POD'],
  ['get a/b -n c', '"a/b" and --namespace "c" differ: keep one of them'],
  ['get a/b /tcp', '"/tcp" is not PORT or PORT/PROTOCOL'],
  ['get a/b c/d', '"d" is no protocol: tcp, udp or sctp'],
  ['get a/b 65536', 'PORT: "65536" is no port number: 1 to 65535'],
  ['get a/b c d', 'unexpected argument "d"'],
  ['list a', 'unexpected argument "a"'],
  ['list --host-port 0', '--host-port: "0" is no port number: 1 to 65535'],
  ['list --host-port 1e3', '--host-port: "1e3" is no port number: 1 to 65535'],
  ['list --protocol icmp', '"icmp" is no protocol: tcp, udp or sctp'],
  ['watch a', 'unexpected argument "a"'],
  ['get \u001b[2J/', '"\\x1b[2J/" is not NAMESPACE/POD or POD'],
];
for (const [line, message] of wrong) {
  test(`berth ${JSON.stringify(line)} is a wrong command line: exit code 2`, async (t) => {
    t.deepEqual(await berth('/nowhere', line), { code: EXIT.usage, out: '', err: `berth: ${message}; see --help\n` });
  });
}

for (const line of ['get a/b', 'list', 'watch']) {
  test(`berth ${line} without an agent says what is missing: exit code 1`, async (t) => {
    const path = `${await temporaryDirectory(t)}/agent.sock`;
    t.deepEqual(await berth(path, line), {
      code: EXIT.error,
      out: '',
      err: `berth: there is no socket ${path}: is the agent running on this node? Start it, or name its socket with --socket\n`,
    });
  });
}

test('V19: a hostile name reaches stdout escaped', async (t) => {
  const { registry, socketPath } = await fixture(t);
  const pod = { namespace: 'shop', name: 'x\x1b]0;owned\x07\u202e', uid: 'u' };
  registry.set(NODE, mapping('x', { pod }), NOW);
  for (const output of ['table', 'wide', 'json', 'yaml']) {
    const { out } = await berth(socketPath, `list -o ${output}`);
    t.true(out.includes('owned'));
    t.notRegex(out, /[^\P{C}\n]/u);
  }
});

/** Everything written until it contains the text. */
async function readUntil(stream: PassThrough, text: string): Promise<string> {
  let seen = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    seen += chunk;
    if (seen.includes(text)) return seen;
  }
  return seen;
}

test('berth watch prints the state, then changes, through a restart of the agent, until it is interrupted', async (t) => {
  const { registry, socketPath, restart } = await fixture(t);
  registry.set(NODE, mapping('cart-0'), NOW - 60_000);
  const { stdout, stderr, abort, around } = surroundings(socketPath);
  const code = watch([], { output: 'table' }, around);

  t.regex(await readUntil(stdout, 'cart-0'), /^EVENT .*\nlive .* cart-0 /);
  registry.set(NODE, mapping('cart-1'), NOW);
  t.regex(await readUntil(stdout, '\n'), /^live .* cart-1 /);
  await restart();
  t.regex(
    await readUntil(stderr, 'connected again\n'),
    /^berth: connection lost, trying again: .*\nberth: connected again\n$/,
  );
  registry.delete(NODE, mapping('cart-0').pod, 'web', 'TCP');
  t.regex(await readUntil(stdout, '\n'), /^gone .* cart-0 /);
  abort.abort();
  t.is(await code, EXIT.found);
  t.is(stdout.read(), null);
});

test('berth watch -o json is one object a line', async (t) => {
  const { registry, socketPath } = await fixture(t);
  registry.set(NODE, mapping('cart-0'), NOW);
  const { stdout, abort, around } = surroundings(socketPath);
  const code = watch([], { output: 'json' }, around);
  const lines = (await readUntil(stdout, 'synced')).trim().split('\n');
  t.deepEqual(
    lines.map((line) => JSON.parse(line).event),
    ['live', 'synced'],
  );
  abort.abort();
  await code;
});

test('a reader that is slow slows berth watch down instead of filling its memory', async (t) => {
  const { registry, socketPath } = await fixture(t);
  const { stdout, abort, around } = surroundings(socketPath);
  const code = watch([], { output: 'json' }, around);
  await readUntil(stdout, 'synced');
  for (let index = 0; index < 2_000; index += 1) registry.set(NODE, mapping(`p-${index}`), NOW);
  while (!stdout.writableNeedDrain) await new Promise((resolve) => setImmediate(resolve));
  t.true(stdout.readableLength + stdout.writableLength < 200_000);
  t.regex(await readUntil(stdout, 'p-999"'), /"p-0"/);
  abort.abort();
  await code;
});
