import test from 'ava';
import type { Pod, PodEvent, PodResult } from '../../daemon/core/vocabulary.ts';
import { DirectorySource } from '../../daemon/kube/directory.ts';
import { decodePod } from '../../daemon/kube/pod.ts';
import { PublisherDouble } from '../../daemon/kube/publisher.double.ts';
import { PodSourceDouble } from '../../daemon/kube/source.double.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import type { PodSource } from '../../daemon/reconcile/ports.ts';
import { numbered, type ObjectSpec } from './objects.ts';
import { Scratch, until, Watching } from './scratch.ts';

const pod = (index: number, more: ObjectSpec = {}): Pod => decodePod(numbered(index, more));

/** A source with a way to change its pods. */
interface Subject extends Disposable {
  readonly source: PodSource;
  set(index: number, more?: ObjectSpec): void;
  delete(index: number): void;
}

const subjects: Readonly<Record<string, () => Subject>> = {
  'the directory'() {
    const scratch = new Scratch();
    return {
      source: new DirectorySource(scratch.path, { clock: systemClock }),
      set: (index, more) => scratch.put(`${index}.yaml`, numbered(index, more)),
      delete: (index) => scratch.remove(`${index}.yaml`),
      [Symbol.dispose]: () => scratch[Symbol.dispose](),
    };
  },
  'the double'() {
    const source = new PodSourceDouble();
    return {
      source,
      set: (index, more) => source.set(pod(index, more)),
      delete: (index) => source.delete('shop', `pod-${index}`),
      [Symbol.dispose]: () => {},
    };
  },
};

for (const [name, create] of Object.entries(subjects)) {
  test(`${name} lists first, then tells of each change, and ends with its signal`, async (t) => {
    using subject = create();
    subject.set(1);
    const watching = new Watching(subject.source);
    await watching.heard('listed pod-1');
    subject.set(2);
    await watching.heard('changed pod-2');
    subject.set(1, { uid: 'uid-9' });
    await until(() => watching.news.length > 1);
    t.deepEqual(watching.news.splice(0), ['deleted pod-1 uid-1', 'changed pod-1']);
    subject.delete(2);
    await watching.heard('deleted pod-2 uid-2');
    t.is((await subject.source.get('shop', 'pod-1'))?.uid, 'uid-9');
    t.is(await subject.source.get('shop', 'pod-2'), undefined);
    t.deepEqual(
      (await subject.source.list?.())?.map(({ uid }) => uid),
      ['uid-9'],
    );
    await watching.end();
    subject.set(3);
    await subject.source.get('shop', 'pod-3');
    t.deepEqual(watching.news, []);
  });
}

test('news that are held back come in the order that the test wants, repeated or lost', async (t) => {
  const source = new PodSourceDouble();
  await using watching = new Watching(source);
  source.hold();
  source.set(pod(1));
  source.set(pod(2));
  source.delete('shop', 'pod-1');
  t.deepEqual(watching.news, ['listed']);
  source.release(([one, two]) => [two, one, two].filter((news) => news !== undefined));
  t.deepEqual(watching.news, ['listed', 'changed pod-2', 'changed pod-1', 'changed pod-2']);
  source.set(pod(3));
  t.is(watching.news.at(-1), 'changed pod-3');
});

test('an old list can be told while get knows better', async (t) => {
  const source = new PodSourceDouble([pod(1)]);
  await using watching = new Watching(source);
  const old = source.pods;
  source.set(pod(2));
  source.relist(old);
  t.is(watching.news.at(-1), 'listed pod-1');
  t.is((await source.get('shop', 'pod-2'))?.uid, 'uid-2');
  t.deepEqual(source.gets, ['shop/pod-2']);
});

test('a source that is away says so, answers nothing, and lists anew when it is back', async (t) => {
  const source = new PodSourceDouble([pod(1)]);
  await using watching = new Watching(source);
  source.fail();
  source.set(pod(2));
  await t.throwsAsync(source.get('shop', 'pod-1'), { code: 'PODS_UNREADABLE' });
  await t.throwsAsync(source.list(), { code: 'PODS_UNREADABLE' });
  source.recover();
  t.deepEqual(watching.news, ['listed pod-1', 'failed', 'listed pod-1 pod-2']);
  source.getFault = new Error('time out');
  await t.throwsAsync(source.get('shop', 'pod-1'), { message: 'time out' });
});

test('a watch that begins while the source is away hears of it', async (t) => {
  const source = new PodSourceDouble();
  source.fail();
  await using watching = new Watching(source);
  t.deepEqual(watching.news, ['failed']);
});

test('written annotations come back as a change of the pod, if it is still the same', async (t) => {
  const source = new PodSourceDouble([pod(1)]);
  await using watching = new Watching(source);
  t.true(source.annotate(pod(1), { 'port.berth.dev/web': '20000' }));
  t.is(watching.news.at(-1), 'changed pod-1');
  t.is(watching.pods.get('pod-1')?.annotations['port.berth.dev/web'], '20000');
  t.false(source.annotate({ ...pod(1), uid: 'uid-9' }, {}));
});

const result = (port: number): PodResult => ({ annotations: { 'port.berth.dev/web': `${port}` } });
const event: PodEvent = { type: 'Normal', reason: 'PortsMapped', message: 'mapped' };

test('the publisher remembers what stands on each pod and writes nothing twice', (t) => {
  const publisher = new PublisherDouble();
  publisher.publish(pod(1), result(1));
  publisher.publish(pod(1), result(1));
  publisher.event(pod(1), event);
  publisher.publish(pod(2), result(2));
  t.is(publisher.writes, 3);
  t.deepEqual(publisher.results.get('uid-1'), result(1));
  t.deepEqual(publisher.events.get('uid-1'), [event]);
  publisher.forget(pod(1));
  t.false(publisher.results.has('uid-1'));
  t.deepEqual(publisher.forgotten, ['uid-1']);
});

test('a lost write is made when it is tried again, with the newest result', (t) => {
  const publisher = new PublisherDouble();
  publisher.fault = ({ uid }) => (uid === 'uid-1' ? 'lost' : undefined);
  publisher.publish(pod(1), result(1));
  publisher.event(pod(1), event);
  publisher.publish(pod(1), result(2));
  publisher.publish(pod(2), result(3));
  t.deepEqual([...publisher.results.keys()], ['uid-2']);
  t.deepEqual(
    publisher.pending.map(({ uid }) => uid),
    ['uid-1'],
  );
  publisher.fault = () => undefined;
  publisher.retry();
  t.deepEqual(publisher.results.get('uid-1'), result(2));
  t.deepEqual(publisher.events.get('uid-1'), [event]);
  t.deepEqual(publisher.pending, []);
});

test('a delayed write lands before the newer one that waited behind it', (t) => {
  const publisher = new PublisherDouble();
  const written: string[] = [];
  publisher.onWrite = (_, { annotations }) => written.push(annotations['port.berth.dev/web'] ?? '');
  publisher.fault = () => 'delayed';
  publisher.publish(pod(1), result(1));
  publisher.fault = () => undefined;
  publisher.publish(pod(1), result(2));
  t.deepEqual(written, []);
  publisher.land();
  t.deepEqual(written, ['1', '2']);
});

test('a write whose reply was lost is applied, and applied again', (t) => {
  const publisher = new PublisherDouble();
  publisher.fault = () => 'replyLost';
  publisher.event(pod(1), event);
  t.is(publisher.pending.length, 1);
  publisher.fault = () => undefined;
  publisher.retry();
  t.deepEqual(publisher.events.get('uid-1'), [event, event]);
  t.deepEqual(publisher.pending, []);
});
