import test from 'ava';
import { ApiError } from '../../daemon/kube/api/apierror.ts';
import type { Fault } from '../../daemon/kube/api/apiserver.double.ts';
import type { ApiClient } from '../../daemon/kube/api/client.ts';
import { Reflector } from '../../daemon/kube/reflector.ts';
import { numbered, podObject } from './objects.ts';
import { ManualClock, until, Watching } from './scratch.ts';
import { clientOf } from './standin/connected.ts';
import { kindOf, StandIn } from './standin/server.ts';

const IDLE = 150_000;
/** No wait of the reflector is longer than this by itself; its watch and its time limits are. */
const RETRY = 10_000;

interface Scene extends AsyncDisposable {
  readonly server: StandIn;
  readonly clock: ManualClock;
  readonly client: ApiClient;
  readonly source: Reflector;
  readonly watching: Watching;
}

async function scene(prepare: (server: StandIn) => void = () => {}): Promise<Scene> {
  const server = await StandIn.start();
  prepare(server);
  const clock = new ManualClock();
  const client = clientOf(server.url, clock);
  const source = new Reflector({
    client,
    node: 'node-a',
    clock,
    random: () => 0.5,
    reconnectCapMs: 8_000,
    idleMs: IDLE,
  });
  const watching = new Watching(source);
  return {
    server,
    clock,
    client,
    source,
    watching,
    async [Symbol.asyncDispose]() {
      await watching.end();
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Listed, and watching. */
async function settled({ server, watching, clock }: Scene): Promise<void> {
  await clock.runUntil(() => server.watches === 1 && watching.news.some((one) => one.startsWith('listed')), RETRY);
  // The client knows that its watch has begun.
  await until(() => clock.pending[0] === IDLE);
}

/** This fault for the first `times` requests of this kind. */
function first(server: StandIn, kind: string, fault: Fault, times = 1): void {
  let left = times;
  server.fault = (asked) => (kindOf(asked) === kind && left-- > 0 ? fault : undefined);
}

const LIST = 'GET /api/v1/pods';

test('pods are listed from the cache, then every change is told as it happens', async (t) => {
  await using at = await scene((server) => {
    server.store.put(podObject());
    server.store.put(podObject({ name: 'elsewhere', uid: 'uid-9', spec: { nodeName: 'node-b' } }));
  });
  await settled(at);
  const { server, watching, clock } = at;
  t.deepEqual(watching.news.splice(0), ['listed web']);
  server.store.put(podObject({ name: 'new', uid: 'uid-2' }));
  server.store.put(podObject({ status: { podIPs: [{ ip: '10.0.0.9' }] } }));
  server.store.remove('shop/new');
  await clock.runUntil(() => watching.news.length === 3, 0);
  t.deepEqual(watching.news, ['changed new', 'changed web', 'deleted new uid-2']);
  t.deepEqual(watching.pods.get('web')?.podIPs, ['10.0.0.9']);
  const [list, watch] = server.asked;
  t.is(list?.query.resourceVersion, '0');
  t.is(list?.query.fieldSelector, 'spec.nodeName=node-a');
  t.is(list?.headers.authorization, 'Bearer of-tests');
  t.is(watch?.query.allowWatchBookmarks, 'true');
  t.deepEqual(watching.errors, []);
});

test('the condition that stands on a pod is known', async (t) => {
  const condition = {
    type: 'berth.dev/PortsMapped',
    status: 'True',
    reason: 'x',
    message: 'y',
    lastTransitionTime: 'z',
  };
  await using at = await scene((server) => {
    server.store.put(
      podObject({ status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }, condition] } }),
    );
  });
  await settled(at);
  t.true(at.watching.pods.get('web')?.conditioned);
});

test('a watch that ends goes on from the last revision, a bookmark included', async (t) => {
  await using at = await scene((server) => server.store.put(podObject()));
  await settled(at);
  const { server, watching, clock } = at;
  server.store.put(podObject({ name: 'other', uid: 'uid-2', spec: { nodeName: 'node-b' } }));
  server.bookmark();
  clock.advance(6_000);
  server.endWatches();
  await clock.runUntil(() => server.count('watch') === 2, RETRY);
  t.is(server.asked.at(-1)?.query.resourceVersion, `${server.store.revision}`);
  t.is(server.count(LIST), 1);
  t.deepEqual(watching.errors, []);
});

const FAULTS: readonly (readonly [string, Fault])[] = [
  ['500', { kind: 'status', code: 500 }],
  ['403', { kind: 'status', code: 403, reason: 'Forbidden' }],
  ['garbage', { kind: 'text', text: '<html>' }],
  ['an answer of another kind', { kind: 'text', text: '{"kind":"Pod"}\n' }],
  ['half an answer', { kind: 'text', text: '{"type":"ADDED","object":{"metadata":{"resourceVersion":"10', cut: true }],
  ['a broken connection', { kind: 'refuseConnection' }],
  ['silence', { kind: 'silence' }],
];

