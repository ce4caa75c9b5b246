import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, constants, existsSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Client, credentials, status } from '@grpc/grpc-js';
import test from 'ava';
import fc from 'fast-check';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { MappingClient } from '../../daemon/rpc/client.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import type { Peer } from '../../daemon/rpc/peer.ts';
import { serve } from '../../daemon/rpc/server.ts';
import { MappingService } from '../../proto/service.ts';
import { connected, fixture, mapping, NODE, NOW, temporaryDirectory, turn } from './fixture.ts';

/** The options of a server that serves nothing, for what happens before it could. */
function options(socketPath: string, signal = new AbortController().signal) {
  return {
    registry: new MappingRegistry(),
    node: { name: NODE, addresses: () => [] },
    report: () => {},
    socketPath,
    signal,
  };
}

test.serial('V12: the socket has mode 0660 whatever the umask is', async (t) => {
  for (const umask of [0o000, 0o022, 0o177]) {
    const before = process.umask(umask);
    t.teardown(() => process.umask(before));
    const directory = await temporaryDirectory(t);
    const abort = new AbortController();
    const served = await serve(options(join(directory, 'agent.sock'), abort.signal));
    const { mode } = statSync(join(directory, 'agent.sock'));
    t.is(mode & 0o777, 0o660);
    t.is(mode & constants.S_IFMT, constants.S_IFSOCK);
    t.deepEqual(await readdir(directory), ['agent.sock']);
    abort.abort();
    await served.closed;
    process.umask(before);
  }
});

test('V12: the server tells which process of which user and group connects', async (t) => {
  if (process.getuid?.() !== 0) return t.pass('only root can start a process of another user');
  const peers: Peer[] = [];
  const { socketPath, client } = await fixture(t, { onClient: (peer) => peers.push(peer) });
  await t.throwsAsync(client.get({ namespace: 'a', pod: 'b' }).then(() => Promise.reject(new Error('answered'))));
  t.deepEqual(peers, [{ pid: process.pid, uid: 0, gid: process.getgid?.() }]);
  chmodSync(dirname(socketPath), 0o755);
  chmodSync(socketPath, 0o666);
  const call = `require('net').connect(${JSON.stringify(socketPath)}, () => process.exit())`;
  const other = spawn(process.execPath, ['-e', call], { uid: 1234, gid: 5678 });
  await once(other, 'exit');
  while (peers.length < 2) await turn();
  t.deepEqual(peers[1], { pid: other.pid, uid: 1234, gid: 5678 });
});

test.serial('a user who may not open the socket is told who may', async (t) => {
  if (process.getuid?.() !== 0) return t.pass('only root can become another user');
  const { socketPath, client } = await fixture(t);
  // It is the socket that keeps others out, not its directory.
  chmodSync(dirname(socketPath), 0o755);
  process.setegid?.(65_534);
  process.seteuid?.(65_534);
  t.teardown(() => process.setegid?.(0));
  t.teardown(() => process.seteuid?.(0));
  const hidden = await t.throwsAsync(client.get({ namespace: 'a', pod: 'b' }), { code: 'RPC_FAILED' });
  process.seteuid?.(0);
  t.is(
    hidden.message,
    `this user may not open ${socketPath}: only root and the socket's group may. Use sudo, or join that group`,
  );
});

test.serial('when the server has stopped nothing is left: no socket, no timer, no connection', async (t) => {
  const count = () => process.getActiveResourcesInfo().filter((name) => /Pipe|Timeout|Immediate/.test(name)).length;
  const before = count();
  const { client, stop, registry, socketPath } = await fixture(t);
  registry.set(NODE, mapping('a'), NOW);
  await client.get({ namespace: 'shop', pod: 'a' });
  const watch = client.watch({}, '');
  await watch.next();
  await Promise.all([t.throwsAsync(watch.next()), stop()]);
  client[Symbol.dispose]();
  t.false(existsSync(socketPath));
  for (let patience = 0; count() > before && patience < 1_000; patience += 1) await turn();
  t.is(count(), before, process.getActiveResourcesInfo().join(' '));
});

test('the directory of the socket is created, and what another process left behind is replaced', async (t) => {
  const directory = join(await temporaryDirectory(t), 'run', 'berth');
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'agent.sock');
  // Moved away, the socket survives the end of its server, as after kill -9.
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen({ path: `${path}.old` }, resolve));
  renameSync(`${path}.old`, path);
  await new Promise((resolve) => dead.close(resolve));
  mkdirSync(`${path}.new`);
  writeFileSync(join(`${path}.new`, 's'), '');

  using client = new MappingClient(agentEndpoint(path));
  const error = await t.throwsAsync(client.get({ namespace: 'a', pod: 'b' }), { code: 'RPC_FAILED' });
  t.is(error.message, `nobody listens at ${path}: the agent was killed and left its socket behind. Start it again`);

  const abort = new AbortController();
  const served = await serve(options(path, abort.signal));
  using other = new MappingClient(agentEndpoint(path));
  t.deepEqual((await other.get({ namespace: 'a', pod: 'b' })).mappings, []);
  t.deepEqual(await readdir(directory), ['agent.sock']);
  abort.abort();
  await served.closed;
});

