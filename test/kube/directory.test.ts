import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { DirectorySource } from '../../daemon/kube/directory.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { numbered, podObject } from './objects.ts';
import { ManualClock, Scratch, until, Watching } from './scratch.ts';

const clock = systemClock;
/** What a hand-driven clock may let go by, in ms: only the gap between two looks, the time a file has to settle, until a relist. */
const GAP = 2;
const SETTLE = 1_000;
const MINUTE = 60_000;
const examples = new URL('manifests', import.meta.url);

test('the full list comes first, then every change of a file', async (t) => {
  using scratch = new Scratch();
  cpSync(examples, scratch.path, { recursive: true });
  await using watching = new Watching(new DirectorySource(scratch.path, { clock }));
  await watching.heard('listed peer arena-0 kafka-1 web');

  scratch.put('new.yaml', podObject({ name: 'new', uid: 'uid-new' }));
  await watching.heard('changed new');
  scratch.put('new.yaml', podObject({ name: 'new', uid: 'uid-new', status: { podIPs: [{ ip: '10.0.0.9' }] } }));
  await watching.heard('changed new');
  t.deepEqual(watching.pods.get('new')?.podIPs, ['10.0.0.9']);
  scratch.remove('new.yaml');
  await watching.heard('deleted new uid-new');
  t.deepEqual(watching.errors, []);
});

test('a file that is written in place, piece by piece, is heard of when it is whole', async (t) => {
  using scratch = new Scratch();
  scratch.put('web.json', podObject());
  await using watching = new Watching(new DirectorySource(scratch.path, { clock }));
  await watching.heard('listed web');
  const text = JSON.stringify(podObject({ status: { podIPs: [{ ip: '10.0.0.9' }] } }));
  truncateSync(scratch.join('web.json'));
  for (const piece of text.match(/.{1,16}/g) ?? []) {
    appendFileSync(scratch.join('web.json'), piece);
    await new Promise(setImmediate);
  }
  await until(() => watching.news.length > 0);
  t.deepEqual(watching.news, ['changed web']);
  t.deepEqual(watching.pods.get('web')?.podIPs, ['10.0.0.9']);
});

test('a file that cannot be understood keeps its pod, and is reported once, when it stays so', async (t) => {
  using scratch = new Scratch();
  const manual = new ManualClock();
  scratch.put('web.yaml', podObject());
  const source = new DirectorySource(scratch.path, { clock: manual });
  await using watching = new Watching(source);
  await manual.runUntil(() => watching.news.length > 0, GAP);
  t.deepEqual(watching.news.splice(0), ['listed web']);

  scratch.put('web.yaml', 'apiVersion: v1\nkind: P');
  // Read, and to be read again when a second has gone by.
  await manual.runUntil(() => manual.pending[0] === 1_000, GAP);
  t.is((await source.get('shop', 'web'))?.uid, 'uid-1');
  manual.advance(999);
  t.deepEqual(watching.news, []);
  await manual.runUntil(() => watching.news.length > 0, GAP);
  t.is(watching.errors[0]?.message, `${scratch.join('web.yaml')}: kind must be "Pod" (one Pod object a file), not "P"`);
  t.true(watching.errors[0] instanceof BerthError && watching.errors[0].code === 'PODS_UNREADABLE');
  await manual.runUntil(() => watching.news.length > 1, MINUTE);
  t.deepEqual(watching.news.splice(0), ['failed', 'listed web']);

  // Right again, then wrong again: that is another report.
  scratch.put('web.yaml', podObject({ status: {} }));
  await manual.runUntil(() => watching.news.length > 0, GAP);
  scratch.put('web.yaml', '');
  await manual.runUntil(() => watching.news.length > 1, SETTLE);
  t.is(watching.errors[1]?.message, `${scratch.join('web.yaml')}: the file is empty`);
  scratch.remove('web.yaml');
  await manual.runUntil(() => watching.news.length > 2, GAP);
  t.deepEqual(watching.news, ['changed web', 'failed', 'deleted web uid-1']);
});

test('a file that is written for longer than that is not reported while it grows', async (t) => {
  using scratch = new Scratch();
  const manual = new ManualClock();
  await using watching = new Watching(new DirectorySource(scratch.path, { clock: manual }));
  await manual.runUntil(() => watching.news.length > 0, GAP);
  const text = JSON.stringify(podObject());
  for (let end = 10; end < text.length; end += 20) {
    scratch.put('web.json', text.slice(0, end));
    await manual.runUntil(() => manual.pending[0] === 1_000, GAP);
    manual.advance(700);
  }
  scratch.put('web.json', text);
  await manual.runUntil(() => watching.news.length > 1, GAP);
  t.deepEqual(watching.news, ['listed', 'changed web']);
});

