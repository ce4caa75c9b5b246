import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { acquireLock, type Lock } from '../../daemon/ops/lock.ts';
import { directory, disk } from './disk.ts';

const HOLDER = fileURLToPath(new URL('lock.holder.ts', import.meta.url));

/** Takes a lock that nobody else holds; the test fails when it would have to wait. */
function take(path: string): Promise<Lock> {
  const abort = new AbortController();
  return acquireLock(path, { signal: abort.signal, onWait: () => abort.abort(new Error('it is held')) });
}

interface Waiting {
  readonly pids: readonly (number | undefined)[];
  readonly lock: Promise<Lock>;
  /** Resolves when `onWait` was called so many times. */
  told(times: number): Promise<void>;
}

/** Begins to wait for a lock. */
function waitFor(t: ExecutionContext, path: string): Waiting {
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const calls = new EventTarget();
  const pids: (number | undefined)[] = [];
  const onWait = (pid: number | undefined) => {
    pids.push(pid);
    calls.dispatchEvent(new Event('call'));
  };
  const lock = acquireLock(path, { signal: abort.signal, onWait });
  // Most tests are only about the waiting.
  lock.catch(() => undefined);
  return {
    pids,
    lock,
    async told(times) {
      while (pids.length < times) await once(calls, 'call');
    },
  };
}

/** Starts another agent; its first message is the outcome. */
async function otherAgent(t: ExecutionContext, ...args: string[]): Promise<[ChildProcess, Record<string, unknown>]> {
  const child = fork(HOLDER, args, { execArgv: [] });
  t.teardown(() => child.kill('SIGKILL'));
  const [message] = await once(child, 'message');
  if (message.child !== undefined) t.teardown(() => process.kill(message.child, 'SIGKILL'));
  return [child, message];
}

test('the directory is made for the owner alone, and the lock names its holder', async (t) => {
  const path = join(directory(t), 'var', 'berth');
  using lock = await take(path);
  t.is(lock.path, join(path, 'lock'));
  t.is(statSync(path).mode & 0o777, 0o700);
  t.is(statSync(lock.path).mode & 0o777, 0o600);
  t.is(readFileSync(lock.path, 'utf8'), `${process.pid}\n`);
});

test('two agents: the second waits, is told which pid holds the lock, and gets it when the first one ends', async (t) => {
  const path = directory(t);
  const first = await take(path);
  const second = waitFor(t, path);
  await second.told(1);
  t.deepEqual(second.pids, [process.pid]);

  first[Symbol.dispose]();

  using _ = await second.lock;
  t.deepEqual(second.pids, [process.pid]);
});

test('disposing twice does not close what another part of the process opened since', async (t) => {
  const path = directory(t);
  const lock = await take(path);
  lock[Symbol.dispose]();
  using _ = await take(path);
  lock[Symbol.dispose]();
  const abort = new AbortController();
  await t.throwsAsync(acquireLock(path, { signal: abort.signal, onWait: () => abort.abort(new Error('still held')) }), {
    message: 'still held',
  });
});

test('kill -9: the lock is free at once, also while a child of the killed agent lives', async (t) => {
  const path = directory(t);
  const [holder, said] = await otherAgent(t, path);
  t.is(said.locked, holder.pid);
  const waiting = waitFor(t, path);
  await waiting.told(1);
  t.deepEqual(waiting.pids, [holder.pid]);

  holder.kill('SIGKILL');

  using _ = await waiting.lock;
  t.notThrows(() => process.kill(said.child as number, 0), 'the child still runs');
});

test('whoever waits is told again when another agent was faster', async (t) => {
  const path = directory(t);
  const lock = await take(path);
  const waiting = waitFor(t, path);
  await waiting.told(1);
  // As the next holder does, in the moment between two attempts.
  writeFileSync(lock.path, '4711\n');
  await waiting.told(2);
  t.deepEqual(waiting.pids, [process.pid, 4711]);
});

for (const [title, content] of [
  ['empty', ''],
  ['no number', 'agent\n'],
  ['torn', '47'],
  ['hostile', '1\u001b[2J\n'],
  ['long', '9'.repeat(100_000)],
] as const) {
  test(`the holder is unknown when the file is ${title}`, async (t) => {
    const path = directory(t);
    using lock = await take(path);
    writeFileSync(lock.path, content);
    const waiting = waitFor(t, path);
    await waiting.told(1);
    t.deepEqual(waiting.pids, [undefined]);
  });
}

test('an abort ends the waiting with its reason, and takes nothing', async (t) => {
  const path = directory(t);
  const first = await take(path);
  const abort = new AbortController();
  const second = acquireLock(path, { signal: abort.signal, onWait: () => abort.abort(new Error('shutting down')) });
  await t.throwsAsync(second, { message: 'shutting down' });
  first[Symbol.dispose]();
  using _ = await take(path);
  await t.throwsAsync(acquireLock(path, { signal: AbortSignal.abort(new Error('before')), onWait: () => {} }), {
    message: 'before',
  });
});

test('a lock on a file that was replaced keeps nobody out, so the file in place is locked', async (t) => {
  const path = directory(t);
  using former = await take(path);
  const waiting = waitFor(t, path);
  await waiting.told(1);
  rmSync(former.path);
  using lock = await waiting.lock;
  t.true(existsSync(lock.path));
});

test('a full disk does not keep the agent from its lock', async (t) => {
  const { path } = disk(t, '64k');
  writeFileSync(join(path, 'lock'), '');
  t.throws(() => writeFileSync(join(path, 'ballast'), Buffer.alloc(1024 * 1024)), { code: 'ENOSPC' });
  using lock = await take(path);
  t.is(readFileSync(lock.path, 'utf8'), '');
});

test('a state directory that cannot be used is refused with the remedy', async (t) => {
  const inTheWay = join(directory(t), 'file');
  writeFileSync(inTheWay, '');
  await t.throwsAsync(take(inTheWay), {
    code: 'STATE_UNUSABLE',
    message: /not a directory.*remove it, or choose another --state-dir/,
  });
  await t.throwsAsync(take(join(inTheWay, 'below')), { code: 'STATE_UNUSABLE', message: /not a directory/ });

  const readOnly = disk(t, '64k');
  readOnly.remount('ro');
  await t.throwsAsync(take(readOnly.path), { code: 'STATE_UNUSABLE', message: /EROFS: .*mount it writable/ });

  const linked = directory(t);
  symlinkSync('/etc/passwd', join(linked, 'lock'));
  await t.throwsAsync(take(linked), { code: 'STATE_UNUSABLE', message: /a symbolic link stands where/ });

  const occupied = directory(t);
  mkdirSync(join(occupied, 'lock'));
  await t.throwsAsync(take(occupied), { code: 'STATE_UNUSABLE', message: /a directory stands where a file belongs/ });
});

test('without permission the message says so', async (t) => {
  const path = directory(t);
  chmodSync(path, 0o755);
  const [, said] = await otherAgent(t, path, '65534');
  t.regex(String(said.failed), /cannot lock .*EACCES: the agent needs read and write permission/);
});
