import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { createTlsListener, type TlsListenerOptions } from '../../../daemon/rpc/tls/listener.ts';
import { turn } from '../fixture.ts';
import { authority, clientOf, serverOf } from './material.ts';

const ca = authority();
const identity = serverOf(ca);

interface Scene {
  readonly port: number;
  readonly taken: TLSSocket[];
  readonly refused: string[];
  readonly use: ReturnType<typeof createTlsListener>['use'];
  dial(options?: ConnectionOptions): Promise<TLSSocket>;
  bare(): Promise<Socket>;
}

async function scene(t: ExecutionContext, options: Partial<TlsListenerOptions> = {}): Promise<Scene> {
  const taken: TLSSocket[] = [];
  const refused: string[] = [];
  const open: Socket[] = [];
  const { server, use } = createTlsListener({
    material: identity,
    onConnection: (connection) => {
      taken.push(connection);
      connection.resume();
    },
    onRefused: (reason) => refused.push(reason),
    ...options,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.teardown(() => {
    for (const socket of [...open, ...taken]) socket.destroy();
    server.close();
  });
  return {
    port,
    taken,
    refused,
    use,
    dial: async (more = {}) => {
      const socket = connect({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: ca.cert,
        ALPNProtocols: ['h2'],
        ...more,
      });
      open.push(socket);
      await once(socket, 'secureConnect');
      return socket;
    },
    bare: async () => {
      const socket = connectTcp({ port, host: '127.0.0.1' });
      open.push(socket);
      await once(socket, 'connect');
      return socket;
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

test('HTTP/2 over TLS 1.2 and 1.3 is handed over', async (t) => {
  const { dial, taken } = await scene(t);
  t.is((await dial()).getProtocol(), 'TLSv1.3');
  t.is((await dial({ maxVersion: 'TLSv1.2' })).getProtocol(), 'TLSv1.2');
  await until(() => taken.length === 2);
  t.deepEqual(
    taken.map(({ alpnProtocol }) => alpnProtocol),
    ['h2', 'h2'],
  );
});

test('older versions of TLS, other protocols and what is no TLS at all are refused', async (t) => {
  const { dial, bare, taken, refused } = await scene(t);
  await t.throwsAsync(dial({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  await t.throwsAsync(dial({ ALPNProtocols: ['http/1.1'] }));
  const silent = await dial({ ALPNProtocols: [] });
  await once(silent, 'close');
  const plain = await bare();
  plain.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  plain.resume();
  await once(plain, 'close');
  await until(() => refused.length === 4);
  t.true(refused.includes('the client speaks no HTTP/2 (ALPN h2)'));
  t.deepEqual(taken, []);
});

test('a new certificate is shown to the next client; who is connected notices nothing', async (t) => {
  const { dial, use, taken } = await scene(t);
  const before = await dial();
  await until(() => taken.length === 1);
  const later = authority('later');
  use(serverOf(later));
  await t.throwsAsync(dial(), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
  await dial({ ca: later.cert });
  const heard = once(taken[0] as TLSSocket, 'data');
  before.write('still here');
  t.is(String((await heard)[0]), 'still here');
});

test('what OpenSSL cannot use is refused, and what was used stays', async (t) => {
  const { dial, use } = await scene(t);
  t.throws(() => use({ cert: 'no certificate', key: identity.key }));
  t.throws(() => use({ cert: identity.cert, key: serverOf(ca).key }));
  t.true((await dial()).authorized);
});

test('a client with a certificate of its authority is known by it; one without comes in unknown; a foreign one is refused', async (t) => {
  const clients = authority('clients');
  const { dial, taken, refused } = await scene(t, { material: { ...identity, clientAuthorities: clients.cert } });
  await dial(clientOf(clients, '/O=berth:readers/CN=reader'));
  await until(() => taken.length === 1);
  t.true(taken[0]?.authorized);
  t.is(taken[0]?.getPeerX509Certificate()?.subject, 'O=berth:readers\nCN=reader');
  await dial();
  await until(() => taken.length === 2);
  t.false(taken[1]?.authorized);
  const foreign = await dial(clientOf(ca, '/CN=reader'));
  foreign.on('error', () => {});
  foreign.resume();
  await once(foreign, 'close').catch(() => {});
  await until(() => refused.length === 1);
  t.regex(refused[0] ?? '', /^the certificate of the client is not accepted: /);
  t.is(taken.length, 2);
});

test('no session is resumed: authorities that were taken back would be trusted for as long as it lives', async (t) => {
  const { dial, port, taken } = await scene(t);
  await dial();
  await until(() => taken.length === 1);
  const { stdout: said } = await promisify(execFile)('sh', [
    '-c',
    `for v in -tls1_2 -tls1_3; do openssl s_client $v -alpn h2 -reconnect -connect 127.0.0.1:${port} </dev/null 2>/dev/null; done`,
  ]);
  t.true(said.includes('New, TLSv1.3') && said.includes('New, TLSv1.2'));
  t.false(said.includes('Reused'));
});

test('V14: a handshake that does not end is given up after its time', async (t) => {
  const { bare, refused } = await scene(t, { handshakeMs: 50 });
  const silent = await bare();
  silent.resume();
  await once(silent, 'close');
  t.deepEqual(refused, ['TLS handshake timeout']);
});

test('who goes without a word is told of, whether it ends or breaks the connection', async (t) => {
  const { bare, refused, taken } = await scene(t);
  (await bare()).end();
  await until(() => refused.length === 1);
  (await bare()).resetAndDestroy();
  await until(() => refused.length === 2);
  t.is(refused[0], 'the client said nothing');
  t.regex(refused[1] ?? '', /said nothing|ECONNRESET/);
  t.deepEqual(taken, []);
});

test('V14: of too many handshakes the oldest is given up, and who ends his comes in', async (t) => {
  const { bare, dial, taken } = await scene(t, { maxHandshakes: 10 });
  const silent: Socket[] = [];
  const closed: number[] = [];
  for (let count = 0; count < 30; count++) {
    const socket = await bare();
    socket.on('error', () => {});
    socket.once('close', () => closed.push(count));
    socket.resume();
    silent.push(socket);
  }
  await dial();
  await until(() => taken.length === 1 && closed.length >= 20);
  // The one that came in took a place for a moment.
  t.deepEqual(
    closed.slice(0, 20),
    Array.from({ length: 20 }, (_, index) => index),
  );
  t.true(closed.length <= 21);
});
