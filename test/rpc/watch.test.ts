import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import test from 'ava';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { MappingClient, type WatchAnswer } from '../../daemon/rpc/client.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import { statusOf } from '../../daemon/rpc/failure.ts';
import { type berth, MappingService } from '../../proto/service.ts';
import { fixture, mapping, NODE, NOW, shown, turn, until } from './fixture.ts';

const synced = (answer: WatchAnswer) => answer.synced;
const any = () => true;

test('a watch gives the present state, then says synced, then gives changes', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('b'), NOW);
  registry.set(NODE, mapping('a'), NOW);
  const answers = client.watch({}, '');

  const [state] = await until(answers, synced);
  t.deepEqual(shown(state ? [state] : []), ['set a:20000', 'set b:20000']);
  t.deepEqual(state?.freshness, { lastHeard: NOW, nodesHeard: 1, nodesKnown: 1 });

  registry.set(NODE, mapping('a', { hostPort: 20_001 }), NOW);
  t.deepEqual(shown(await until(answers, any)), ['set a:20001']);
  registry.delete(NODE, mapping('b').pod, 'web', 'TCP');
  t.deepEqual(shown(await until(answers, any)), ['deleted b:20000']);
  await answers.return(undefined);
});

test('an empty registry is synced at once', async (t) => {
  const { client } = await fixture(t);
  const answers = client.watch({}, '');
  t.deepEqual(shown(await until(answers, synced)), []);
  await answers.return(undefined);
});

test('changes made together arrive together', async (t) => {
  const { registry, client } = await fixture(t);
  const answers = client.watch({}, '');
  await until(answers, synced);
  for (let index = 0; index < 250; index += 1) registry.set(NODE, mapping(`p-${index}`), NOW);
  const [batch] = await until(answers, any);
  t.is(batch?.changes.length, 250);
  await answers.return(undefined);
});

test('a state that is too large for one message comes in several, and only the last one says synced', async (t) => {
  const { registry, client } = await fixture(t);
  for (let index = 0; index < 3_000; index += 1) registry.set(NODE, mapping(`p-${index}`), NOW);
  const answers = client.watch({}, '');
  const state = await until(answers, synced);
  t.true(state.length > 1);
  t.true(state.slice(0, -1).every((answer) => answer.revision === ''));
  t.is(shown(state).length, 3_000);
  await answers.return(undefined);
});

test('a watch with a filter tells what comes to match and what matches no more', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('in', { pool: 'games' }), NOW);
  registry.set(NODE, mapping('out'), NOW);
  const answers = client.watch({ pool: 'games' }, '');
  t.deepEqual(shown(await until(answers, synced)), ['set in:20000']);

  registry.set(NODE, mapping('out', { hostPort: 20_001 }), NOW);
  registry.set(NODE, mapping('out', { pool: 'games' }), NOW);
  t.deepEqual(shown(await until(answers, any)), ['set out:20000']);
  registry.set(NODE, mapping('in', { pool: 'other' }), NOW);
  t.deepEqual(shown(await until(answers, any)), ['deleted in:20000']);
  await answers.return(undefined);
});

test('a watch resumes where another one ended: only what changed since, then synced', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('stays'), NOW);
  registry.set(NODE, mapping('goes'), NOW);
  const first = client.watch({}, '');
  const { revision } = (await until(first, synced)).at(-1) as WatchAnswer;
  await first.return(undefined);

  registry.set(NODE, mapping('comes'), NOW);
  registry.set(NODE, mapping('comes', { hostPort: 20_009 }), NOW);
  registry.delete(NODE, mapping('goes').pod, 'web', 'TCP');
  const second = client.watch({}, revision);
  t.deepEqual(shown(await until(second, synced)), ['set comes:20009', 'deleted goes:20000']);
  await second.return(undefined);

  const third = client.watch({}, revision);
  t.is(shown(await until(third, synced)).length, 2);
  await third.return(undefined);
});

