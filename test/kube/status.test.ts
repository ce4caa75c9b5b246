import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import type { BerthError } from '../../daemon/core/errors.ts';
import type { PodEvent, PodRef, PodResult } from '../../daemon/core/vocabulary.ts';
import { DirectorySource } from '../../daemon/kube/directory.ts';
import { DirectoryPublisher } from '../../daemon/kube/status.ts';
import { mergeStatus, type PodStatus, statusPath } from '../../daemon/kube/statusfile.ts';
import { podObject } from './objects.ts';
import { ManualClock, Scratch, until } from './scratch.ts';

const WEB: PodRef = { namespace: 'shop', name: 'web', uid: 'uid-1' };
const FILE = '.status/shop_web.json';

function resultOf(port: number, status: 'True' | 'False' = 'True'): PodResult {
  const annotations = { 'port.berth.dev/web': `${port}`, 'berth.dev/mappings': `[{"hostPort":${port}}]` };
  return { annotations, condition: { status, reason: 'PortsMapped', message: `mapped: web ${port}/TCP` } };
}

const mapped = (message: string): PodEvent => ({ type: 'Normal', reason: 'PortsMapped', message });

/** A publisher to a directory of its own, with a clock that stands still. */
function setUp() {
  const scratch = new Scratch();
  const clock = new ManualClock();
  const errors: BerthError[] = [];
  const publisher = new DirectoryPublisher(scratch.path, {
    clock,
    random: () => 0.5,
    onError: (error) => errors.push(error),
  });
  const read = (file = FILE): PodStatus => JSON.parse(readFileSync(scratch.join(file), 'utf8'));
  const has = (file = FILE) => existsSync(scratch.join(file));
  /** Resolves when everything was tried that can be tried without a wait. */
  const settled = () => publisher.flush();
  return { scratch, clock, errors, publisher, read, has, settled };
}

test('the file holds what a pod in Kubernetes would get', async (t) => {
  const { scratch, publisher, read, settled } = setUp();
  using _ = scratch;
  publisher.publish(WEB, resultOf(20_000));
  publisher.event(WEB, mapped('mapped web'));
  await settled();
  t.deepEqual(read(), {
    namespace: 'shop',
    pod: 'web',
    uid: 'uid-1',
    annotations: { 'port.berth.dev/web': '20000', 'berth.dev/mappings': '[{"hostPort":20000}]' },
    conditions: [
      {
        type: 'berth.dev/PortsMapped',
        status: 'True',
        reason: 'PortsMapped',
        message: 'mapped: web 20000/TCP',
        lastTransitionTime: '2026-01-31T00:00:00.000Z',
      },
    ],
    events: [
      {
        type: 'Normal',
        reason: 'PortsMapped',
        message: 'mapped web',
        count: 1,
        firstTimestamp: '2026-01-31T00:00:00.000Z',
        lastTimestamp: '2026-01-31T00:00:00.000Z',
      },
    ],
  });
  t.deepEqual(readdirSync(scratch.join('.status')), ['shop_web.json']);
});

test.serial('everybody may read it, whatever the umask', async (t) => {
  const { scratch, publisher, settled } = setUp();
  using _ = scratch;
  const umask = process.umask(0o077);
  try {
    publisher.publish(WEB, resultOf(20_000));
    await settled();
  } finally {
    process.umask(umask);
  }
  t.is(statSync(scratch.join('.status')).mode & 0o777, 0o755);
  t.is(statSync(scratch.join(FILE)).mode & 0o777, 0o644);
});

test('a source reads it as annotations of the pod', async (t) => {
  const { scratch, clock, publisher, settled } = setUp();
  using _ = scratch;
  scratch.put('web.yaml', podObject({ annotations: { 'berth.dev/ports': 'web' } }));
  publisher.publish(WEB, resultOf(20_000));
  await settled();
  const pod = await new DirectorySource(scratch.path, { clock }).get('shop', 'web');
  t.deepEqual(pod?.annotations, { 'berth.dev/ports': 'web', ...resultOf(20_000).annotations });
});