test('I8: a bad file hides no other', async (t) => {
  using scratch = new Scratch();
  scratch.put('00-empty.yaml', '');
  scratch.put('01-binary.yaml', '\u0000\u0001\ufffd');
  scratch.put('02-bomb.yaml', `a: &a [x]\nb: &b [${'*a,'.repeat(150)}]\nc: [${'*b,'.repeat(150)}]\n`);
  scratch.put('03-deep.yaml', '['.repeat(20_000));
  scratch.put('04-proto.json', '{"__proto__": {"kind": "Pod"}}');
  scratch.put('05-escape.yaml', podObject({ name: '../../escape' }));
  scratch.put('06-list.yaml', 'apiVersion: v1\nkind: List\nitems: []\n');
  scratch.put(
    '07-two.yaml',
    `${JSON.stringify(podObject({ name: 'x' }))}\n---\n${JSON.stringify(podObject({ name: 'y' }))}\n`,
  );
  execFileSync('mkfifo', [scratch.join('08-fifo.yaml')]);
  symlinkSync('nowhere', scratch.join('09-dangling.yaml'));
  symlinkSync('10-loop.yaml', scratch.join('10-loop.yaml'));
  scratch.put('11-large.json', '');
  truncateSync(scratch.join('11-large.json'), 3 * 1024 * 1024);
  scratch.put('50-web.yaml', podObject());
  await using watching = new Watching(new DirectorySource(scratch.path, { clock, settleMs: 20 }));
  await until(() => watching.errors.length === 12);
  t.deepEqual(watching.news.slice(0, 2), ['listed web', 'failed']);
  for (let index = 0; index < 12; index++) {
    t.true(watching.errors[index]?.message.startsWith(scratch.join(`${index}`.padStart(2, '0'))), `${index}`);
  }
});

test('other names, hidden files and directories are not looked at', async (t) => {
  using scratch = new Scratch();
  for (const name of ['README.md', '.hidden.yaml', 'web.yaml~', 'web.yaml.orig']) scratch.put(name, podObject());
  mkdirSync(scratch.join('sub.yaml'));
  scratch.put('sub.yaml/inner.yaml', podObject());
  await using watching = new Watching(new DirectorySource(scratch.path, { clock, settleMs: 0 }));
  await watching.heard('listed');
  scratch.put('.hidden.yaml', podObject({ uid: 'uid-2' }));
  scratch.put('last.yaml', podObject({ name: 'last' }));
  await until(() => watching.news.length > 0);
  t.deepEqual(watching.news, ['changed last']);
});

test('a file that now holds another life, or another pod, ends the former one first', async (t) => {
  using scratch = new Scratch();
  scratch.put('a.yaml', podObject());
  await using watching = new Watching(new DirectorySource(scratch.path, { clock }));
  await watching.heard('listed web');
  scratch.put('a.yaml', podObject({ uid: 'uid-2' }));
  await until(() => watching.news.length > 1);
  t.deepEqual(watching.news.splice(0), ['deleted web uid-1', 'changed web']);
  scratch.put('a.yaml', podObject({ name: 'other', uid: 'uid-3' }));
  await until(() => watching.news.length > 1);
  t.deepEqual(watching.news, ['deleted web uid-2', 'changed other']);
});

test('of two files with one pod the first by name counts, and the other is reported', async (t) => {
  using scratch = new Scratch();
  scratch.put('a.yaml', podObject());
  scratch.put('b.yaml', podObject({ status: { podIPs: [{ ip: '10.0.0.9' }] } }));
  await using watching = new Watching(new DirectorySource(scratch.path, { clock, settleMs: 20 }));
  await watching.heard('listed web', 'failed');
  t.deepEqual(watching.pods.get('web')?.podIPs, ['10.0.0.7']);
  t.is(
    watching.errors[0]?.message,
    `${scratch.join('b.yaml')}: "a.yaml" holds pod shop/web too and comes first: remove one of them`,
  );
  scratch.remove('a.yaml');
  await until(() => watching.news.length > 0);
  t.deepEqual(watching.news, ['changed web']);
  t.deepEqual(watching.pods.get('web')?.podIPs, ['10.0.0.9']);
});