test('resuming when nothing changed is synced at once and can be resumed again', async (t) => {
  const { registry, client } = await fixture(t);
  registry.set(NODE, mapping('a'), NOW);
  const first = client.watch({}, '');
  const { revision } = (await until(first, synced)).at(-1) as WatchAnswer;
  await first.return(undefined);
  const second = client.watch({}, revision);
  const [answer] = await until(second, synced);
  t.deepEqual([answer?.changes, answer?.revision], [[], revision]);
  await second.return(undefined);
});

test('a revision of another process is OUT_OF_RANGE', async (t) => {
  const one = await fixture(t);
  const other = await fixture(t);
  const watch = one.client.watch({}, '');
  const { revision } = (await until(watch, synced)).at(-1) as WatchAnswer;
  await watch.return(undefined);
  const error = await t.throwsAsync(other.client.watch({}, revision).next());
  t.is(statusOf(error), status.OUT_OF_RANGE);
});

for (const token of ['x', '1', '.', 'a.b', `${'0'.repeat(36)}.1`, 'über.1']) {
  test(`a revision that no server of today made (${token}) is OUT_OF_RANGE too: the remedy is the same`, async (t) => {
    const { client } = await fixture(t);
    const error = await t.throwsAsync(client.watch({}, token).next());
    t.is(statusOf(error), status.OUT_OF_RANGE);
  });
}

test('V23: a revision of this process that has not been yet, or is beyond 2^53, is OUT_OF_RANGE', async (t) => {
  const { client } = await fixture(t);
  const watch = client.watch({}, '');
  const { revision } = (await until(watch, synced)).at(-1) as WatchAnswer;
  await watch.return(undefined);
  const instance = revision.slice(0, revision.lastIndexOf('.'));
  for (const number of ['1', '9007199254740993', '-1', '1e3', '']) {
    const error = await t.throwsAsync(client.watch({}, `${instance}.${number}`).next());
    t.is(statusOf(error), status.OUT_OF_RANGE, number);
  }
});

test('a revision that is longer than any is refused', async (t) => {
  const { client } = await fixture(t);
  const error = await t.throwsAsync(client.watch({}, 'r'.repeat(254)).next());
  t.is(statusOf(error), status.INVALID_ARGUMENT);
});

test('I10: a revision that fell out of the history is OUT_OF_RANGE', async (t) => {
  const { registry, client } = await fixture(t, { registry: new MappingRegistry(10) });
  const first = client.watch({}, '');
  const { revision } = (await until(first, synced)).at(-1) as WatchAnswer;
  await first.return(undefined);
  for (let port = 1; port <= 11; port += 1) registry.set(NODE, mapping('a', { hostPort: port }), NOW);
  const error = await t.throwsAsync(client.watch({}, revision).next());
  t.is(statusOf(error), status.OUT_OF_RANGE);
});

test('two clients see the same changes, and one that leaves does not disturb the other', async (t) => {
  const { registry, client, socketPath } = await fixture(t);
  using other = new MappingClient(agentEndpoint(socketPath));
  const one = client.watch({}, '');
  const two = other.watch({}, '');
  await Promise.all([until(one, synced), until(two, synced)]);
  registry.set(NODE, mapping('a'), NOW);
  t.deepEqual(shown(await until(one, any)), ['set a:20000']);
  t.deepEqual(shown(await until(two, any)), ['set a:20000']);
  await one.return(undefined);
  registry.delete(NODE, mapping('a').pod, 'web', 'TCP');
  t.deepEqual(shown(await until(two, any)), ['deleted a:20000']);
  await two.return(undefined);
});

/** A watch whose answers pile up until somebody reads: nothing is taken off the connection meanwhile. */
function slowWatch(socketPath: string) {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = MappingService.watch;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
  return { stream, answers: stream[Symbol.asyncIterator](), close: () => client.close() };
}

/** About 3 KiB on the wire: what connections buffer is full after some dozens. */
const allowFrom = Array.from({ length: 64 }, (_, index) => ({
  family: 6 as const,
  text: `2001:db8:aaaa:bbbb:cccc:dddd:eeee:${(0x1000 + index).toString(16)}/128`,
}));