test('what stands there already is not written, not even by the next agent', async (t) => {
  const { scratch, clock, publisher, settled } = setUp();
  using _ = scratch;
  publisher.publish(WEB, resultOf(20_000));
  publisher.event(WEB, mapped('mapped web'));
  await settled();
  const before = statSync(scratch.join(FILE)).ino;
  clock.advance(5_000);
  publisher.publish(WEB, resultOf(20_000));
  await settled();
  const next = new DirectoryPublisher(scratch.path, { clock, random: Math.random });
  next.publish(WEB, resultOf(20_000));
  await next.flush();
  t.is(statSync(scratch.join(FILE)).ino, before);
});

test('a condition keeps the time of its last transition while its status is the same', async (t) => {
  const { scratch, clock, publisher, read, settled } = setUp();
  using _ = scratch;
  const times: (string | undefined)[] = [];
  for (const status of ['False', 'False', 'True', 'True'] as const) {
    clock.advance(1_000);
    publisher.publish(WEB, resultOf(20_000 + times.length, status));
    await settled();
    times.push(read().conditions[0]?.lastTransitionTime.slice(14, 19));
  }
  t.deepEqual(times, ['00:01', '00:01', '00:03', '00:03']);
});

test('a pod that does not opt in any more loses annotations and condition, and keeps its Events', async (t) => {
  const { scratch, publisher, read, has, settled } = setUp();
  using _ = scratch;
  publisher.publish(WEB, resultOf(20_000));
  publisher.event(WEB, mapped('mapped web'));
  publisher.publish(WEB, { annotations: {} });
  await settled();
  t.like(read(), { annotations: {}, conditions: [] });
  t.is(read().events.length, 1);
  const other = { ...WEB, name: 'other', uid: 'uid-2' };
  publisher.publish(other, resultOf(20_001));
  await settled();
  publisher.publish(other, { annotations: {} });
  await settled();
  t.false(has('.status/shop_other.json'));
});

test('the same Event again counts up, and the twenty newest are kept', async (t) => {
  const { scratch, clock, publisher, read, settled } = setUp();
  using _ = scratch;
  for (let index = 0; index < 25; index++) {
    clock.advance(1_000);
    publisher.event(WEB, mapped(`number ${index % 23}`));
    if (index % 7 === 0) await settled();
  }
  await settled();
  const { events } = read();
  t.is(events.length, 20);
  t.like(events[18], { message: 'number 0', count: 1 });
  t.like(events[19], { message: 'number 1', count: 1 });
  publisher.event(WEB, mapped('number 0'));
  await settled();
  t.like(read().events[19], { message: 'number 0', count: 2, firstTimestamp: '2026-01-31T00:00:24.000Z' });
});

test('the newest result wins over one that is being written', async (t) => {
  const { scratch, publisher, read, settled } = setUp();
  using _ = scratch;
  for (let port = 20_000; port < 20_050; port++) {
    publisher.publish(WEB, resultOf(port));
    await new Promise(setImmediate);
  }
  await settled();
  t.is(read().annotations['port.berth.dev/web'], '20049');
});

test('a file that somebody changed or removed is written again with the next result', async (t) => {
  const { scratch, publisher, read, settled } = setUp();
  using _ = scratch;
  for (const damage of [
    () => rmSync(scratch.join(FILE)),
    () => scratch.put(FILE, 'garbage'),
    () => scratch.put(FILE, { ...read(), annotations: { 'port.berth.dev/web': '1' } }),
    () => scratch.put(FILE, { ...read(), uid: 'uid-9', conditions: [] }),
  ]) {
    publisher.publish(WEB, resultOf(20_000));
    await settled();
    damage();
    publisher.publish(WEB, resultOf(20_000));
    await settled();
    t.like(read(), { uid: 'uid-1', annotations: resultOf(20_000).annotations });
    t.is(read().conditions.length, 1);
  }
});

