/**
 * A process that asks an agent and reads nothing, so that the agent's memory is told apart:
 *
 *     SOCKET CONNECTIONS CALLS      so many connections with so many calls of List each; it prints how they were answered, as JSON, once
 *                                   every one was answered or lost its connection, and goes on to stand
 */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { MappingService } from '../../proto/service.ts';
import { framed, rawCallOn } from './rawcall.ts';

const [path = '', connections, calls] = process.argv.slice(2);
const question = framed(MappingService.list.requestSerialize({ pageSize: 1_000 }));
const statuses: Record<string, number> = {};
let lost = 0;

function tell(): void {
  process.stdout.write(`${JSON.stringify({ statuses, lost })}\n`);
}

for (let index = 0; index < Number(connections); index++) {
  const session = connectHttp2('http://localhost', {
    createConnection: () => connect({ path }),
    // The end of a call may be told, and nothing else.
    settings: { initialWindowSize: 0 },
  });
  session.on('error', () => {});
  session.once('close', () => {
    lost += 1;
    tell();
  });
  await Promise.race([once(session, 'localSettings'), once(session, 'close')]).catch(() => {});
  if (session.destroyed) continue;
  for (let count = 0; count < Number(calls); count++) {
    void rawCallOn(session, MappingService.list.path, question, { unread: true }).then((status) => {
      statuses[status] = (statuses[status] ?? 0) + 1;
      tell();
    });
  }
}
tell();