test('I10: a client that reads slowly gets only the latest state of what changed meanwhile', async (t) => {
  const { registry, socketPath } = await fixture(t);
  const { stream, answers, close } = slowWatch(socketPath);
  t.true((await answers.next()).value.synced);
  for (let step = 1; step <= 3_000; step += 1) {
    registry.set(NODE, mapping(`p-${step % 10}`, { hostPort: step, allowFrom }), NOW);
    await turn();
  }
  const ports = new Map<string, number>();
  let heard = 0;
  for (let last = 0; last !== 3_000; ) {
    const answer: berth.v1.WatchResponse.$Shape = (await answers.next()).value;
    for (const { set } of answer.changes ?? []) {
      heard += 1;
      last = set?.hostPort ?? 0;
      ports.set(set?.pod ?? '', last);
    }
  }
  t.log(`${heard} of 3,000 changes were sent`);
  t.true(heard < 1_000);
  t.deepEqual([...ports.values()].sort(), [2_991, 2_992, 2_993, 2_994, 2_995, 2_996, 2_997, 2_998, 2_999, 3_000]);
  stream.cancel();
  await t.throwsAsync(answers.next());
  close();
});

test('I10: a client slower than the history is cut with RESOURCE_EXHAUSTED, and the others are not', async (t) => {
  const { registry, client, socketPath } = await fixture(t, { registry: new MappingRegistry(100) });
  const { answers, close } = slowWatch(socketPath);
  t.true((await answers.next()).value.synced);
  const other = client.watch({}, '');
  await until(other, synced);
  for (let step = 1; step <= 1_000; step += 1) {
    registry.set(NODE, mapping(`p-${step}`, { allowFrom }), NOW);
    await until(other, any);
  }
  const error = await t.throwsAsync<ServiceError>(
    (async () => {
      for (;;) if ((await answers.next()).done) return;
    })(),
  );
  t.is(error.code, status.RESOURCE_EXHAUSTED);
  t.regex(error.details, /reads too slowly/);
  registry.delete(NODE, mapping('p-1').pod, 'web', 'TCP');
  t.deepEqual(shown(await until(other, any)), ['deleted p-1:20000']);
  await other.return(undefined);
  close();
});

test('I10: a client has at most 32 watches at once, and one that ends makes room', async (t) => {
  const { client } = await fixture(t);
  const watches = Array.from({ length: 32 }, () => client.watch({}, ''));
  await Promise.all(watches.map((watch) => until(watch, synced)));
  const error = await t.throwsAsync(client.watch({}, '').next(), { message: /at most 32 watches of one client/ });
  t.is(statusOf(error), status.RESOURCE_EXHAUSTED);
  await watches[0]?.return(undefined);
  for (let admitted = false; !admitted; ) {
    const next = client.watch({}, '');
    watches.push(next);
    admitted = await next.next().then(
      () => true,
      () => false,
    );
  }
  for (const watch of watches) await watch.return(undefined);
  t.pass();
});

test('200 watches that are given up at once leave nothing behind', async (t) => {
  const { registry, client } = await fixture(t);
  for (let round = 0; round < 200; round += 1) {
    const watch = client.watch({}, '', AbortSignal.abort());
    t.true((await watch.next()).done);
  }
  const answers = client.watch({}, '');
  await until(answers, synced);
  registry.set(NODE, mapping('a'), NOW);
  t.deepEqual(shown(await until(answers, any)), ['set a:20000']);
  await answers.return(undefined);
});

test('aborting ends a watch without an error', async (t) => {
  const { client } = await fixture(t);
  const abort = new AbortController();
  const answers = client.watch({}, '', abort.signal);
  await until(answers, synced);
  const next = answers.next();
  abort.abort();
  t.true((await next).done);
});

test('a server that stops ends its watches with UNAVAILABLE', async (t) => {
  const { client, stop } = await fixture(t);
  const answers = client.watch({}, '');
  await until(answers, synced);
  const next = answers.next();
  await stop();
  t.is(statusOf(await t.throwsAsync(next)), status.UNAVAILABLE);
});
