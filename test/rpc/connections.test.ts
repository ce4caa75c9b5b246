/** Connections from one address: how many there may be, before anything of TLS or HTTP/2 is begun with them. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { createTlsListener } from '../../daemon/rpc/tls/listener.ts';
import { HealthService } from '../../proto/service.ts';
import { aggregator, ask, clientOf, eventually } from './clusterfixture.ts';
import { serverOf } from './tls/material.ts';
import { CA, dial, list, owner, secured } from './tls/secured.ts';

const LIMITS = { connections: { ofAll: 10, ofOne: 3 } };

/** Its own address is one of this host: all of 127.0.0.0/8 is. */
async function from(t: ExecutionContext, localAddress: string, address: string): Promise<Socket> {
  const socket = connect({ port: Number(address.split(':').at(-1)), host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** What the other end said before it closed. */
async function said(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

test('I10: an address has so many connections; others come in, and who goes makes room', async (t) => {
  const refused: string[] = [];
  const { address } = await aggregator(t, { server: LIMITS, onRefused: (reason) => refused.push(reason) });
  const held = await Promise.all(Array.from({ length: 3 }, () => from(t, '127.0.0.7', address)));
  t.is(await said(await from(t, '127.0.0.7', address)), '');
  t.deepEqual(refused, ['more than 3 connections from 127.0.0.7']);
  t.like(await ask(clientOf(t, address), HealthService.check, {}), { status: 1 });
  held[0]?.destroy();
  // HTTP/2 greets whom it has.
  for (let greeted = false; !greeted; ) {
    const socket = await from(t, '127.0.0.7', address);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    greeted = await Promise.race([once(socket, 'data').then(() => true), once(socket, 'close').then(() => false)]);
  }
});

test('I10: all addresses together have so many', async (t) => {
  const { address } = await aggregator(t, { server: LIMITS });
  const open = await Promise.all(
    Array.from({ length: 10 }, (_, index) => from(t, `127.0.0.${10 + (index % 5)}`, address)),
  );
  t.is(await said(await from(t, '127.0.0.20', address)), '');
  t.true(open.every(({ destroyed }) => !destroyed));
});

test('I10: a connection too many is closed before its handshake, and takes no place from one that is under way', async (t) => {
  const handshakes: string[] = [];
  const { address, tokens, rights } = await secured(t, {
    server: LIMITS,
    createListener: (take) => {
      const onRefused = (why: string) => handshakes.push(why);
      const { server } = createTlsListener({ material: serverOf(CA), onConnection: take, onRefused, maxHandshakes: 4 });
      return server;
    },
  });
  tokens.set('ann', owner('ann'));
  rights.add('ann list *');
  const half = await Promise.all(Array.from({ length: 3 }, () => from(t, '127.0.0.7', address)));
  for (let count = 0; count < 20; count++) {
    const socket = await from(t, '127.0.0.7', address);
    const tls = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    tls.on('error', () => {});
    t.is(await said(socket), '');
  }
  t.is(await list(dial(t, address, { token: 'ann' })), 'OK');
  t.deepEqual(handshakes, []);
  t.true(half.every(({ destroyed }) => !destroyed));
  for (const socket of half) socket.destroy();
  await eventually(() => handshakes.length === 3);
});
