/**
 * One agent a node: an exclusive flock(2) on `<stateDir>/lock`, taken before anything else is touched. The kernel gives it
 * back when the process dies, however it dies. The agent never removes the file: another process may hold a lock on it by
 * then. Only `berth uninstall` does, while it holds the lock itself: whoever opened the file before finds that it is gone.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { makeDirectory } from '../native/directory.ts';
import { flock } from '../native/libc.ts';
import { stateUnusable } from './statedir.ts';

const POLL_MS = 200;

export interface Lock extends Disposable {
  /** The locked file. */
  readonly path: string;
}

export interface LockOptions {
  /** Ends the waiting: the promise rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /**
   * Another process holds the lock: called once for each such process, with its pid as that process sees itself
   * (in its own pid namespace), undefined when it cannot be read.
   */
  readonly onWait: (pid: number | undefined) => void;
}

/**
 * Waits until this process holds the lock of the state directory, which is created (0700) where it is missing. Rejects with
 * STATE_UNUSABLE when the directory cannot be used. Disposing gives the lock back.
 */
export async function acquireLock(stateDir: string, options: LockOptions): Promise<Lock> {
  const { signal, onWait } = options;
  const path = join(stateDir, 'lock');
  let told = false;
  let holder: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const result = attempt(stateDir, path);
    if (result.kind === 'locked') return lockOf(path, result.file);
    if (!told || result.holder !== holder) onWait(result.holder);
    told = true;
    holder = result.holder;
    // An abort ends the timer early; the head of the loop then throws its reason.
    await setTimeout(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

type Attempt =
  | { readonly kind: 'locked'; readonly file: number }
  | { readonly kind: 'held'; readonly holder: number | undefined };

/** The file is opened anew at each attempt: somebody may have replaced it since. */
function attempt(stateDir: string, path: string): Attempt {
  let file: number | undefined;
  try {
    makeDirectory(stateDir, 0o700);
    file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    if (flock(file) && isAt(file, path)) {
      writePid(file);
      return { kind: 'locked', file };
    }
    const holder = readPid(file);
    closeSync(file);
    return { kind: 'held', holder };
  } catch (error) {
    if (file !== undefined) closeSync(file);
    throw stateUnusable('lock', path, error);
  }
}

/** A lock on a file that was removed or replaced in between keeps nobody out. */
function isAt(file: number, path: string): boolean {
  const mine = fstatSync(file);
  const present = statSync(path, { throwIfNoEntry: false });
  return present !== undefined && present.ino === mine.ino && present.dev === mine.dev;
}

/** For people only. On a full disk the lock holds all the same. */
function writePid(file: number): void {
  try {
    ftruncateSync(file);
    writeSync(file, `${process.pid}\n`, 0);
  } catch {
    // The holder is then unknown to whoever waits.
  }
}

function readPid(file: number): number | undefined {
  const buffer = Buffer.alloc(16);
  const text = buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0));
  return /^[1-9]\d{0,9}\n$/.test(text) ? Number(text) : undefined;
}

function lockOf(path: string, file: number): Lock {
  let open = true;
  return {
    path,
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      closeSync(file);
    },
  };
}
