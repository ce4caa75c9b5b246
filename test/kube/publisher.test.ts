import test from 'ava';
import type { PodEvent, PodResult } from '../../daemon/core/vocabulary.ts';
import type { Fault } from '../../daemon/kube/api/apiserver.double.ts';
import type { ApiClient } from '../../daemon/kube/api/client.ts';
import type { StoredPod } from '../../daemon/kube/api/store.double.ts';
import { type ApiPod, decodeApiPod } from '../../daemon/kube/apipod.ts';
import { ApiPublisher } from '../../daemon/kube/publisher.ts';
import { numbered, type ObjectSpec, podObject } from './objects.ts';
import { ManualClock, until } from './scratch.ts';
import { clientOf } from './standin/connected.ts';
import { StandIn } from './standin/server.ts';

/** Retries are no farther away than this; the time limits of requests (15 s) and what was forbidden (60 s and more) are. */
const RETRY = 10_000;
const READY = { type: 'Ready', status: 'True', reason: 'kubelet', message: '' };
const status = (conditions: readonly object[]) => ({ phase: 'Running', podIPs: [{ ip: '10.0.0.7' }], conditions });

const MAPPED: PodResult = {
  annotations: { 'port.berth.dev/web': '23117', 'berth.dev/mappings': '[1]' },
  condition: { status: 'True', reason: 'PortsMapped', message: 'mapped: web 23117/TCP' },
};
const PENDING: PodResult = {
  annotations: { 'port.berth.dev/web': '23117' },
  condition: { status: 'False', reason: 'PodIPPending', message: 'later' },
};
const FULL: PodEvent = { type: 'Warning', reason: 'PoolExhausted', message: 'no number is free' };

class Scene implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly errors: string[] = [];
  readonly server: StandIn;
  readonly client: ApiClient;
  readonly publisher: ApiPublisher;

  private constructor(server: StandIn) {
    this.server = server;
    this.client = clientOf(server.url, this.clock);
    this.publisher = this.another();
  }

  static async start(): Promise<Scene> {
    return new Scene(await StandIn.start());
  }

  another(): ApiPublisher {
    const onError = ({ message }: Error) => this.errors.push(message);
    return new ApiPublisher({ client: this.client, node: 'node-a', clock: this.clock, random: () => 0.5, onError });
  }

  /** The pod is there, as the watch would tell it. */
  put(more: ObjectSpec = {}): ApiPod {
    return decodeApiPod(this.server.store.put(podObject({ status: status([READY]), ...more })));
  }

  pod(name = 'web'): StoredPod {
    const pod = this.server.store.pods.get(`shop/${name}`);
    if (pod === undefined) throw new Error(`there is no pod ${name}`);
    return pod;
  }

  condition(name = 'web') {
    return this.pod(name).status.conditions?.find(({ type }) => type === 'berth.dev/PortsMapped');
  }

  /** Until the condition holds, with retries as they come due. */
  run(condition: () => boolean): Promise<void> {
    return this.clock.runUntil(condition, RETRY);
  }

  /** Everything that was to be written is written. */
  async flush(): Promise<void> {
    await this.publisher.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

test('annotations and the condition are written at once, and nothing of others is touched', async (t) => {
  await using at = await Scene.start();
  at.publisher.publish(at.put({ annotations: { 'berth.dev/ports': '', theirs: 'x' } }), MAPPED);
  await at.run(() => at.condition() !== undefined);
  t.deepEqual(at.pod().metadata.annotations, { 'berth.dev/ports': '', theirs: 'x', ...MAPPED.annotations });
  t.deepEqual(at.pod().status.conditions, [
    READY,
    { type: 'berth.dev/PortsMapped', ...MAPPED.condition, lastTransitionTime: '2026-01-31T00:00:00Z' },
  ]);
  t.deepEqual(
    at.server.patches().map(({ path, headers, body }) => [path, headers['content-type'], body.metadata.uid]),
    [['/api/v1/namespaces/shop/pods/web/status', 'application/strategic-merge-patch+json', 'uid-1']],
  );
});

test('only what differs from what stands on the pod is written', async (t) => {
  await using at = await Scene.start();
  at.publisher.publish(at.put(), MAPPED);
  await at.run(() => at.condition() !== undefined);
  const restarted = at.another();
  restarted.publish(decodeApiPod(at.pod()), MAPPED);
  await restarted.flush();
  t.is(at.server.patches().length, 1);
  restarted.publish(decodeApiPod(at.pod()), { ...MAPPED, annotations: { 'port.berth.dev/web': '23117' } });
  await until(
    () => at.server.patches().length === 2 && at.pod().metadata.annotations['berth.dev/mappings'] === undefined,
  );
  t.deepEqual(at.server.patches().at(-1)?.body, {
    metadata: { uid: 'uid-1', annotations: { 'berth.dev/mappings': null } },
  });
});

test('a view that is older than the reply to a patch causes no second write', async (t) => {
  await using at = await Scene.start();
  const seen = at.put();
  at.publisher.publish(seen, MAPPED);
  await at.run(() => at.condition() !== undefined);
  at.publisher.publish({ ...seen }, MAPPED);
  await at.flush();
  t.is(at.server.patches().length, 1);
});

test('lastTransitionTime changes with the status, and with nothing else', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  at.publisher.publish(pod, PENDING);
  await at.run(() => at.condition()?.status === 'False');
  at.clock.advance(60_000);
  at.publisher.publish(pod, {
    ...PENDING,
    condition: { status: 'False', reason: 'PoolExhausted', message: 'none left' },
  });
  await at.run(() => at.condition()?.reason === 'PoolExhausted');
  t.is(at.condition()?.lastTransitionTime, '2026-01-31T00:00:00Z');
  at.publisher.publish(pod, MAPPED);
  await at.run(() => at.condition()?.status === 'True');
  t.is(at.condition()?.lastTransitionTime, '2026-01-31T00:01:00Z');
});

