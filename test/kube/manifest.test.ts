import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { isManifestName, MAX_BYTES, MAX_YAML, parseManifest, readBounded } from '../../daemon/kube/manifest.ts';
import { podObject } from './objects.ts';
import { Scratch } from './scratch.ts';

const HEAD = 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n';
const TAIL = 'spec:\n  containers:\n    - name: app\n';

const parse = (text: string | Buffer, name = 'pod.yaml') => parseManifest(Buffer.from(text as string), name);

const refused = test.macro((t, text: string | Buffer, message: string | RegExp, name?: string) => {
  const error = t.throws(() => parse(text, name), { instanceOf: BerthError, message });
  t.is(error?.code, 'PODS_UNREADABLE');
});

test('manifests are *.yaml, *.yml and *.json that are not hidden', (t) => {
  for (const name of ['a.yaml', 'a.yml', 'a.json', 'a.b.yaml', 'A b.yaml']) t.true(isManifestName(name), name);
  for (const name of ['.a.yaml', '..data', 'a.yaml~', 'a.yaml.swp', 'yaml', '.yaml', 'a.txt', ''])
    t.false(isManifestName(name), name);
});

test('YAML and JSON say the same', (t) => {
  t.deepEqual(
    parse(HEAD + TAIL),
    parse(
      JSON.stringify({
        ...podObject({ namespace: null, uid: null, annotations: {} }),
        metadata: { name: 'web' },
        spec: { containers: [{ name: 'app' }] },
        status: null,
      }),
      'pod.json',
    ),
  );
});

test('a byte order mark, comments and an end mark are no part of the object', (t) => {
  t.is(parse(`\ufeff# a web server\n---\n${HEAD}${TAIL}...\n`).name, 'web');
});

test('anchors and aliases can be used', (t) => {
  const pod = parse(
    `${HEAD}spec:\n  containers:\n    - name: a\n      ports: &ports\n        - containerPort: 80\n    - name: b\n      ports: *ports\n`,
  );
  t.deepEqual(
    pod.ports.map(({ container }) => container),
    ['a', 'b'],
  );
});

test('an empty file', refused, ' \n', 'the file is empty');
test('a comment alone', refused, '# nothing\n', 'the Pod object must be a map, not null');
test('a text that is no map', refused, 'hello', 'the Pod object must be a map, not "hello"');
test('what is not UTF-8', refused, Buffer.from([0x61, 0xff, 0xfe]), /not valid/);
test('JSON that ends early', refused, '{"apiVersion": "v1", ', /JSON/, 'pod.json');
test(
  'YAML with a mistake is refused with its place',
  refused,
  `${HEAD}  a: b: c\n`,
  /^line 5, column 6: Nested mappings/,
);
test(
  'a key that stands there twice',
  refused,
  `${HEAD}  name: other\n${TAIL}`,
  'line 5, column 3: the key "name" stands here a second time',
);
test(
  'two documents',
  refused,
  `${HEAD}${TAIL}---\n${HEAD}${TAIL}`,
  'line 8, column 1: a second document begins; write one Pod object a file',
);
test('a key that is no string', refused, '? [a]\n: b\n', /all keys must be strings/);
test('a bomb of aliases', refused, bomb(), /Excessive alias count/);
test('an alias of itself', refused, `${HEAD}x: &x\n  y: *x\nspec: *x\n`, 'spec.containers is missing');
test(
  'aliases that make a small file a large object',
  refused,
  aliasedContainers(),
  'spec must be a map with at most 1000 container ports in all',
);
test('nesting without end', refused, '['.repeat(10_000), /Maximum call stack size/);
test(
  'more YAML than is parsed',
  refused,
  `${HEAD}${TAIL}#${'x'.repeat(MAX_YAML)}`,
  /at most 65536 are read: write a larger object as JSON$/,
);

function bomb(): string {
  const lines = ['a0: &a0 [x]'];
  for (let index = 1; index < 10; index++) {
    lines.push(
      `a${index}: &a${index} [${Array(10)
        .fill(`*a${index - 1}`)
        .join(', ')}]`,
    );
  }
  return lines.join('\n');
}

function aliasedContainers(): string {
  const ports = '    - containerPort: 1\n'.repeat(500);
  return `${HEAD}x: &x\n  name: a\n  ports:\n${ports}spec:\n  containers:\n${'    - *x\n'.repeat(90)}`;
}

test('a %YAML 1.1 directive brings no merge keys and no types of its own', (t) => {
  const text = `%YAML 1.1\n---\nx: &x {uid: stolen}\n${HEAD}  <<: *x\n  creationTimestamp: 2026-01-31T12:00:00Z\n  annotations:\n    berth.dev/pool: yes\n${TAIL}`;
  t.like(parse(text), { createdAt: Date.UTC(2026, 0, 31, 12), annotations: { 'berth.dev/pool': 'yes' } });
  t.not(parse(text).uid, 'stolen');
});

test('__proto__ in YAML is a key like any other', (t) => {
  const pod = parse(
    `__proto__:\n  hostNetwork: true\n${HEAD}  annotations:\n    __proto__: {berth.dev/ports: x}\n${TAIL}`,
  );
  t.deepEqual(Object.keys(pod.annotations), []);
  t.false(pod.hostNetwork);
  t.false('hostNetwork' in {});
});

test("a parser's message that quotes the text is printable", (t) => {
  const error = t.throws(() => parse('{"\u001b[2J": \u001b]0;owned\u0007', 'pod.json'));
  t.notRegex(error?.message ?? '', /[\u0000-\u001f]/);
});

test('a large object is read as JSON', (t) => {
  const object = podObject({ metadata: { managedFields: ['x'.repeat(1_000_000)] } });
  t.is(parse(JSON.stringify(object), 'pod.json').name, 'web');
});

test('files are read through symbolic links, and directories are none', async (t) => {
  using scratch = new Scratch();
  scratch.put('target', 'text');
  symlinkSync('target', scratch.join('link.yaml'));
  mkdirSync(scratch.join('sub.yaml'));
  t.is(String(await readBounded(scratch.join('link.yaml'))), 'text');
  t.is(await readBounded(scratch.join('sub.yaml')), undefined);
});

test('what is no regular file, or too large, is refused and never waited for', async (t) => {
  using scratch = new Scratch();
  execFileSync('mkfifo', [scratch.join('fifo.yaml')]);
  await t.throwsAsync(readBounded(scratch.join('fifo.yaml')), { message: 'it is not a regular file' });
  await t.throwsAsync(readBounded('/dev/zero'), { message: 'it is not a regular file' });
  writeFileSync(scratch.join('large.json'), '');
  truncateSync(scratch.join('large.json'), MAX_BYTES + 1);
  await t.throwsAsync(readBounded(scratch.join('large.json')), { message: /^it has 2097153 bytes/ });
  await t.throwsAsync(readBounded(scratch.join('none.yaml')), { code: 'ENOENT' });
});