test('a missing directory is created', async (t) => {
  const directory = join(await temporaryDirectory(t), 'not', 'yet');
  const abort = new AbortController();
  const served = await serve(options(join(directory, 'agent.sock'), abort.signal));
  t.deepEqual(await readdir(directory), ['agent.sock']);
  abort.abort();
  await served.closed;
});

test('what is no socket is never removed', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const make of [(path: string) => writeFileSync(path, 'precious'), (path: string) => mkdirSync(path)]) {
    const path = join(directory, make.name + Math.random());
    make(path);
    const error = await t.throwsAsync(serve(options(path)), { code: 'CONFIG_INVALID' });
    t.is(error.message, `${path} is no socket: remove it, or choose another socket path`);
    t.true(existsSync(path));
  }
});

test('a path that no unix socket can have is refused with the reason', async (t) => {
  await t.throwsAsync(serve(options(`/tmp/${'x'.repeat(120)}`)), { code: 'CONFIG_INVALID', message: /bytes too long/ });
  await t.throwsAsync(serve(options('@abstract')), { code: 'CONFIG_INVALID', message: /must be absolute/ });
  await t.throwsAsync(serve(options('\0abstract')), { code: 'CONFIG_INVALID', message: /must be absolute/ });
});

test('a directory that cannot be made is told with its path', async (t) => {
  const directory = await temporaryDirectory(t);
  writeFileSync(join(directory, 'file'), '');
  const path = join(directory, 'file', 'agent.sock');
  await t.throwsAsync(serve(options(path)), { message: new RegExp(`${path}.*ENOTDIR|ENOTDIR.*${path}`) });
});

test('a server that stops leaves the socket of its successor alone', async (t) => {
  const first = await fixture(t);
  const abort = new AbortController();
  const second = await serve({ ...options(first.socketPath, abort.signal), registry: first.registry });
  await first.stop();
  using client = new MappingClient(agentEndpoint(first.socketPath));
  t.deepEqual((await client.get({ namespace: 'a', pod: 'b' })).mappings, []);
  abort.abort();
  await second.closed;
  t.false(existsSync(first.socketPath));
});

test('a signal that aborted before is a server that stops at once', async (t) => {
  const directory = await temporaryDirectory(t);
  const served = await serve(options(join(directory, 'agent.sock'), AbortSignal.abort()));
  await served.closed;
  t.deepEqual(await readdir(directory), []);
});

test('clients that do not go are cut after the time of grace', async (t) => {
  const { socketPath, stop } = await fixture(t, { graceMs: 20 });
  const silent = await connected(socketPath);
  const closed = new Promise((resolve) => silent.once('close', resolve));
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = MappingService.watch;
  const unread = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
  unread.on('error', () => {});
  await new Promise((resolve) => unread.once('metadata', resolve));
  await stop();
  silent.resume();
  await closed;
  client.close();
  t.pass();
});

test('connections that come and go leave the server as it was', async (t) => {
  const { client, registry, socketPath } = await fixture(t);
  registry.set(NODE, mapping('a'), NOW);
  for (let round = 0; round < 300; round += 1) (await connected(socketPath)).destroy();
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      using short = new MappingClient(agentEndpoint(socketPath));
      t.is((await short.get({ namespace: 'shop', pod: 'a' })).mappings.length, 1);
    }),
  );
  t.is((await client.get({ namespace: 'shop', pod: 'a' })).mappings.length, 1);
});

test('I10: more connections than the server holds are closed at once, and it serves again when some go', async (t) => {
  const { registry, socketPath } = await fixture(t, { limits: { connections: { ofAll: 128, ofOne: 128 } } });
  registry.set(NODE, mapping('a'), NOW);
  const sockets = await Promise.all(Array.from({ length: 128 }, () => connected(socketPath)));
  const surplus = await connected(socketPath);
  await new Promise((resolve) => surplus.resume().once('close', resolve));
  for (const socket of sockets) socket.destroy();
  for (let answered = 0; answered !== 1; ) {
    using client = new MappingClient(agentEndpoint(socketPath));
    answered = await client.get({ namespace: 'shop', pod: 'a' }).then(
      ({ mappings }) => mappings.length,
      () => 0,
    );
  }
  t.pass();
});

