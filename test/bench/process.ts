/** What a process costs, from /proc: its processor time and its memory. */
import { readdirSync, readFileSync } from 'node:fs';

/** What one tick of /proc/PID/stat is, in ms (USER_HZ is 100 everywhere). */
const TICK_MS = 10;

/** The process and everything that it started. */
export function family(pid: number): readonly number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(family)];
}

/** CPU time so far: of its threads to the nanosecond, of children that have ended and of living ones. */
export function cpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const [ran = '0'] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    return Number(ran) / 1e6;
  });
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  const ended = (Number(fields[13]) + Number(fields[14])) * TICK_MS;
  const living = family(pid).slice(1).map(cpuMs);
  return [...threads, ended, ...living].reduce((sum, one) => sum + one, 0);
}

export function privateMemory(pid: number): number {
  return memory(pid, 'Private_Clean') + memory(pid, 'Private_Dirty');
}

/** A field of smaps_rollup in bytes. */
export function memory(pid: number, field: string): number {
  return kilobytes(`/proc/${pid}/smaps_rollup`, field);
}

/** The resident memory now, in bytes, and the largest that it ever was. Cheap: the kernel counts it anyway. */
export function resident(pid: number): { readonly now: number; readonly peak: number } {
  const status = `/proc/${pid}/status`;
  return { now: kilobytes(status, 'VmRSS'), peak: kilobytes(status, 'VmHWM') };
}

function kilobytes(file: string, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'utf8'));
  return 1_024 * Number(found?.[1]);
}
