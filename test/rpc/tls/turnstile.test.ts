import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Turnstile } from '../../../daemon/rpc/tls/turnstile.ts';

interface Guests {
  readonly turnstile: Turnstile;
  /** Those whose turn came, in their order, with what they had said. */
  readonly begun: string[];
  readonly refused: string[];
  /** A client that says it, once that has been read. Resolves to both ends. */
  guest(said: string): Promise<{ readonly client: Socket; readonly raw: Socket }>;
  /** It comes to the turnstile now. */
  pass(raw: Socket): void;
  /** Lets the next turn of the loop begin what it may. */
  next(): void;
}

async function guests(t: ExecutionContext): Promise<Guests> {
  const due: (() => void)[] = [];
  const turnstile = new Turnstile({
    after: (_, act) => {
      due.push(act);
      return () => {};
    },
  });
  const [begun, refused, open]: [string[], string[], Socket[]] = [[], [], []];
  const server = createServer((raw) => open.push(raw.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return {
    turnstile,
    begun,
    refused,
    guest: async (said) => {
      const connected = once(server, 'connection');
      const client = connect(port, '127.0.0.1').on('error', () => {});
      open.push(client);
      client.write(said);
      const [raw] = (await connected) as [Socket];
      await once(raw, 'readable');
      return { client, raw };
    },
    pass: (raw) => {
      const refuse = (reason: string) => {
        refused.push(reason);
        raw.destroy();
      };
      turnstile.pass(raw, () => begun.push(String(raw.read())), refuse);
    },
    next: () => due.shift()?.(),
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

test('who comes alone is begun at once', async (t) => {
  const { guest, pass, begun, turnstile } = await guests(t);
  pass((await guest('hello')).raw);
  t.deepEqual(begun, ['hello']);
  t.is(turnstile.bytes, 0);
});

test('V14: of many who speak at once few are begun in a turn, in their order, and nothing that they said is lost', async (t) => {
  const { guest, pass, begun, next, turnstile } = await guests(t);
  const all = [];
  for (let index = 0; index < 10; index += 1) all.push(await guest(`hello ${index}`));
  for (const { raw } of all) pass(raw);
  t.deepEqual(begun, ['hello 0', 'hello 1', 'hello 2', 'hello 3']);
  // The rest of a ClientHello may come while it waits.
  const [last, before] = [all.at(-1), turnstile.bytes];
  last?.client.write(', the rest');
  await until(() => turnstile.bytes === before + 'hello N'.length * 6 + ', the rest'.length);
  next();
  t.is(begun.length, 8);
  next();
  t.deepEqual(begun.slice(4), ['hello 4', 'hello 5', 'hello 6', 'hello 7', 'hello 8', 'hello 9, the rest']);
  t.is(turnstile.bytes, 0);
});

for (const [how, go] of [
  ['ends its connection', (client: Socket) => client.end()],
  ['breaks it', (client: Socket) => client.resetAndDestroy()],
] as const) {
  test(`V14: who ${how} while it waits is not begun, and what it said is forgotten`, async (t) => {
    const { guest, pass, begun, next, turnstile } = await guests(t);
    const all = [];
    for (let index = 0; index < 6; index += 1) all.push(await guest(`hello ${index}`));
    for (const { raw } of all) pass(raw);
    const gone = all[4];
    go(gone?.client as Socket);
    await until(() => gone?.raw.destroyed === true);
    next();
    t.deepEqual(begun.slice(4), ['hello 5']);
    t.is(turnstile.bytes, 0);
  });
}

test('V14: who says more than a handshake begins with before its turn is refused', async (t) => {
  const { guest, pass, begun, refused, next, turnstile } = await guests(t);
  for (let index = 0; index < 4; index += 1) pass((await guest('hello')).raw);
  const { client, raw } = await guest('x');
  pass(raw);
  client.write('x'.repeat(100_000));
  await until(() => refused.length > 0);
  t.deepEqual(refused, ['more was sent than a handshake begins with']);
  next();
  t.is(begun.length, 4);
  t.is(turnstile.bytes, 0);
});
