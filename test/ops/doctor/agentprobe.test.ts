import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { probeLock, probeSockets, probeState, processName } from '../../../daemon/ops/doctor/agentprobe.ts';
import { acquireLock } from '../../../daemon/ops/lock.ts';

function stateDir(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-probe-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('the lock: there is none, nobody holds it, this process does', async (t) => {
  const directory = stateDir(t);
  t.deepEqual(await probeLock(directory), { kind: 'seen', value: { exists: false } });
  writeFileSync(join(directory, 'lock'), '4711\n');
  t.deepEqual(await probeLock(directory), { kind: 'seen', value: { exists: true } });
  using _lock = await acquireLock(directory, { signal: AbortSignal.timeout(5_000), onWait: () => t.fail() });
  const holder = { pid: process.pid, name: await processName(process.pid) };
  t.deepEqual(await probeLock(directory), { kind: 'seen', value: { exists: true, holder } });
});

test('the state file: there is none, it is none, it may not be followed', async (t) => {
  const directory = stateDir(t);
  t.deepEqual(await probeState(directory), { kind: 'seen', value: { state: undefined } });
  writeFileSync(join(directory, 'state.json'), '{"torn":');
  const torn = await probeState(directory);
  t.true(torn.kind === 'seen' && torn.value.state === undefined && torn.value.problem !== undefined);
  rmSync(join(directory, 'state.json'));
  symlinkSync('/etc/passwd', join(directory, 'state.json'));
  t.is((await probeState(directory)).kind, 'unseen');
});

test('the sockets of a process that has ended cannot be seen', async (t) => {
  t.is((await probeSockets(process.pid)).kind, 'seen');
  // Above the largest pid of any kernel (PID_MAX_LIMIT is 2^22).
  t.is((await probeSockets(2 ** 22 + 1)).kind, 'unseen');
});