test('I8: a file that cannot be written holds up no other and is tried again, more and more slowly', async (t) => {
  const { scratch, clock, errors, publisher, read, has } = setUp();
  using _ = scratch;
  mkdirSync(scratch.join(FILE), { recursive: true });
  publisher.publish(WEB, resultOf(20_000));
  publisher.event(WEB, mapped('mapped web'));
  for (let index = 0; index < 40; index++)
    publisher.publish({ ...WEB, name: `other-${index}`, uid: `o-${index}` }, resultOf(index));
  await until(() => errors.length === 1 && has('.status/shop_other-39.json'));
  t.is(errors[0]?.code, 'PUBLISH_FAILED');
  t.true(errors[0]?.message.startsWith(`${scratch.join(FILE)}: cannot tell pod shop/web where it stands: EISDIR`));
  const waits: number[] = [];
  for (let count = 1; count <= 12; count++) {
    await until(() => errors.length === count && clock.pending.length === 1);
    waits.push(...clock.pending);
    if (count < 12) clock.advance(clock.pending[0] ?? 0);
  }
  t.deepEqual(waits, [75, 150, 300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 22_500, 22_500, 22_500]);

  publisher.publish(WEB, resultOf(20_001));
  rmSync(scratch.join(FILE), { recursive: true });
  clock.advance(30_000);
  await until(() => has());
  t.is(read().annotations['port.berth.dev/web'], '20001');
  t.is(read().events.length, 1);
  t.deepEqual(clock.pending, []);
});

test('what could not be written is not lost to a late word on a former life', async (t) => {
  const { scratch, clock, errors, publisher, read, has } = setUp();
  using _ = scratch;
  mkdirSync(scratch.join(FILE), { recursive: true });
  const next = { ...WEB, uid: 'uid-2' };
  publisher.publish(next, resultOf(20_001));
  publisher.event(WEB, mapped('late'));
  publisher.forget(WEB);
  await until(() => errors.length === 1);
  publisher.event(next, mapped('mapped'));
  rmSync(scratch.join(FILE), { recursive: true });
  clock.advance(100);
  await until(() => has());
  t.like(read(), { uid: 'uid-2', annotations: resultOf(20_001).annotations });
  t.is(read().events.length, 1);
});

test('the directory of the manifests is not made, but waited for', async (t) => {
  const { scratch, clock, errors, publisher, has } = setUp();
  using _ = scratch;
  rmSync(scratch.path, { recursive: true });
  publisher.publish(WEB, resultOf(20_000));
  await until(() => errors.length === 1);
  t.false(existsSync(scratch.path));
  mkdirSync(scratch.path);
  clock.advance(100);
  await until(() => has());
  t.pass();
});

test('I7: a pod that is gone leaves no file behind, and a late Event does not bring it back', async (t) => {
  const { scratch, publisher, settled } = setUp();
  using _ = scratch;
  publisher.publish(WEB, resultOf(20_000));
  await settled();
  publisher.publish(WEB, resultOf(20_001));
  publisher.forget(WEB);
  publisher.event(WEB, { type: 'Normal', reason: 'PortsReleased', message: 'released' });
  await settled();
  publisher.event(WEB, { type: 'Normal', reason: 'PortsReleased', message: 'released' });
  await settled();
  t.deepEqual(readdirSync(scratch.join('.status')), []);
  // The manifest was only moved away and back: the very same pod may come again.
  publisher.publish(WEB, resultOf(20_000));
  await settled();
  t.deepEqual(readdirSync(scratch.join('.status')), ['shop_web.json']);
});

test('what an agent of the past left is removed by forgetting the pod', async (t) => {
  const { scratch, publisher, has, settled } = setUp();
  using _ = scratch;
  mkdirSync(scratch.join('.status'));
  scratch.put(FILE, mergeStatus(undefined, WEB, resultOf(20_000), [], 0));
  scratch.put(`${FILE}.tmp`, 'half');
  publisher.forget(WEB);
  await settled();
  t.deepEqual(readdirSync(scratch.join('.status')), []);
  scratch.put(FILE, 'garbage');
  publisher.forget(WEB);
  await settled();
  t.false(has());
  publisher.forget({ ...WEB, name: 'never-seen' });
  await settled();
});

