import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import test from 'ava';
import { probeListening } from '../../../daemon/ops/doctor/listenprobe.ts';

test('a TCP port answers while somebody listens, and refuses afterwards', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.is(await probeListening('TCP', '127.0.0.1', port), 'answers');
  server.close();
  await once(server, 'close');
  t.is(await probeListening('TCP', '127.0.0.1', port), 'refuses');
});

test('a UDP port answers, is silent or refuses, as whoever is there does', async (t) => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  t.is(await probeListening('UDP', '127.0.0.1', port), 'is silent');
  socket.on('message', (_, { port: client, address }) => socket.send('here', client, address));
  t.is(await probeListening('UDP', '127.0.0.1', port), 'answers');
  socket.close();
  await once(socket, 'close');
  t.is(await probeListening('UDP', '127.0.0.1', port), 'refuses');
});
