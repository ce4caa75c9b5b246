import { status } from '@grpc/grpc-js';
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { MappingClient, type WatchAnswer } from '../../daemon/rpc/client.ts';
import { toMessage, toView } from '../../daemon/rpc/convert.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import { type FollowEvent, follow, type Watchable } from '../../daemon/rpc/follow.ts';
import { fixture, mapping, NODE, NOW } from './fixture.ts';

const freshness = { nodesHeard: 1, nodesKnown: 1 };

function set(pod: string, hostPort = 20_000, since = NOW): WatchAnswer['changes'][number] {
  return { kind: 'set', mapping: toView(toMessage({ node: NODE, mapping: mapping(pod, { hostPort }), since }, [])) };
}

function deleted(pod: string): WatchAnswer['changes'][number] {
  return { kind: 'deleted', mapping: set(pod).mapping };
}

function failure(code: status): BerthError {
  return new BerthError('RPC_FAILED', status[code], { cause: Object.assign(new Error(), { code }) });
}

type Part = WatchAnswer['changes'] | 'synced' | status;

/** Connections that play their parts: changes, `synced`, and how they end. The revision counts the answers of all of them. */
function script(connections: readonly (readonly Part[])[], abort: AbortController) {
  const revisions: string[] = [];
  const delays: number[] = [];
  let sent = 0;
  let count = 0;
  const connect = (): Watchable => {
    const parts = connections[count] ?? [];
    count += 1;
    return {
      [Symbol.dispose]() {},
      async *watch(_filter, revision) {
        revisions.push(revision);
        let isSynced = revision !== '';
        for (const part of parts) {
          if (typeof part === 'number') throw failure(part);
          sent += 1;
          const synced = part === 'synced';
          isSynced ||= synced;
          yield { changes: synced ? [] : part, synced, revision: isSynced ? `r${sent}` : '', freshness };
        }
        abort.abort();
      },
    };
  };
  const delay = async (ms: number) => delays.push(ms);
  return { options: { connect, filter: {}, signal: abort.signal, random: () => 1, delay }, revisions, delays };
}

async function told(events: AsyncIterable<FollowEvent>): Promise<string[]> {
  const lines: string[] = [];
  for await (const event of events) {
    lines.push('mapping' in event ? `${event.kind} ${event.mapping.pod}:${event.mapping.hostPort}` : event.kind);
  }
  return lines;
}

async function play(...connections: readonly (readonly Part[])[]) {
  const { options, revisions, delays } = script(connections, new AbortController());
  return { lines: await told(follow(options)), revisions, delays };
}

test('the state, then changes', async (t) => {
  const { lines } = await play([[set('a'), set('b')], 'synced', [set('a', 20_001), deleted('b')], [set('c')]]);
  t.deepEqual(lines, ['live a:20000', 'live b:20000', 'synced', 'changed a:20001', 'gone b:20000', 'live c:20000']);
});

test('a connection that is lost is resumed where it was, and what was known stays known', async (t) => {
  const { lines, revisions } = await play(
    [[set('a')], 'synced', [set('b')], status.UNAVAILABLE],
    [[set('b', 20_001)], 'synced'],
  );
  t.deepEqual(lines, ['live a:20000', 'synced', 'live b:20000', 'lost', 'changed b:20001', 'synced']);
  t.deepEqual(revisions, ['', 'r3']);
});

test('when the revision is too old the whole state is taken anew and only what differs is told', async (t) => {
  const { lines, revisions, delays } = await play(
    [[set('same'), set('other'), set('gone')], 'synced', status.UNAVAILABLE],
    [status.OUT_OF_RANGE],
    [[set('same', 20_000, NOW + 60_000), set('other', 20_001)], [set('new')], 'synced', [set('new', 20_002)]],
  );
  t.deepEqual(lines.slice(4), [
    'lost',
    'changed other:20001',
    'live new:20000',
    'gone gone:20000',
    'synced',
    'changed new:20002',
  ]);
  t.deepEqual(revisions, ['', 'r2', '']);
  t.is(delays.length, 1);
});

test('a state that breaks off is taken again from its beginning, and nothing is told twice', async (t) => {
  const { lines } = await play(
    [[set('a'), set('b')], 'synced', status.UNAVAILABLE],
    [status.OUT_OF_RANGE],
    [[set('a')], status.UNAVAILABLE],
    [[set('a')], [set('c')], 'synced'],
  );
  t.deepEqual(lines.slice(3), ['lost', 'live c:20000', 'gone b:20000', 'synced']);
});

test('I10: the wait between attempts doubles up to 5 s, is told once, and starts over after a success', async (t) => {
  const down: Part[] = [status.UNAVAILABLE];
  const { lines, delays } = await play(
    ['synced', ...down],
    ...Array.from({ length: 8 }, () => down),
    ['synced', ...down],
    ['synced'],
  );
  t.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 100]);
  t.deepEqual(lines, ['synced', 'lost', 'synced', 'lost', 'synced']);
});

test('a server that answers OUT_OF_RANGE for ever is not asked in a tight loop', async (t) => {
  const never: Part[] = [status.OUT_OF_RANGE];
  const { delays } = await play(['synced', ...never], never, never, never, ['synced']);
  t.deepEqual(delays, [100, 200, 400]);
});

test('what never worked is an error at once', async (t) => {
  const { options } = script([[status.UNAVAILABLE]], new AbortController());
  await t.throwsAsync(told(follow(options)), { message: 'UNAVAILABLE' });
});

test('over a real socket it survives the restart of the agent and tells only what differs', async (t) => {
  const { registry, socketPath, restart } = await fixture(t);
  registry.set(NODE, mapping('a'), NOW);
  registry.set(NODE, mapping('b'), NOW);
  const abort = new AbortController();
  const events = follow({
    connect: () => new MappingClient(agentEndpoint(socketPath)),
    filter: {},
    signal: abort.signal,
  });
  const next = async () => {
    const { value } = await events.next();
    return value === undefined ? 'end' : 'mapping' in value ? `${value.kind} ${value.mapping.pod}` : value.kind;
  };
  t.deepEqual([await next(), await next(), await next()], ['live a', 'live b', 'synced']);

  const reborn = new MappingRegistry();
  reborn.set(NODE, mapping('b'), NOW + 60_000);
  reborn.set(NODE, mapping('c'), NOW + 60_000);
  const lost = next();
  await restart(reborn);
  t.is(await lost, 'lost');
  t.deepEqual([await next(), await next(), await next()], ['live c', 'gone a', 'synced']);

  reborn.delete(NODE, mapping('b').pod, 'web', 'TCP');
  t.is(await next(), 'gone b');
  const end = next();
  abort.abort();
  t.is(await end, 'end');
});
