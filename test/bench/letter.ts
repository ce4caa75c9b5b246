/** A server in a pod: tells every client its letter and hangs up. Arguments: the letter, the port. */
import { createServer } from 'node:net';

const [letter = '', port = ''] = process.argv.slice(2);
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.end(letter);
});
server.listen({ port: Number(port), host: '0.0.0.0', backlog: 1_024 }, () => process.send?.('listening'));