test('I2: a pod that loses its mappings is unready when its numbers go', async (t) => {
  await using at = await Scene.start();
  at.publisher.publish(at.put(), MAPPED);
  await at.run(() => at.condition() !== undefined);
  at.publisher.publish(decodeApiPod(at.pod()), { annotations: {} });
  await at.run(() => at.server.patches().length === 2);
  await at.flush();
  t.is(at.server.patches().length, 2);
  t.is(at.condition(), undefined);
  t.deepEqual(at.pod().status.conditions, [READY]);
  t.deepEqual(at.pod().metadata.annotations, { 'berth.dev/ports': '' });
});

test('I2: where it takes two writes the condition rises after the annotations and falls before them', async (t) => {
  await using at = await Scene.start();
  at.server.fault = ({ body }) =>
    body.metadata?.annotations !== undefined && body.status !== undefined ? { kind: 'status', code: 422 } : undefined;
  const parts = () =>
    at.server
      .patches()
      .map(({ body }) => [
        ...(body.metadata.annotations === undefined ? [] : ['annotations']),
        ...(body.status === undefined ? [] : ['condition']),
      ]);
  at.publisher.publish(at.put(), MAPPED);
  await at.run(() => at.condition() !== undefined);
  at.publisher.publish(decodeApiPod(at.pod()), { annotations: {} });
  await at.run(() => at.server.patches().length === 6);
  await at.flush();
  const both = ['annotations', 'condition'];
  t.deepEqual(parts(), [both, ['annotations'], ['condition'], both, ['condition'], ['annotations']]);
  t.deepEqual(at.errors, []);
});

test("the Galaxy key is written only where its user's request stands", async (t) => {
  await using at = await Scene.start();
  const result = { annotations: { 'tkestack.io/portmapping': '[]' } };
  at.publisher.publish(at.put({ annotations: { 'tkestack.io/portmapping': '' } }), result);
  at.publisher.publish(at.put({ name: 'other', uid: 'uid-2' }), result);
  await at.flush();
  t.is(at.pod().metadata.annotations['tkestack.io/portmapping'], '[]');
  t.is(at.pod('other').metadata.annotations['tkestack.io/portmapping'], undefined);
});

const PASSING: PodResult = {
  annotations: { 'port.berth.dev/web': '23117' },
  condition: { status: 'False', reason: 'RulesPending', message: 'soon' },
  passing: true,
};

test('what is soon something else costs no write of its own', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  at.publisher.publish(pod, PASSING);
  t.is(at.publisher.unfinished, 1);
  at.publisher.publish(pod, MAPPED);
  await at.clock.runUntil(() => at.condition() !== undefined, 0);
  await at.flush();
  t.is(at.condition()?.status, 'True');
  t.is(at.server.patches().length, 1);
  t.deepEqual(at.clock.pending, []);
});

test('what is soon something else costs no write while an earlier one is on its way', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  at.publisher.publish(pod, PENDING);
  at.publisher.publish(pod, PASSING);
  await until(() => at.clock.pending.includes(200));
  at.publisher.publish(pod, MAPPED);
  await at.clock.runUntil(() => at.condition()?.status === 'True', 0);
  t.is(at.server.patches().length, 2);
});

