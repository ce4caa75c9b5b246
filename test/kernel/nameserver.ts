/**
 * A name server that answers as it is told, as a process of its own in a namespace, over UDP and TCP:
 *
 *     nameserver.ts      on a message of its parent, a Mood, it goes on so until the next one, and says how many questions came before
 */
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { HEAD, MOODS, type Mood } from './moods.ts';

let current: Mood = { mood: 'silent', addresses: [] };
let questions = 0;
process.on('message', (next: Mood) => {
  process.send?.({ mood: current.mood, questions });
  current = next;
  questions = 0;
});
const answers = (query: Buffer, tcp: boolean) => {
  questions += 1;
  if (query.length < HEAD + 5) return [];
  return MOODS[current.mood]({ query, tcp, addresses: current.addresses });
};
const udp = createSocket('udp4');
udp.on('message', (query, from) => {
  for (const said of answers(query, false)) udp.send(said.subarray(0, 4_096), from.port, from.address);
});
const tcp = createServer((connection: Socket) => {
  connection.on('error', () => {});
  let rest = Buffer.alloc(0);
  connection.on('data', (data: Buffer) => {
    rest = Buffer.concat([rest, data]);
    // A resolver asks for both families at once.
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0);
      for (const said of answers(rest.subarray(2, end), true)) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(Math.min(65_535, said.length));
        connection.write(Buffer.concat([length, said]));
      }
      rest = rest.subarray(end);
    }
  });
});
udp.bind(53, '127.0.0.1', () => tcp.listen(53, '127.0.0.1', () => process.send?.({ mood: 'listening', questions: 0 })));
process.once('disconnect', () => process.exit());