/** A call as bytes, whatever they are; resolves to the gRPC status. */
async function raw(
  socketPath: string,
  path: string,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<number> {
  const session = connectHttp2('http://localhost', { createConnection: () => rawConnection(socketPath) });
  session.on('error', () => {});
  const { promise, resolve } = Promise.withResolvers<number>();
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const note = (received: Record<string, unknown>) => {
    if (received['grpc-status'] !== undefined) resolve(Number(received['grpc-status']));
  };
  stream.on('response', note).on('trailers', note).resume();
  stream.on('error', () => {});
  stream.on('close', () => resolve(-1));
  stream.end(body);
  return promise.finally(() => session.destroy());
}

function rawConnection(socketPath: string) {
  return connect({ path: socketPath });
}

function frame(message: Uint8Array, compressed = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

const GET = MappingService.get.path;
const bomb = gzipSync(Buffer.alloc(50_000_000));
const hostile: readonly (readonly [string, status, string, Buffer, Record<string, string>?])[] = [
  ['a message above 64 KiB', status.RESOURCE_EXHAUSTED, GET, frame(Buffer.alloc(65_537))],
  ['a length of 4 GiB', status.RESOURCE_EXHAUSTED, GET, frame(Buffer.alloc(10), 0, 0xffff_ffff)],
  ['a decompression bomb', status.RESOURCE_EXHAUSTED, GET, frame(bomb, 1), { 'grpc-encoding': 'gzip' }],
  ['broken gzip', status.INTERNAL, GET, frame(Buffer.from('no gzip'), 1), { 'grpc-encoding': 'gzip' }],
  ['an unknown compression', status.UNIMPLEMENTED, GET, frame(Buffer.alloc(3), 1), { 'grpc-encoding': 'br' }],
  ['bytes that are no message', status.INTERNAL, GET, frame(Buffer.from([0x0a, 0xff, 0xff, 0xff]))],
  ['invalid UTF-8', status.INTERNAL, GET, frame(Buffer.from([0x0a, 0x02, 0xc3, 0x28]))],
  ['no message at all', status.UNIMPLEMENTED, GET, Buffer.alloc(0)],
  ['two messages', status.UNIMPLEMENTED, GET, Buffer.concat([frame(Buffer.alloc(0)), frame(Buffer.alloc(0))])],
  ['a method that is none', status.UNIMPLEMENTED, `${GET}ter`, frame(Buffer.alloc(0))],
  ['a broken deadline', status.INTERNAL, GET, frame(Buffer.alloc(0)), { 'grpc-timeout': 'soon' }],
];
for (const [title, expected, path, body, headers] of hostile) {
  test(`V15: ${title} is refused and nothing else happens`, async (t) => {
    const { socketPath, client, registry } = await fixture(t);
    registry.set(NODE, mapping('a'), NOW);
    t.is(status[await raw(socketPath, path, body, headers)], status[expected]);
    t.is((await client.get({ namespace: 'shop', pod: 'a' })).mappings.length, 1);
  });
}

test('V16: a path without its slash reaches no handler', async (t) => {
  const { socketPath } = await fixture(t);
  t.is(await raw(socketPath, GET.slice(1), frame(Buffer.alloc(0))), -1);
});

test('V15: streams that are reset as soon as they are opened do not stop the server', async (t) => {
  const { socketPath, client, registry } = await fixture(t);
  registry.set(NODE, mapping('a'), NOW);
  const session = connectHttp2('http://localhost', { createConnection: () => rawConnection(socketPath) });
  session.on('error', () => {});
  for (let round = 0; round < 2_000 && !session.closed; round += 1) {
    const stream = session.request({ ':method': 'POST', ':path': GET, 'content-type': 'application/grpc' });
    stream.on('error', () => {});
    stream.close(8);
    if (round % 50 === 0) await turn();
  }
  t.is((await client.get({ namespace: 'shop', pod: 'a' })).mappings.length, 1);
  session.destroy();
});

test('what speaks no HTTP/2 is let go', async (t) => {
  const { socketPath, client } = await fixture(t);
  const socket = await connected(socketPath);
  const closed = new Promise((resolve) => socket.resume().once('close', resolve));
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await closed;
  t.deepEqual((await client.get({ namespace: 'a', pod: 'b' })).mappings, []);
});

test('V9: no bytes in a request crash the server', async (t) => {
  const { socketPath, client } = await fixture(t);
  const paths = [MappingService.get.path, MappingService.list.path, '/grpc.health.v1.Health/Check'];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), fc.uint8Array({ maxLength: 64 }), async (path, bytes) => {
      return (await raw(socketPath, path, frame(bytes))) >= 0;
    }),
    { numRuns: 150 },
  );
  t.deepEqual((await client.get({ namespace: 'a', pod: 'b' })).mappings, []);
});

test('a socket path is told when there is none', async (t) => {
  const path = join(dirname(await temporaryDirectory(t)), 'no-such-berth.sock');
  using client = new MappingClient(agentEndpoint(path));
  const error = await t.throwsAsync(client.get({ namespace: 'a', pod: 'b' }), { code: 'RPC_FAILED' });
  t.is(
    error.message,
    `there is no socket ${path}: is the agent running on this node? Start it, or name its socket with --socket`,
  );
});
