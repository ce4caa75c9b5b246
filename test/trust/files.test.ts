import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { issueServer, makeAuthority } from '../../daemon/trust/certificates.ts';
import { ChannelFiles } from '../../daemon/trust/channelfiles.ts';
import { followFiles, readToken } from '../../daemon/trust/files.ts';
import { until } from '../kube/scratch.ts';

function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'berth-trust-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const now = Date.now();
const one = makeAuthority('one', { from: now, to: now + 86_400_000 });
const two = makeAuthority('two', { from: now, to: now + 86_400_000 });

test('files that kubelet swaps as a whole are read anew as a whole', async (t) => {
  const mount = directory(t);
  const version = (name: string, identity: typeof one) => {
    mkdirSync(join(mount, name));
    writeFileSync(join(mount, name, 'tls.crt'), identity.cert);
    writeFileSync(join(mount, name, 'tls.key'), identity.key);
    symlinkSync(name, join(mount, '..next'));
    renameSync(join(mount, '..next'), join(mount, '..data'));
  };
  version('..1', one);
  for (const file of ['tls.crt', 'tls.key']) symlinkSync(join('..data', file), join(mount, file));
  const seen: string[][] = [];
  const stop = followFiles([join(mount, 'tls.crt'), join(mount, 'tls.key')], {
    read: (...texts) => [...texts],
    onChange: (texts) => seen.push(texts),
    onError: (error) => t.fail(error.message),
    pollMs: 10,
  });
  t.teardown(stop);
  t.is(seen.length, 1);
  version('..2', two);
  await until(() => seen.length === 2);
  t.deepEqual(seen[1], [two.cert, two.key]);
});

test('what cannot be used is told once, and what was good stays', async (t) => {
  const path = join(directory(t), 'ca.crt');
  const errors: string[] = [];
  const told: string[] = [];
  const stop = followFiles([path], {
    read: (text = '') => {
      if (text === 'bad') throw new Error('it is bad');
      return text;
    },
    onChange: (text) => told.push(text),
    onError: (error) => errors.push(error.message),
    pollMs: 2,
  });
  t.teardown(stop);
  t.regex(errors[0] ?? '', /ca\.crt cannot be read: ENOENT/);
  writeFileSync(path, 'good');
  await until(() => told.includes('good'));
  writeFileSync(path, 'bad');
  await until(() => errors.includes('it is bad'));
  const count = errors.length;
  writeFileSync(path, 'bad');
  writeFileSync(path, 'better');
  await until(() => told.includes('better'));
  t.true(errors.filter((error) => error === 'it is bad').length <= 2 && errors.length <= count + 2);
});

test('V27: a directory and a device without an end are no files of certificates', (t) => {
  const errors: string[] = [];
  const path = directory(t);
  for (const one of [path, '/dev/zero']) {
    followFiles([one], {
      read: (text) => text,
      onChange: () => t.fail(),
      onError: (error) => errors.push(error.message),
    })();
  }
  t.is(errors.length, 2);
});

test('an agent that starts before the authority is published takes it when it comes', async (t) => {
  const path = join(directory(t), 'ca.crt');
  const errors: Error[] = [];
  using files = new ChannelFiles({ authorities: path }, (error) => errors.push(error));
  const seen: string[] = [];
  const stop = files.follow(({ authorities }) => seen.push(authorities));
  t.is(errors.length, 1);
  writeFileSync(`${path}.new`, one.cert);
  renameSync(`${path}.new`, path);
  await until(() => seen.length === 1);
  writeFileSync(`${path}.new`, one.cert + two.cert);
  renameSync(`${path}.new`, path);
  await until(() => seen.length === 2);
  t.is(seen[1], one.cert + two.cert);
  stop();
});

test('a certificate without its key reaches no connection', (t) => {
  const path = directory(t);
  const identity = issueServer(one, ['a'], { from: now, to: now + 1_000_000 });
  writeFileSync(join(path, 'ca'), one.cert);
  writeFileSync(join(path, 'crt'), identity.cert);
  writeFileSync(join(path, 'key'), two.key);
  const errors: string[] = [];
  const paths = { authorities: join(path, 'ca'), identity: { cert: join(path, 'crt'), key: join(path, 'key') } };
  using files = new ChannelFiles(paths, (error) => errors.push(error.message));
  files.follow(() => t.fail());
  t.regex(errors[0] ?? '', /it is not the key of the certificate/);
});

test('V18: a token is read as it is now, and no error about it holds it', async (t) => {
  const path = join(directory(t), 'token');
  await t.throwsAsync(readToken(path), { code: 'CONFIG_INVALID', message: /cannot be used: ENOENT/ });
  writeFileSync(path, '\n');
  await t.throwsAsync(readToken(path), { message: /the file is empty/ });
  writeFileSync(path, 'canary one\ncanary two');
  const error = await t.throwsAsync(readToken(path), { message: /it is no token/ });
  t.false(`${error.message}${error.stack}`.includes('canary'));
  writeFileSync(path, 'good\n');
  t.is(await readToken(path), 'good');
  writeFileSync(path, 'rotated\n');
  t.is(await readToken(path), 'rotated');
});