for (const [what, fault] of FAULTS) {
  test(`${what} instead of a list is reported, and asked again`, async (t) => {
    await using at = await scene((server) => {
      server.store.put(podObject());
      first(server, LIST, fault, 3);
    });
    const { server, watching, clock } = at;
    for (let attempt = 1; attempt <= 3; attempt++) {
      await clock.runUntil(() => server.count(LIST) === attempt, RETRY);
      if (fault.kind === 'silence') clock.advance(15_000);
    }
    await clock.runUntil(() => watching.news.includes('listed web'), RETRY);
    t.is(server.count(LIST), 4);
    t.is(watching.errors.length, 3);
    t.true(watching.errors.every((error) => error instanceof ApiError));
    t.true(clock.monotonic() >= 350 * 0.75, 'it waits longer each time');
  });

  test(`${what} instead of a watch loses no change`, async (t) => {
    await using at = await scene((server) => {
      server.store.put(podObject());
      first(server, 'watch', fault, 2);
    });
    const { server, watching, clock } = at;
    await watching.heard('listed web');
    server.store.put(podObject({ name: 'new', uid: 'uid-2' }));
    for (let attempt = 1; attempt <= 2; attempt++) {
      await clock.runUntil(() => server.count('watch') === attempt, RETRY);
      if (fault.kind === 'silence') clock.advance(15_000);
    }
    await clock.runUntil(() => watching.news.includes('changed new'), RETRY);
    t.is(server.count(LIST), 1);
    t.is(server.count('watch'), 3);
  });
}

test('garbage and half a line in the middle of a watch lose no change', async (t) => {
  await using at = await scene((server) => server.store.put(podObject()));
  await settled(at);
  const { server, watching, clock } = at;
  server.say('\n{"type":"ADDED","object":{"meta');
  server.endWatches(false);
  server.store.put(podObject({ name: 'second', uid: 'uid-2' }));
  await clock.runUntil(() => watching.news.includes('changed second') && server.watches === 1, RETRY);
  server.say('no JSON\n');
  server.store.put(podObject({ name: 'third', uid: 'uid-3' }));
  await clock.runUntil(() => watching.news.includes('changed third'), RETRY);
  t.is(server.count(LIST), 1);
  t.deepEqual([...watching.pods.keys()].sort(), ['second', 'third', 'web']);
});

test('a watch that has gone silent is opened anew', async (t) => {
  await using at = await scene((server) => server.store.put(podObject()));
  await settled(at);
  const { server, watching, clock } = at;
  clock.advance(IDLE - 1);
  server.bookmark();
  await clock.runUntil(() => clock.pending[0] === IDLE, 0);
  clock.advance(IDLE);
  await clock.runUntil(() => server.count('watch') === 2, RETRY);
  t.regex(watching.errors[0]?.message ?? '', /has gone silent/);
});

test('Retry-After is honoured', async (t) => {
  await using at = await scene((server) => first(server, LIST, { kind: 'status', code: 429, retryAfter: 7 }));
  const { server, watching, clock } = at;
  await until(() => watching.errors.length === 1);
  await clock.runUntil(() => clock.pending.length > 0, 0);
  t.is(clock.pending[0], 7_000);
  await clock.runUntil(() => watching.news.includes('listed '.trim()), RETRY);
  t.is(server.count(LIST), 2);
});

test('attempts never end, and are never farther apart than the cap', async (t) => {
  await using at = await scene((server) => first(server, LIST, { kind: 'refuseConnection' }, 40));
  const { server, watching, clock } = at;
  await clock.runUntil(() => server.watches === 1, RETRY);
  t.is(watching.errors.length, 40);
  t.true(clock.monotonic() < 40 * 8_000);
});

for (const [how, expire] of [
  ['an event', (server: StandIn) => server.store.compact()],
  ['a status', (server: StandIn) => first(server, 'watch', { kind: 'status', code: 410, reason: 'Expired' })],
] as const) {
  test(`a revision that is no longer kept (410 as ${how}) is no failure: everything is listed anew, and not from before`, async (t) => {
    await using at = await scene((server) => server.store.put(podObject()));
    await settled(at);
    const { server, watching, clock } = at;
    const seen = server.store.revision;
    server.endWatches(false);
    await until(() => server.watches === 0);
    server.store.remove('shop/web');
    server.store.put(podObject({ name: 'new', uid: 'uid-2' }));
    expire(server);
    await clock.runUntil(() => watching.news.includes('listed new'), RETRY);
    const relist = server.asked.filter((one) => kindOf(one) === LIST).at(-1);
    t.is(relist?.query.resourceVersionMatch, 'NotOlderThan');
    t.is(relist?.query.resourceVersion, `${seen}`);
    t.true(watching.errors.length <= 1, 'the broken connection alone');
  });
}

test('a server that is behind is asked for what is so now', async (t) => {
  await using at = await scene((server) => server.store.put(podObject()));
  await settled(at);
  const { server, watching, clock } = at;
  server.store.put(podObject({ name: 'new', uid: 'uid-2' }));
  await until(() => watching.news.includes('changed new'));
  watching.news.length = 0;
  server.api.resources.oldList = { items: [], revision: 100 };
  server.store.compact();
  first(server, 'watch', { kind: 'status', code: 410 });
  server.endWatches();
  await clock.runUntil(() => watching.news.includes('listed web new'), RETRY);
  t.deepEqual(server.asked.filter((one) => kindOf(one) === LIST).at(-1)?.query, {
    fieldSelector: 'spec.nodeName=node-a',
    limit: '500',
  });
});

