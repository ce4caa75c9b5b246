/**
 * What runs in a pod of the demonstration: an HTTP server that says who it is and whom it sees, a slow download, and a UDP
 * server that does the same. Arguments: the pod's name, the HTTP port, the UDP port.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { CHUNKS, chunkOf } from './download.ts';

const [name = 'pod', httpPort = '8080', udpPort = '9000'] = process.argv.slice(2);
const chunk = chunkOf(name);

const http = createServer((request, response) => {
  if (request.url === '/download') void download().catch(() => response.destroy());
  else response.end(`pod ${name} sees ${request.socket.remoteAddress}\n`);

  /** In some four seconds: long enough for an agent to die and come back meanwhile. */
  async function download(): Promise<void> {
    for (let piece = 0; piece < CHUNKS; piece++) {
      if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve));
      await setTimeout(25);
    }
    response.end();
  }
});

const udp = createSocket('udp4');
udp.on('message', (message, from) =>
  udp.send(`pod ${name} sees ${from.address}, heard ${message}`, from.port, from.address),
);

http.listen(Number(httpPort), '0.0.0.0', () => udp.bind(Number(udpPort), '0.0.0.0', () => console.log('listening')));