test('the next life of a pod keeps its file, whenever the former one is forgotten', async (t) => {
  const next = { ...WEB, uid: 'uid-2' };
  for (const order of ['before', 'between', 'after']) {
    const { scratch, publisher, read, settled } = setUp();
    using _ = scratch;
    publisher.publish(WEB, resultOf(20_000));
    publisher.event(WEB, mapped('the former life'));
    await settled();
    if (order === 'before') publisher.forget(WEB);
    publisher.publish(next, resultOf(20_001));
    if (order === 'between') publisher.forget(WEB);
    publisher.event(WEB, mapped('late'));
    await settled();
    if (order === 'after') publisher.forget(WEB);
    await settled();
    t.is(read().uid, 'uid-2', order);
    t.is(read().annotations['port.berth.dev/web'], '20001', order);
  }
});

test('V22: a name that is none of Kubernetes is refused and touches nothing', async (t) => {
  const { scratch, errors, publisher, settled } = setUp();
  using _ = scratch;
  const names = ['../../escape', 'a/b', '..', '', '.', 'a_b', 'A', 'a\0b', '-a', 'x'.repeat(254)];
  for (const name of names) {
    publisher.publish({ ...WEB, name }, resultOf(20_000));
    publisher.forget({ ...WEB, name });
  }
  publisher.event({ ...WEB, namespace: '../shop', uid: 'uid-2' }, mapped('x'));
  await settled();
  t.is(errors.length, 2 * names.length + 1);
  t.true(errors.every(({ code }) => code === 'PUBLISH_FAILED'));
  t.deepEqual(readdirSync(scratch.path), []);
});

test('the longest names have files of their own', async (t) => {
  const { scratch, publisher, settled } = setUp();
  using _ = scratch;
  const namespace = 'n'.repeat(63);
  const long = 'p'.repeat(252);
  for (const end of ['a', 'b']) publisher.publish({ namespace, name: `${long}${end}`, uid: end }, resultOf(20_000));
  await settled();
  t.is(readdirSync(scratch.join('.status')).length, 2);
  t.not(statusPath('/x', { namespace: 'a', name: 'b' }), statusPath('/x', { namespace: 'a-b', name: 'b' }));
});

test('a link that somebody put in the place of the temporary file is not followed', async (t) => {
  const { scratch, publisher, read, settled } = setUp();
  using _ = scratch;
  mkdirSync(scratch.join('.status'));
  writeFileSync(scratch.join('precious'), 'keep');
  symlinkSync('../precious', scratch.join(`${FILE}.tmp`));
  symlinkSync('../precious', scratch.join(FILE));
  publisher.publish(WEB, resultOf(20_000));
  await settled();
  t.is(read().uid, 'uid-1');
  t.is(readFileSync(scratch.join('precious'), 'utf8'), 'keep');
});

test('a directory of status files that leads elsewhere is refused: nothing there is made, replaced or removed', async (t) => {
  const { scratch, errors, publisher, settled } = setUp();
  using _ = scratch;
  mkdirSync(scratch.join('elsewhere'));
  const precious = { 'shop_web.json': 'keep', 'shop_web.json.tmp': 'keep', 'shop_old.json': 'keep' };
  for (const [name, text] of Object.entries(precious)) writeFileSync(scratch.join('elsewhere', name), text);
  symlinkSync('elsewhere', scratch.join('.status'));
  publisher.publish(WEB, resultOf(20_000));
  publisher.publish({ ...WEB, name: 'new' }, resultOf(20_001));
  publisher.forget({ ...WEB, name: 'old' });
  await settled();
  const standing = readdirSync(scratch.join('elsewhere')).map((name) => [
    name,
    readFileSync(scratch.join('elsewhere', name), 'utf8'),
  ]);
  t.deepEqual(Object.fromEntries(standing), precious);
  for (const { message } of errors) t.regex(message, /\.status is a symbolic link or no directory .*; remove it/);
  t.true(errors.length >= 3);
});