test('what is so now is read in pages, and all at once when the revision of the first page is no longer kept', async (t) => {
  await using at = await scene((server) => {
    for (let index = 1; index <= 1_001; index++) server.store.put(podObject({ name: `pod-${index}`, uid: `${index}` }));
  });
  const { server, source } = at;
  const pages = () => server.asked.filter((one) => kindOf(one) === LIST && one.query.resourceVersion === undefined);
  t.is((await source.list()).length, 1_001);
  t.deepEqual(
    pages().map(({ query }) => query.limit),
    ['500', '500', '500'],
  );
  t.is(new Set(pages().map(({ query }) => query.continue)).size, 3);
  server.fault = ({ query }) => {
    if (query.continue !== undefined) server.store.compacted = server.store.revision + 1;
    return undefined;
  };
  t.is((await source.list()).length, 1_001);
  t.deepEqual(pages().at(-1)?.query, { fieldSelector: 'spec.nodeName=node-a' });
  t.is(pages().length, 6);
});

test('the first list may be old; the watch from its revision catches up', async (t) => {
  await using at = await scene((server) => {
    const old = server.store.put(podObject());
    server.api.resources.oldList = { items: [old], revision: server.store.revision };
    server.store.remove('shop/web');
    server.store.put(podObject({ name: 'new', uid: 'uid-2' }));
  });
  const { watching, clock } = at;
  await clock.runUntil(() => watching.news.length === 3, 0);
  t.deepEqual(watching.news, ['listed web', 'deleted web uid-1', 'changed new']);
});

test('I6: what a watch that is behind tells of a pod is passed over where a newer answer was given', async (t) => {
  const pending = (step: string) => podObject({ metadata: { labels: { step } }, status: { phase: 'Pending' } });
  await using at = await scene((server) => {
    const old = server.store.put(pending('1'));
    server.api.resources.oldList = { items: [old], revision: server.store.revision };
    server.store.put(pending('2'));
    server.store.put(podObject());
    first(server, 'watch', { kind: 'status', code: 503 });
  });
  const { watching, clock, source, server } = at;
  await until(() => watching.news.includes('failed'));
  t.deepEqual((await source.get('shop', 'web'))?.podIPs, ['10.0.0.7']);
  await clock.runUntil(() => watching.news.includes('changed web'), RETRY);
  t.deepEqual(watching.pods.get('web')?.podIPs, ['10.0.0.7']);
  server.store.put(podObject({ annotations: { 'berth.dev/ports': 'web' } }));
  await until(() => watching.pods.get('web')?.annotations['berth.dev/ports'] === 'web');
  t.deepEqual(watching.news, ['listed web', 'failed', 'changed web', 'changed web']);
});

test('I8: a pod that cannot be understood hides no other', async (t) => {
  await using at = await scene((server) => {
    server.store.put(podObject({ name: 'bad', uid: 'uid-bad', spec: { containers: [] } }));
    server.store.put(podObject());
  });
  await settled(at);
  const { server, watching } = at;
  t.true(watching.news.includes('listed web'));
  t.is(watching.errors[0]?.message, 'pod shop/bad: spec.containers must be a list of at least one container');
  server.store.put(podObject({ name: 'new', uid: 'uid-2' }));
  await until(() => watching.news.includes('changed new'));
});

test('a pod is asked for by name: here, on another node, nowhere, and not to be known', async (t) => {
  await using at = await scene((server) => {
    server.store.put(podObject());
    server.store.put(podObject({ name: 'moved', uid: 'uid-2', spec: { nodeName: 'node-b' } }));
  });
  const { server, source } = at;
  t.is((await source.get('shop', 'web'))?.uid, 'uid-1');
  t.is(await source.get('shop', 'moved'), undefined);
  t.is(await source.get('shop', 'none'), undefined);
  t.deepEqual(
    (await source.list()).map(({ name }) => name),
    ['web'],
  );
  server.fault = () => ({ kind: 'status', code: 503 });
  await t.throwsAsync(source.get('shop', 'web'), { code: 'API_REFUSED' });
  await t.throwsAsync(source.list(), { code: 'API_REFUSED' });
});

test('1,000 pods that appear and vanish leave nothing behind', async (t) => {
  await using at = await scene();
  await settled(at);
  const { server, watching, clock } = at;
  for (let index = 0; index < 1_000; index++) server.store.put(numbered(index));
  await until(() => watching.pods.size === 1_000);
  for (let index = 0; index < 1_000; index++) server.store.remove(`shop/pod-${index}`);
  await until(() => watching.pods.size === 0);
  t.is(clock.pending.length, 1, 'the time limit of the watch alone');
  t.deepEqual(watching.errors, []);
});