test('what was to be something else soon and is not is written after all, and at the end of the agent at once', async (t) => {
  await using at = await Scene.start();
  at.publisher.publish(at.put(), PASSING);
  t.deepEqual(at.clock.pending, [200]);
  await at.run(() => at.condition()?.reason === 'RulesPending');
  t.is(at.clock.monotonic(), 200);
  at.publisher.publish(at.put({ name: 'other', uid: 'uid-2' }), PASSING);
  await at.flush();
  t.is(at.condition('other')?.reason, 'RulesPending');
});

test('I2: what takes an announcement back does not wait, however soon another follows', async (t) => {
  await using at = await Scene.start();
  at.publisher.publish(at.put(), MAPPED);
  await at.run(() => at.condition()?.status === 'True');
  at.publisher.publish(decodeApiPod(at.pod()), PASSING);
  await at.clock.runUntil(() => at.condition()?.status === 'False', 0);
  t.is(at.pod().metadata.annotations['berth.dev/mappings'], undefined);
});

test('a Galaxy key that its user takes away while its result is on its way does not come back', async (t) => {
  await using at = await Scene.start();
  const result = { ...MAPPED, annotations: { ...MAPPED.annotations, 'tkestack.io/portmapping': '[2]' } };
  let left = 1;
  at.server.fault = ({ method }) => {
    if (method === 'PATCH' && left-- > 0) at.put();
    return undefined;
  };
  at.publisher.publish(at.put({ annotations: { 'berth.dev/ports': '', 'tkestack.io/portmapping': '' } }), result);
  await at.run(() => at.condition() !== undefined);
  t.deepEqual(at.pod().metadata.annotations, { 'berth.dev/ports': '', ...MAPPED.annotations });
  t.deepEqual(at.errors, [], 'that somebody else wrote is no failure');
});

test('the newest result replaces what was still to be written', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  at.server.fault = () => ({ kind: 'status', code: 500 });
  at.publisher.publish(pod, PENDING);
  await until(() => at.errors.length === 1);
  at.publisher.publish(pod, MAPPED);
  at.server.fault = () => undefined;
  await at.run(() => at.condition() !== undefined);
  t.is(at.condition()?.status, 'True');
  t.is(at.server.patches().length, 2, 'the one that failed, and the newest');
});

const FAULTS: readonly (readonly [string, Fault])[] = [
  ['500', { kind: 'status', code: 500 }],
  ['409 of another writer', { kind: 'status', code: 409, reason: 'Conflict' }],
  ['garbage', { kind: 'text', text: 'oops' }],
  ['a broken connection', { kind: 'refuseConnection' }],
  ['an applied patch whose reply is lost', { kind: 'replyLost' }],
];

for (const [what, fault] of FAULTS) {
  test(`I8: ${what} is tried again for that pod, and delays no other`, async (t) => {
    await using at = await Scene.start();
    let left = 5;
    at.server.fault = ({ method, path }) =>
      method === 'PATCH' && path.includes('/pods/web') && left-- > 0 ? fault : undefined;
    at.publisher.publish(at.put(), MAPPED);
    at.publisher.publish(at.put({ name: 'other', uid: 'uid-2' }), MAPPED);
    await at.clock.runUntil(() => at.condition('other') !== undefined, 0);
    await at.run(() => left <= 0 && at.condition() !== undefined);
    await at.flush();
    t.deepEqual(at.pod().metadata.annotations, { 'berth.dev/ports': '', ...MAPPED.annotations });
    t.is(at.condition()?.lastTransitionTime, '2026-01-31T00:00:00Z');
    t.regex(at.errors[0] ?? '', /^cannot tell pod shop\/web where it stands: .*; it is tried again$/s);
  });
}

test('Retry-After is honoured for the pod that met it', async (t) => {
  await using at = await Scene.start();
  let left = 1;
  at.server.fault = () => (left-- > 0 ? { kind: 'status', code: 429, retryAfter: 9 } : undefined);
  at.publisher.publish(at.put(), MAPPED);
  await until(() => at.errors.length === 1);
  t.deepEqual(at.clock.pending, [9_000]);
  await at.run(() => at.condition() !== undefined);
  t.is(at.clock.monotonic(), 9_000);
});