test('of two pods with one uid the first by file name counts, and the other is reported', async (t) => {
  using scratch = new Scratch();
  scratch.put('a.yaml', podObject());
  scratch.put('b.yaml', podObject({ name: 'copy' }));
  await using watching = new Watching(new DirectorySource(scratch.path, { clock, settleMs: 20 }));
  await watching.heard('listed web', 'failed');
  t.regex(watching.errors[0]?.message ?? '', /"a.yaml" holds a pod with the uid uid-1 too/);
});

test('a directory that is not there yet is waited for', async (t) => {
  using scratch = new Scratch();
  const source = new DirectorySource(scratch.join('pods'), { clock });
  await using watching = new Watching(source);
  await watching.heard('failed');
  t.regex(
    watching.errors[0]?.message ?? '',
    /^cannot read the directory of manifests .*: ENOENT.*; the pods stay as they are$/,
  );
  await t.throwsAsync(source.get('shop', 'web'), { code: 'PODS_UNREADABLE' });
  mkdirSync(scratch.join('pods'));
  await watching.heard('listed');
  scratch.put('pods/web.yaml', podObject());
  await until(() => watching.news.length > 0);
  t.deepEqual(watching.news, ['changed web']);
  t.is(watching.errors.length, 1);
});

test('I6: nothing is deleted because the directory went away, and it is listed anew when it is back', async (t) => {
  using scratch = new Scratch();
  mkdirSync(scratch.join('pods'));
  scratch.put('pods/a.yaml', numbered(1));
  scratch.put('pods/b.yaml', numbered(2));
  const source = new DirectorySource(scratch.join('pods'), { clock });
  await using watching = new Watching(source);
  await watching.heard('listed pod-1 pod-2');
  renameSync(scratch.join('pods'), scratch.join('away'));
  await until(() => watching.news.length > 0);
  t.deepEqual(watching.news.splice(0), ['failed']);
  await t.throwsAsync(source.get('shop', 'pod-1'), { code: 'PODS_UNREADABLE' });
  scratch.remove('away/b.yaml');
  renameSync(scratch.join('away'), scratch.join('pods'));
  await until(() => watching.news.length > 0);
  t.deepEqual(watching.news.splice(0), ['listed pod-1']);
  scratch.put('pods/c.yaml', numbered(3));
  await watching.heard('changed pod-3');
});

test('I6: in another directory that took its place a missing file is not a deleted one', async (t) => {
  using scratch = new Scratch();
  for (const directory of ['pods', 'next']) mkdirSync(scratch.join(directory));
  scratch.put('pods/a.yaml', numbered(1));
  scratch.put('next/b.yaml', numbered(2));
  await using watching = new Watching(new DirectorySource(scratch.join('pods'), { clock }));
  await watching.heard('listed pod-1');
  renameSync(scratch.join('pods'), scratch.join('before'));
  renameSync(scratch.join('next'), scratch.join('pods'));
  await until(() => watching.news.includes('listed pod-2'));
  t.false(watching.news.some((one) => one.startsWith('deleted')));
  watching.news.length = 0;
  scratch.put('pods/c.yaml', numbered(3));
  await watching.heard('changed pod-3');
});

test('a directory that is removed and made again under the same name is watched again', async (t) => {
  using scratch = new Scratch();
  mkdirSync(scratch.join('pods'));
  await using watching = new Watching(new DirectorySource(scratch.join('pods'), { clock }));
  await watching.heard('listed');
  for (let round = 1; round <= 5; round++) {
    rmSync(scratch.join('pods'), { recursive: true });
    mkdirSync(scratch.join('pods'));
    scratch.put('pods/a.yaml', numbered(round));
    await until(() => watching.pods.has(`pod-${round}`));
  }
  t.false(watching.news.some((one) => one.startsWith('deleted')));
});

test('the files of a mounted ConfigMap change together, by a rename of `..data`', async (t) => {
  using scratch = new Scratch();
  for (const version of ['..1', '..2']) mkdirSync(scratch.join(version));
  scratch.put('..1/web.yaml', podObject());
  scratch.put('..2/web.yaml', podObject({ status: { podIPs: [{ ip: '10.0.0.9' }] } }));
  symlinkSync('..1', scratch.join('..data'));
  symlinkSync('..data/web.yaml', scratch.join('web.yaml'));
  await using watching = new Watching(new DirectorySource(scratch.path, { clock }));
  await watching.heard('listed web');
  symlinkSync('..2', scratch.join('..data_tmp'));
  renameSync(scratch.join('..data_tmp'), scratch.join('..data'));
  await watching.heard('changed web');
  t.deepEqual(watching.pods.get('web')?.podIPs, ['10.0.0.9']);
});

