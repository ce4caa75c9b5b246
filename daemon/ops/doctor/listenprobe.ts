/** Tries a port of a pod from the node, as softly as can be: a TCP connection that is closed at once, an empty UDP datagram. */
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { codeOf } from '../statedir.ts';
import type { Listening } from './facts.ts';

/** A pod answers within the round trip of a veth; a first packet may wait for ARP, a second. */
const TCP_MS = 2_000;
/** An ICMP refusal comes at once or not at all. */
const UDP_MS = 500;

/** Never rejects; takes at most two seconds. */
export async function probeListening(protocol: 'TCP' | 'UDP', podIP: string, port: number): Promise<Listening> {
  return protocol === 'TCP' ? probeTcp(podIP, port) : probeUdp(podIP, port);
}

async function probeTcp(host: string, port: number): Promise<Listening> {
  const { promise, resolve } = Promise.withResolvers<Listening>();
  const socket = connect({ host, port });
  socket.once('connect', () => resolve('answers'));
  socket.once('error', (error) => resolve(meaning(error)));
  const timer = setTimeout(() => resolve('is silent'), TCP_MS);
  const listening = await promise;
  clearTimeout(timer);
  socket.destroy();
  return listening;
}

async function probeUdp(host: string, port: number): Promise<Listening> {
  const { promise, resolve } = Promise.withResolvers<Listening>();
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  // An ICMP error is reported to a connected socket alone.
  socket.on('error', (error) => resolve(meaning(error)));
  socket.on('message', () => resolve('answers'));
  socket.once('connect', () => socket.send('', (error) => error && resolve(meaning(error))));
  socket.connect(port, host);
  const timer = setTimeout(() => resolve('is silent'), UDP_MS);
  const listening = await promise;
  clearTimeout(timer);
  socket.close();
  return listening;
}

function meaning(error: Error): Listening {
  switch (codeOf(error)) {
    case 'ECONNREFUSED':
    case 'ECONNRESET':
      return 'refuses';
    case 'ETIMEDOUT':
      return 'is silent';
    default:
      return 'is unreachable';
  }
}
