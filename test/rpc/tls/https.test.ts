import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { TlsAuthenticator } from '../../../daemon/rpc/authentication.ts';
import { denial } from '../../../daemon/rpc/httpgate.ts';
import { httpsMaker } from '../../../daemon/rpc/tls/https.ts';
import { authority, clientOf, serverOf } from './material.ts';

const CA = authority();
const CLIENTS = authority('clients');

/** A server that lets in by certificate alone. */
async function serving(t: ExecutionContext, limits: { readonly maxHandshakes?: number } = {}) {
  const refused: string[] = [];
  const maker = httpsMaker({
    material: { ...serverOf(CA), clientAuthorities: CLIENTS.cert },
    onRefused: (reason) => refused.push(reason),
    ...limits,
  });
  const authenticator = new TlsAuthenticator();
  const server = maker.createServer({}, async (asked, response) => {
    const denied = await denial(authenticator, asked, '/metrics', (error) => t.fail(error.message));
    response.writeHead(denied?.status ?? 200).end(denied?.text ?? 'served');
  });
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const get = async (identity: object = {}, ca = CA.cert) => {
    const asked = request({ host: '127.0.0.1', port, ca, agent: false, servername: 'localhost', ...identity });
    asked.end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return [response.statusCode, (await response.toArray()).join('')] as const;
  };
  return { maker, port, get, refused };
}

test('a certificate of a reader lets in, one of an agent does not, and a foreign one gets no answer', async (t) => {
  const { get, refused } = await serving(t);
  t.deepEqual(await get(clientOf(CLIENTS, '/O=berth:readers/CN=prometheus')), [200, 'served']);
  t.deepEqual(await get(clientOf(CLIENTS, '/O=berth:agents/CN=node-a')), [403, 'the caller may not get /metrics\n']);
  t.is((await get(clientOf(CLIENTS, '/O=others/CN=prometheus')))[0], 401);
  t.is((await get())[0], 401);
  await t.throwsAsync(get(clientOf(authority('foreign'), '/O=berth:readers/CN=prometheus')));
  t.regex(refused[0] ?? '', /^the certificate of the client is not accepted: /);
});

test('a new certificate is shown to the next client', async (t) => {
  const { maker, get } = await serving(t);
  t.is((await get())[0], 401);
  const next = authority('next');
  maker.use({ ...serverOf(next), clientAuthorities: CLIENTS.cert });
  await t.throwsAsync(get());
  t.is((await get({}, next.cert))[0], 401);
});

test('V14: of too many handshakes the oldest is given up, and who ends his is served', async (t) => {
  const { port, get } = await serving(t, { maxHandshakes: 2 });
  const silent = Array.from({ length: 5 }, () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    return once(socket, 'close');
  });
  t.is((await get())[0], 401);
  await Promise.all(silent.slice(0, 3));
  t.pass();
});