test('I7: files of pods that ended while no agent ran are removed, and no other file', async (t) => {
  const { scratch, clock, publisher, has, settled } = setUp();
  using _ = scratch;
  const long: PodRef = { namespace: 'n'.repeat(63), name: 'p'.repeat(253), uid: 'long' };
  const pods = ['stays', 'ended', 'again'].map((name): PodRef => ({ namespace: 'shop', name, uid: `uid-${name}` }));
  for (const pod of [...pods, long]) publisher.publish(pod, resultOf(20_000));
  await settled();
  const ended = readFileSync(scratch.join('.status/shop_ended.json'), 'utf8');
  const foreign = {
    'README.txt': 'keep',
    'shop_half.json': '{',
    'shop_other.json': '{"uid":"x"}',
    // Well-formed, in a file that is not its own.
    'shop_elsewhere.json': ended,
    '..json': ended.replace('"shop"', '".."'),
  };
  for (const [name, text] of Object.entries(foreign)) writeFileSync(scratch.join('.status', name), text);

  const next = new DirectoryPublisher(scratch.path, { clock, random: Math.random });
  const born: PodRef = { namespace: 'shop', name: 'born', uid: 'uid-born' };
  await next.forgetOthers(async () => {
    // It is told of between the reading of the files and the answer.
    next.publish(born, resultOf(20_001));
    await next.flush();
    return [pods[0] as PodRef, { ...(pods[2] as PodRef), uid: 'uid-new' }];
  });
  await next.flush();
  t.deepEqual(
    readdirSync(scratch.join('.status')).toSorted(),
    ['shop_born.json', 'shop_stays.json', ...Object.keys(foreign)].toSorted(),
  );
  t.true(has('.status/shop_stays.json'));
});

test('as long as it is not known which pods there are, no file is removed', async (t) => {
  const { scratch, publisher, has, settled } = setUp();
  using _ = scratch;
  publisher.publish(WEB, resultOf(20_000));
  await settled();
  await t.throwsAsync(
    publisher.forgetOthers(() => Promise.reject(new Error('not known'))),
    { message: 'not known' },
  );
  await settled();
  t.true(has());
});

test('flush tries what failed once more, gives it up, and leaves no timer behind', async (t) => {
  const { scratch, clock, errors, publisher } = setUp();
  using _ = scratch;
  mkdirSync(scratch.join(FILE), { recursive: true });
  publisher.publish(WEB, resultOf(20_000));
  await until(() => clock.pending.length === 1);
  await publisher.flush();
  t.is(errors.length, 2);
  t.deepEqual(clock.pending, []);
  await publisher.flush();
});

test('flush waits for what is on its way no longer than two seconds', async (t) => {
  const { scratch, clock, publisher } = setUp();
  using _ = scratch;
  publisher.publish(WEB, resultOf(20_000));
  const flushed = publisher.flush();
  t.deepEqual(clock.pending, [2_000]);
  clock.advance(2_000);
  await flushed;
});

test('a directory that cannot be written to is an error with its reason', async (t) => {
  const { scratch, errors, publisher, settled } = setUp();
  using _ = scratch;
  writeFileSync(scratch.join('.status'), 'a file');
  chmodSync(scratch.join('.status'), 0o600);
  publisher.publish(WEB, resultOf(20_000));
  await settled();
  t.regex(errors[0]?.message ?? '', /ENOTDIR/);
});

test('whatever is published in whatever order, the end of it stands there', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('publish' as const), life: fc.nat(1), port: fc.nat(3) }),
    fc.record({ kind: fc.constant('forget' as const), life: fc.nat(1), port: fc.constant(0) }),
    fc.record({ kind: fc.constant('wait' as const), life: fc.constant(0), port: fc.nat(3) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const { scratch, publisher, read, has, settled } = setUp();
      using _ = scratch;
      let newest: { life: number; port: number } | undefined;
      const alive = new Set<string>();
      for (const { kind, life, port } of steps) {
        const pod = { ...WEB, uid: `uid-${life}` };
        if (kind === 'publish') {
          publisher.publish(pod, resultOf(20_000 + port));
          newest = { life, port };
          alive.add(pod.uid);
        } else if (kind === 'forget') {
          publisher.forget(pod);
          if (newest?.life === life) newest = undefined;
          alive.delete(pod.uid);
        } else for (let turns = 0; turns < port; turns++) await new Promise(setImmediate);
      }
      await settled();
      if (newest !== undefined) {
        t.is(read().uid, `uid-${newest.life}`);
        t.is(read().annotations['port.berth.dev/web'], `${20_000 + newest.port}`);
      } else if (has()) {
        t.true(alive.has(read().uid));
      }
    }),
    { numRuns: 150 },
  );
});
