/** What those who may open the agent's socket can make it hold, over real sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { MappingClient } from '../../daemon/rpc/client.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import { AGENT_LIMITS } from '../../daemon/rpc/server.ts';
import { MappingService } from '../../proto/service.ts';
import { eventually } from './clusterfixture.ts';
import { connected, type Fixture, fixture, mapping, NODE, NOW } from './fixture.ts';
import { framed, openCall } from './rawcall.ts';

const MB = 1024 * 1024;
const GREEDY = join(import.meta.dirname, 'greedy.ts');
const OTHER = 1234;

interface Told {
  readonly statuses: Readonly<Record<string, number>>;
  readonly lost: number;
}

/** One page has about 85 KB. */
async function filled(t: ExecutionContext, options: Parameters<typeof fixture>[1] = {}): Promise<Fixture> {
  const made = await fixture(t, options);
  for (let index = 0; index < 2_000; index++) {
    made.registry.set(NODE, mapping(`p-${index}`, { hostPort: 20_000 + index }), NOW);
  }
  return made;
}

/** What it said last is kept up to date. */
function greedy(
  t: ExecutionContext,
  { socketPath }: Fixture,
  connections: number,
  calls: number,
  identity: { readonly uid?: number } = {},
): { readonly child: ChildProcess; readonly last: () => Told } {
  const child = spawn(process.execPath, [GREEDY, socketPath, String(connections), String(calls)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...identity,
  });
  t.teardown(() => child.kill('SIGKILL'));
  let last: Told = { statuses: {}, lost: 0 };
  createInterface({ input: child.stdout as Readable }).on('line', (line) => {
    last = JSON.parse(line) as Told;
  });
  return { child, last: () => last };
}

test.serial('V15: a neighbour that asks and reads nothing is refused beyond a bound, and costs little', async (t) => {
  const server = await filled(t);
  const { client } = server;
  t.is((await client.get({ namespace: 'shop', pod: 'p-1' })).mappings.length, 1);
  const before = process.memoryUsage().rss;
  // Where nothing was bounded these were 6,300 answers of 85 KB each.
  const { last } = greedy(t, server, 63, 100);
  const held = () => 6_300 - (last().statuses['8'] ?? 0);
  const bound = Math.ceil(AGENT_LIMITS.outbox.ofCaller / 80_000);
  await eventually(() => held() <= bound);
  const growth = (process.memoryUsage().rss - before) / MB;
  t.log(`${held()} answers are held, ${Math.round(growth)} MB more`);
  t.true(held() > 50);
  t.true(growth < 150, `${growth} MB`);
});

test.serial('V15: what one user does not read keeps no answer from another', async (t) => {
  if (process.getuid?.() !== 0) return t.pass('only root can start a process of another user');
  const server = await filled(t, {
    limits: { outbox: { ...AGENT_LIMITS.outbox, ofConnection: 500_000, ofCaller: 300_000, ofAll: 1_000_000 } },
  });
  const { client, socketPath } = server;
  chmodSync(dirname(socketPath), 0o755);
  chmodSync(socketPath, 0o666);
  const { last } = greedy(t, server, 4, 10, { uid: OTHER });
  await eventually(() => (last().statuses['8'] ?? 0) > 30);
  let listed = 0;
  for await (const { mappings } of client.list({})) listed += mappings.length;
  t.is(listed, 2_000);
});

test.serial(
  'V15: a neighbour that does not take the end of a call loses its connection, and no other does',
  async (t) => {
    const server = await filled(t, { limits: { outbox: { ...AGENT_LIMITS.outbox, takenMs: 100 } } });
    const { client, socketPath } = server;
    const watch = client.watch({}, '');
    await watch.next();
    const quiet = await connected(socketPath);
    const { last } = greedy(t, server, 2, 1);
    await eventually(() => last().lost === 2);
    server.registry.set(NODE, mapping('later'), NOW);
    let seen = false;
    for await (const { changes } of { [Symbol.asyncIterator]: () => watch }) {
      seen = changes.some(({ mapping: { pod } }) => pod === 'later');
      if (seen) break;
    }
    t.true(seen);
    t.false(quiet.destroyed);
    quiet.destroy();
  },
);

test.serial('I10: one user cannot have all connections', async (t) => {
  if (process.getuid?.() !== 0) return t.pass('only root can start a process of another user');
  const { client, socketPath, registry } = await fixture(t);
  registry.set(NODE, mapping('a'), NOW);
  chmodSync(dirname(socketPath), 0o755);
  chmodSync(socketPath, 0o666);
  const opener = `
    const { connect } = require('node:net');
    let closed = 0;
    for (let count = 0; count < 200; count++) {
      connect(${JSON.stringify(socketPath)}).resume().on('error', () => {}).on('close', () => console.log(++closed));
    }
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['-e', opener], { uid: OTHER, stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const surplus = 200 - AGENT_LIMITS.connections.ofOne;
  let closed = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    closed = Number(line);
  });
  await eventually(() => closed >= surplus);
  using mine = new MappingClient(agentEndpoint(socketPath));
  t.is((await mine.get({ namespace: 'shop', pod: 'a' })).mappings.length, 1);
  t.is((await client.get({ namespace: 'shop', pod: 'a' })).mappings.length, 1);
  t.is(closed, surplus);
});

test.serial('I10: one user cannot have all watches', async (t) => {
  const { client } = await fixture(t);
  const { ofOne } = AGENT_LIMITS.watchers;
  const watches = Array.from({ length: ofOne }, () => client.watch({}, ''));
  await Promise.all(watches.map((watch) => watch.next()));
  await t.throwsAsync(client.watch({}, '').next(), { message: /at most 32 watches of one client at once/ });
  for (const watch of watches) await watch.return(undefined);
});

test.serial('V15: requests that do not end are few at the socket too', async (t) => {
  const inbox = { ...AGENT_LIMITS.inbox, requests: { ofAll: 5, ofOne: 5 }, single: { bytes: 1_000, ms: 200 } };
  const { socketPath, client } = await fixture(t, { limits: { inbox } });
  const session = connectHttp2('http://localhost', { createConnection: () => connect({ path: socketPath }) });
  session.on('error', () => {});
  t.teardown(() => session.destroy());
  await once(session, 'remoteSettings');
  const codes = await Promise.all(
    Array.from({ length: 8 }, () => {
      const call = openCall(session, MappingService.list.path);
      call.write(framed(Buffer.alloc(10), 0, 100));
      return call.status;
    }),
  );
  t.deepEqual(codes.toSorted(), ['4', '4', '4', '4', '4', '8', '8', '8']);
  t.deepEqual((await client.get({ namespace: 'a', pod: 'b' })).mappings, []);
});