for (const refusal of [409, 422] as const) {
  test(`what was meant for a former life of the pod is dropped (another uid answered by ${refusal})`, async (t) => {
    await using at = await Scene.start();
    at.server.api.resources.uidRefusal = refusal;
    const former = at.put();
    at.put({ uid: 'uid-2' });
    at.publisher.publish(former, MAPPED);
    await until(() => at.server.asked.some(({ method }) => method === 'GET'));
    await at.flush();
    t.is(at.server.patches().length, 1);
    t.deepEqual(at.pod().metadata.annotations, { 'berth.dev/ports': '' });
    t.deepEqual(at.errors, []);
  });
}

test('a pod that is deleted between promise and announcement is no failure', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  at.publisher.publish(pod, PENDING);
  await at.run(() => at.condition() !== undefined);
  at.server.store.remove('shop/web');
  at.publisher.publish(pod, MAPPED);
  await at.run(() => at.server.patches().length === 2);
  await at.flush();
  t.deepEqual([at.errors, at.clock.pending], [[], []]);
});

test('what is forgotten is not written any more, and leaves no timer behind', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  at.server.fault = () => ({ kind: 'status', code: 500 });
  at.publisher.publish(pod, MAPPED);
  await until(() => at.errors.length === 1);
  at.publisher.forget(pod);
  t.deepEqual(at.clock.pending, []);
});

test('403 is reported once with its remedy, and heals', async (t) => {
  await using at = await Scene.start();
  at.server.fault = ({ method }) =>
    method === 'PATCH' ? { kind: 'status', code: 403, reason: 'Forbidden' } : undefined;
  at.publisher.publish(at.put(), MAPPED);
  at.publisher.publish(at.put({ name: 'other', uid: 'uid-2' }), MAPPED);
  await at.run(() => at.server.patches().length === 6 && at.clock.pending.length === 2);
  t.is(at.errors.length, 1);
  t.regex(at.errors[0] ?? '', /may not patch pods\/status: .*allow the agent's service account to patch pods\/status/);
  at.server.fault = () => undefined;
  at.clock.advance(120_000);
  await at.run(() => at.condition() !== undefined && at.condition('other') !== undefined);
  t.is(at.pod('other').metadata.annotations['port.berth.dev/web'], '23117');
  t.is(at.server.patches().length, 8);
});

test('an admission that forbids one part does not keep the other from being written', async (t) => {
  await using at = await Scene.start();
  at.server.fault = ({ body }) =>
    body.metadata?.annotations === undefined ? undefined : { kind: 'status', code: 403, reason: 'Forbidden' };
  at.publisher.publish(at.put(), MAPPED);
  await at.run(() => at.condition() !== undefined);
  t.deepEqual(at.pod().metadata.annotations, { 'berth.dev/ports': '' });
  t.is(at.errors.length, 1);
});

test('403 on Events is reported once, and costs the results nothing', async (t) => {
  await using at = await Scene.start();
  at.server.fault = ({ path }) =>
    path.includes('/events') ? { kind: 'status', code: 403, reason: 'Forbidden' } : undefined;
  const pod = at.put();
  at.publisher.event(pod, FULL);
  at.publisher.event(pod, { ...FULL, message: 'another' });
  at.publisher.publish(pod, MAPPED);
  await at.run(() => at.condition() !== undefined && at.errors.length > 0);
  await at.flush();
  t.is(at.errors.length, 1);
  t.regex(at.errors[0] ?? '', /may not create events/);
  t.deepEqual(at.clock.pending, []);
});

test('annotations that do not fit on the pod (256 KiB) are not tried for ever, and the condition is written all the same', async (t) => {
  await using at = await Scene.start();
  const pod = at.put({ annotations: { 'berth.dev/ports': '', theirs: 'x'.repeat(256 * 1024 - 60) } });
  at.publisher.publish(pod, MAPPED);
  await at.run(() => at.condition() !== undefined);
  at.publisher.publish(decodeApiPod(at.pod()), MAPPED);
  await at.flush();
  t.is(at.server.patches().length, 3, 'both, the annotations, the condition');
  t.regex(at.errors[0] ?? '', /shop\/web.*Too long.*not tried again until there is something else to write/);
  t.is(at.errors.length, 1);
});

test('foreign edits of what the agent wrote are overwritten, ever more slowly', async (t) => {
  await using at = await Scene.start();
  at.publisher.publish(at.put(), MAPPED);
  await at.run(() => at.condition() !== undefined);
  await until(() => at.clock.pending.length === 0);
  const waits: number[] = [];
  for (let round = 0; round < 5; round++) {
    const object = structuredClone(at.pod());
    object.metadata.annotations['port.berth.dev/web'] = '1';
    at.publisher.publish(decodeApiPod(at.server.store.put(object)), MAPPED);
    waits.push(at.clock.pending[0] ?? 0);
    await at.run(
      () => at.pod().metadata.annotations['port.berth.dev/web'] === '23117' && at.clock.pending.length === 0,
    );
  }
  t.deepEqual(waits, [150, 300, 600, 1_200, 2_400]);
  t.is(at.errors.length, 1);
  t.regex(at.errors[0] ?? '', /somebody changes again and again/);
});

test('the same Event again is counted, not written anew, by the next agent too', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  const stands = () => [...at.server.store.events.values()];
  const count = () => stands()[0]?.count;
  at.publisher.event(pod, FULL);
  await until(() => stands().length === 1 && at.clock.pending.length === 0);
  at.clock.advance(5_000);
  at.publisher.event(pod, FULL);
  await until(() => count() === 2 && at.clock.pending.length === 0);
  t.like(stands()[0], {
    firstTimestamp: '2026-01-31T00:00:00Z',
    lastTimestamp: '2026-01-31T00:00:05Z',
    involvedObject: { kind: 'Pod', namespace: 'shop', name: 'web', uid: 'uid-1' },
    message: FULL.message,
  });
  at.clock.advance(5_000);
  const next = at.another();
  next.event(pod, FULL);
  await at.run(() => count() === 3);
  t.is(stands().length, 1);
});