test('a relist finds what no event told', async (t) => {
  using scratch = new Scratch();
  using elsewhere = new Scratch();
  const manual = new ManualClock();
  elsewhere.put('target', podObject());
  symlinkSync(elsewhere.join('target'), scratch.join('web.yaml'));
  await using watching = new Watching(new DirectorySource(scratch.path, { clock: manual }));
  await manual.runUntil(() => watching.news.length > 0, GAP);
  elsewhere.put('target', podObject({ uid: 'uid-2' }));
  await manual.runUntil(() => watching.news.length > 1, MINUTE);
  t.deepEqual(watching.news, ['listed web', 'deleted web uid-1', 'listed web']);
  t.is(manual.monotonic(), MINUTE);
});

test('a link whose target appears is heard of without an event', async (t) => {
  using scratch = new Scratch();
  using elsewhere = new Scratch();
  const manual = new ManualClock();
  symlinkSync(elsewhere.join('target'), scratch.join('web.yaml'));
  await using watching = new Watching(new DirectorySource(scratch.path, { clock: manual }));
  await manual.runUntil(() => watching.news.includes('failed'), SETTLE);
  elsewhere.put('target', podObject());
  await manual.runUntil(() => watching.news.includes('changed web'), SETTLE);
  t.true(manual.monotonic() <= 3 * SETTLE);
});

test('500 files at once are all told, and so is their end', async (t) => {
  using scratch = new Scratch();
  await using watching = new Watching(new DirectorySource(scratch.path, { clock }));
  await watching.heard('listed');
  for (let index = 0; index < 500; index++) scratch.put(`${index}.yaml`, numbered(index));
  await until(() => watching.pods.size === 500);
  t.is(watching.news.length, 500);
  watching.news.length = 0;
  for (let index = 0; index < 500; index++) scratch.remove(`${index}.yaml`);
  await until(() => watching.pods.size === 0);
  t.is(watching.news.length, 500);
  t.deepEqual(watching.errors, []);
});

test('a file that is renamed again and again never seems gone', async (t) => {
  using scratch = new Scratch();
  for (let index = 0; index < 20; index++) scratch.put(`x${index}.yaml`, numbered(index));
  const source = new DirectorySource(scratch.path, { clock });
  await using watching = new Watching(source);
  await until(() => watching.pods.size === 20);
  watching.news.length = 0;
  for (let round = 0; round < 200; round++) {
    const [from, to] = round % 2 === 0 ? ['x0', 'y'] : ['y', 'x0'];
    renameSync(scratch.join(`${from}.yaml`), scratch.join(`${to}.yaml`));
    if (round % 3 === 0) await new Promise(setImmediate);
  }
  await source.get('shop', 'pod-0');
  t.deepEqual(watching.news, []);
});

test('a file whose bytes changed and whose pod did not is not told', async (t) => {
  using scratch = new Scratch();
  scratch.put('a.yaml', podObject());
  await using watching = new Watching(new DirectorySource(scratch.path, { clock }));
  await watching.heard('listed web');
  scratch.put('a.yaml', `# a comment\n${JSON.stringify(podObject())}`);
  scratch.put('b.yaml', numbered(2));
  await until(() => watching.news.length > 0);
  t.deepEqual(watching.news, ['changed pod-2']);
});

test('get reads the files anew, with or without a watch', async (t) => {
  using scratch = new Scratch();
  const source = new DirectorySource(scratch.path, { clock });
  t.is(await source.get('shop', 'web'), undefined);
  scratch.put('web.yaml', podObject());
  t.is((await source.get('shop', 'web'))?.uid, 'uid-1');
  scratch.put('web.yaml', podObject({ uid: 'uid-2' }));
  t.is((await source.get('shop', 'web'))?.uid, 'uid-2');
  t.is(await source.get('default', 'web'), undefined);
  scratch.remove('web.yaml');
  t.is(await source.get('shop', 'web'), undefined);
});

test('many calls of get share their reading', async (t) => {
  using scratch = new Scratch();
  for (let index = 0; index < 50; index++) scratch.put(`${index}.yaml`, numbered(index));
  const source = new DirectorySource(scratch.path, { clock });
  const pods = await Promise.all(Array.from({ length: 60 }, (_, index) => source.get('shop', `pod-${index}`)));
  t.is(pods.filter((pod) => pod !== undefined).length, 50);
});

