/**
 * What the agent of this node has left on the file system and in /proc: its lock, its state file, its sockets. It must never
 * take the lock, not for an instant, nor touch the state file: an agent that starts meanwhile would be misled.
 */
import { constants } from 'node:fs';
import { open, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Seen, seen, unseen } from '../../core/diagnosis.ts';
import { messageOf } from '../../core/errors.ts';
import { codeOf } from '../statedir.ts';
import { decodeState } from '../stateformat.ts';
import type { LockFacts, StateFacts } from './facts.ts';

/** Some 250,000 grants, more than a node has ports. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Who holds `<stateDir>/lock`, as the kernel lists it in /proc/locks. Never rejects. */
export async function probeLock(stateDir: string): Promise<Seen<LockFacts>> {
  const path = join(stateDir, 'lock');
  try {
    const [{ dev, ino }, written, locks] = await Promise.all([
      stat(path, { bigint: true }),
      readFile(path, 'latin1').catch(() => ''),
      readFile('/proc/locks', 'latin1'),
    ]);
    const pid = holderOf(locks, dev, ino, Number(written.trim()));
    return seen({ exists: true, ...(pid === undefined ? {} : { holder: { pid, name: await processName(pid) } }) });
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? seen({ exists: false }) : unseen(messageOf(error));
  }
}

/**
 * `1: FLOCK  ADVISORY  WRITE 4711 08:01:1337 0 EOF`; waiting ones have `->`. On some file systems (overlayfs, btrfs) the
 * device is another one than stat(2) says: there the pid that stands in the file has to be the same.
 */
function holderOf(locks: string, dev: bigint, ino: bigint, written: number): number | undefined {
  const device = `${hex(majorOf(dev))}:${hex(minorOf(dev))}:${ino}`;
  for (const line of locks.split('\n')) {
    const [, kind, , , pid = '', place = ''] = line.split(/\s+/);
    if (kind !== 'FLOCK') continue;
    if (place === device || (place.endsWith(`:${ino}`) && Number(pid) === written)) return Number(pid);
  }
  return undefined;
}

/** gnu_dev_major(3) and gnu_dev_minor(3). */
function majorOf(dev: bigint): bigint {
  return ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
}

function minorOf(dev: bigint): bigint {
  return (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
}

function hex(number: bigint): string {
  return number.toString(16).padStart(2, '0');
}

/** The state file as it is. Never rejects. */
export async function probeState(stateDir: string): Promise<Seen<StateFacts>> {
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    await using file = await open(join(stateDir, 'state.json'), flags);
    const { size } = await file.stat();
    if (size > MAX_BYTES) return seen({ state: undefined, problem: `it is larger than ${MAX_BYTES} bytes` });
    return seen(decodeState(await file.readFile('utf8')));
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? seen({ state: undefined }) : unseen(messageOf(error));
  }
}

/** How many sockets the process has open. Never rejects. */
export async function probeSockets(pid: number): Promise<Seen<number>> {
  try {
    return seen((await socketsOf(pid)).length);
  } catch (error) {
    return unseen(messageOf(error));
  }
}

/** The inodes of the process's sockets. Rejects when it has ended or may not be looked at. */
export async function socketsOf(pid: number): Promise<readonly string[]> {
  const directory = `/proc/${pid}/fd`;
  const links = await Promise.all(
    // A descriptor may be closed meanwhile.
    (await readdir(directory)).map((fd) => readlink(join(directory, fd)).catch(() => '')),
  );
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}

/** How a process was called, without its path and arguments; empty when there is none. */
export async function processName(pid: number): Promise<string> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  // A thread of the kernel has no command line.
  return basename(command.split('\0')[0] ?? '') || (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
}