test('an Event whose reply is lost is counted once, and one that has run out is written anew', async (t) => {
  await using at = await Scene.start();
  const pod = at.put();
  let left = 1;
  at.server.fault = ({ method }) => (method === 'POST' && left-- > 0 ? { kind: 'replyLost' } : undefined);
  at.publisher.event(pod, FULL);
  await at.run(() => at.server.asked.some(({ method }) => method === 'PATCH'));
  await until(() => at.clock.pending.length === 0);
  t.deepEqual(
    [...at.server.store.events.values()].map(({ count }) => count),
    [1],
  );
  at.server.store.events.clear();
  at.publisher.event(pod, FULL);
  await at.run(() => at.server.store.events.size === 1);
  t.deepEqual(
    [...at.server.store.events.values()].map(({ count }) => count),
    [1],
  );
});

test('I10: writes keep to 50 at once and 10 a second, results before Events', async (t) => {
  await using at = await Scene.start();
  for (let index = 0; index < 60; index++)
    at.publisher.event(at.put({ name: `e-${index}`, uid: `uid-e-${index}` }), FULL);
  for (let index = 0; index < 60; index++) {
    at.publisher.publish(decodeApiPod(at.server.store.put(numbered(index))), { annotations: MAPPED.annotations });
  }
  const written = () => at.server.patches().length + at.server.store.events.size;
  await at.clock.runUntil(() => written() === 50, 0);
  const early = at.server.store.events.size;
  for (const total of [60, 70, 80]) {
    for (let tick = 0; tick < 10; tick++) {
      await until(() => at.clock.pending.includes(100));
      at.clock.advance(100);
    }
    await until(() => written() === total);
  }
  t.is(at.server.patches().length, 60);
  t.true(early <= 8, 'those that were on their way before there was a result');
});

test('I10: of an Event that an earlier agent wrote every request counts', async (t) => {
  await using at = await Scene.start();
  const pods = Array.from({ length: 30 }, (_, index) => at.put({ name: `e-${index}`, uid: `uid-e-${index}` }));
  for (const pod of pods) at.publisher.event(pod, FULL);
  await until(() => at.server.store.events.size === 30 && at.clock.pending.length === 0);
  const before = at.server.asked.length;
  const next = at.another();
  at.clock.advance(1_000);
  for (const pod of pods) next.event(pod, FULL);
  // Each is created in vain, looked at, and counted: 90 requests.
  await until(() => at.server.asked.length === before + 50 && at.clock.pending.length === 1);
  t.deepEqual(at.clock.pending, [100]);
  await at.run(() => [...at.server.store.events.values()].every(({ count }) => count === 2));
  t.is(at.server.asked.length, before + 90);
});

test('flush writes what can be written and leaves nothing running', async (t) => {
  await using at = await Scene.start();
  at.server.fault = ({ path }) => (path.includes('/pods/web') ? { kind: 'status', code: 500 } : undefined);
  at.publisher.publish(at.put(), MAPPED);
  at.publisher.publish(at.put({ name: 'other', uid: 'uid-2' }), MAPPED);
  await until(() => at.errors.length === 1);
  await at.flush();
  t.is(at.condition('other')?.status, 'True');
  t.deepEqual(at.clock.pending, []);
});