test('I6: whether a pod is gone is not known while a file that may hold it cannot be understood', async (t) => {
  using scratch = new Scratch();
  const manual = new ManualClock();
  const source = new DirectorySource(scratch.path, { clock: manual });
  const unknown = (name: string) =>
    t.throwsAsync(source.get('shop', name), {
      code: 'PODS_UNREADABLE',
      message: new RegExp(`^whether there is a pod shop/${name} is not known: `),
    });
  scratch.put('bad.yaml', 'apiVersion: v1\nmetadata: {name: web');
  await unknown('web');
  await unknown('other');
  manual.advance(1_000);
  // Not half written, but wrong: it can only hold a pod whose name stands in it.
  await unknown('web');
  t.is(await source.get('shop', 'other'), undefined);
  symlinkSync('nowhere', scratch.join('link.yaml'));
  await unknown('other');
  manual.advance(1_000);
  await unknown('other');
});

test('all pods are known only while no file that may hold another is in trouble', async (t) => {
  using scratch = new Scratch();
  const manual = new ManualClock();
  const source = new DirectorySource(scratch.path, { clock: manual });
  const names = async () => (await source.list()).map(({ name }) => name);
  scratch.put('a.yaml', numbered(1));
  t.deepEqual(await names(), ['pod-1']);
  scratch.put('b.yaml', 'apiVersion: v1\nkind: Pod\n');
  await t.throwsAsync(names(), {
    code: 'PODS_UNREADABLE',
    message: /^which pods there are is not known: .*metadata is missing$/,
  });
  scratch.put('b.yaml', 'apiVersion: v1\nkind: ConfigMap\n');
  await t.throwsAsync(names(), { code: 'PODS_UNREADABLE' });
  manual.advance(1_000);
  t.deepEqual(await names(), ['pod-1']);
});

test('what the agent wrote about a pod stands on it, as the API server would have it', async (t) => {
  using scratch = new Scratch();
  const write = (uid: string, annotations: object) => {
    const status = { namespace: 'shop', pod: 'web', uid, annotations, conditions: [], events: [] };
    scratch.put('.status/shop_web.json', status);
  };
  mkdirSync(scratch.join('.status'));
  const requests = { 'berth.dev/ports': 'web', 'berth.dev/mappings': 'copied', 'port.berth.dev/gone': '1' };
  scratch.put('web.yaml', podObject({ annotations: requests }));
  const source = new DirectorySource(scratch.path, { clock });
  const annotations = async () => (await source.get('shop', 'web'))?.annotations;
  t.deepEqual(await annotations(), requests);

  write('uid-1', { 'berth.dev/mappings': '[]', 'port.berth.dev/web': '23117', 'berth.dev/pool': 'games' });
  t.deepEqual(await annotations(), {
    'berth.dev/ports': 'web',
    'berth.dev/mappings': '[]',
    'port.berth.dev/web': '23117',
  });
  // V10: what stands there about another life of the pod, or is none of the agent's, does not count.
  write('uid-0', { 'berth.dev/mappings': '[]' });
  t.deepEqual(await annotations(), requests);
  for (const garbage of ['{', '[]', '{"uid": "uid-1"}', '{"__proto__": {"uid": "uid-1"}}']) {
    scratch.put('.status/shop_web.json', garbage);
    t.deepEqual(await annotations(), requests);
  }
});

test('the watch ends with its signal, at once and for good', async (t) => {
  using scratch = new Scratch();
  const manual = new ManualClock();
  const source = new DirectorySource(scratch.path, { clock: manual });
  const watching = new Watching(source);
  await watching.heard('listed');
  await watching.end();
  scratch.put('web.yaml', podObject());
  t.is((await source.get('shop', 'web'))?.uid, 'uid-1');
  t.deepEqual(watching.news, []);
  t.deepEqual(manual.pending, []);
  await using again = new Watching(source);
  await again.heard('listed web');
});

test('a watch whose signal has aborted before tells nothing', async (t) => {
  using scratch = new Scratch();
  const silent = { listed: () => t.fail(), changed: () => t.fail(), deleted: () => t.fail(), failed: () => t.fail() };
  await new DirectorySource(scratch.path, { clock }).watch(silent, AbortSignal.abort());
  t.pass();
});

test('a file in the place of the directory is reported, and nothing is deleted', async (t) => {
  using scratch = new Scratch();
  writeFileSync(scratch.join('pods'), '');
  await using watching = new Watching(new DirectorySource(scratch.join('pods'), { clock }));
  await watching.heard('failed');
  t.regex(watching.errors[0]?.message ?? '', /ENOTDIR/);
});
