/**
 * A process that takes the lock of the directory in its first argument, says `locked` and keeps it until it is killed. With a
 * second argument it does so as that user, or says the message of the error.
 */
import { spawn } from 'node:child_process';
import { acquireLock } from '../../daemon/ops/lock.ts';

const [, , directory = '', user] = process.argv;
if (user !== undefined) process.setuid?.(Number(user));
try {
  const signal = new AbortController().signal;
  await acquireLock(directory, { signal, onWait: (pid) => process.send?.({ waitsFor: pid }) });
  // A child that outlives this process must not keep the lock: descriptors are close-on-exec.
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  process.send?.({ locked: process.pid, child: child.pid });
} catch (error) {
  process.send?.({ failed: error instanceof Error ? error.message : '' });
}
