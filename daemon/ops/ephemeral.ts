/**
 * Keeps the kernel from choosing a number of a pool as somebody's ephemeral port, also while no agent runs: the numbers
 * are added to `net.ipv4.ip_local_reserved_ports` (IPv6 uses it too; both files belong to the network namespace). What
 * others put into the list is never removed. (Kernel: Documentation/networking/ip-sysctl.rst; kernel/sysctl.c,
 * proc_do_large_bitmap.)
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../core/errors.ts';
import { formatRanges, type PortRange } from '../core/pool.ts';
import type { ChangedSetting } from '../core/state.ts';

export const RESERVED_PORTS = 'net.ipv4.ip_local_reserved_ports';

/**
 * How many ephemeral ports must be left to the node. Without them its own connections fail with EADDRNOTAVAIL, which is
 * worse than a pool number that is taken now and then.
 */
export const MIN_EPHEMERAL = 1024;

/** Every second port, `1,3,5,…`, is the longest list that there is: 190 KB. */
const MAX_LIST_BYTES = 256 * 1024;

export interface Protection {
  /** What stood there before this call; absent when nothing had to change. Only the first record must be kept. */
  readonly changed?: ChangedSetting;
  /** What is unprotected, and the remedy. */
  readonly warning?: string;
}

/** The numbers of `ranges` in ascending order, as few ranges as possible. */
export function mergeRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const last = merged.at(-1);
    if (last === undefined || range.first > last.last + 1) merged.push(range);
    else merged[merged.length - 1] = { first: last.first, last: Math.max(last.last, range.last) };
  }
  return merged;
}

/** The pool ranges that share a number with the ephemeral range: they are protected as a whole, as that range may be moved. */
export function overlapping(pools: readonly PortRange[], ephemeral: PortRange): readonly PortRange[] {
  return pools.filter((range) => range.first <= ephemeral.last && range.last >= ephemeral.first);
}

/** The numbers of `ranges` that are in none of `others`, in ascending order. */
export function subtractRanges(ranges: readonly PortRange[], others: readonly PortRange[]): readonly PortRange[] {
  const holes = mergeRanges(others);
  const left: PortRange[] = [];
  let next = 0;
  for (let { first, last } of mergeRanges(ranges)) {
    while ((holes[next]?.last ?? last) < first) next++;
    for (let at = next; (holes[at]?.first ?? Number.POSITIVE_INFINITY) <= last; at++) {
      const hole = holes[at] as PortRange;
      if (hole.first > first) left.push({ first, last: hole.first - 1 });
      first = Math.max(first, hole.last + 1);
    }
    if (first <= last) left.push({ first, last });
  }
  return left;
}

/** How many numbers of `range` are in none of `ranges`, which do not overlap each other. */
export function countOutside(range: PortRange, ranges: readonly PortRange[]): number {
  let count = range.last - range.first + 1;
  for (const { first, last } of ranges) {
    count -= Math.max(0, Math.min(last, range.last) - Math.max(first, range.first) + 1);
  }
  return count;
}

/** Reads `8080,9148-9150`, as the kernel prints it. Throws on anything else. */
export function parseRanges(text: string): readonly PortRange[] {
  const list = text.trim();
  if (list === '') return [];
  return list.split(',').map((part) => {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    if (first === undefined) throw new Error(`"${part.slice(0, 32)}" is not a range of ports`);
    return { first: Number(first), last: Number(last) };
  });
}

/**
 * Adds the pools to the reserved ports where they overlap the ephemeral range. Never throws: the agent runs without this
 * protection, and says so. `root` is where /proc/sys is mounted writable.
 */
export function protectFromEphemeral(pools: readonly PortRange[], root = '/proc/sys'): Protection {
  const reservedFile = join(root, 'net/ipv4/ip_local_reserved_ports');
  let wanted = pools;
  try {
    const ephemeral = parseEphemeral(readSetting(join(root, 'net/ipv4/ip_local_port_range')));
    wanted = overlapping(pools, ephemeral);
    const before = readSetting(reservedFile).trim();
    const standing = mergeRanges(parseRanges(before));
    const missing = wanted.filter((range) => countOutside(range, standing) > 0);
    if (missing.length === 0) return {};
    wanted = missing;
    const all = mergeRanges([...standing, ...missing]);
    const left = countOutside(ephemeral, all);
    if (left < MIN_EPHEMERAL) {
      return { warning: warningOf(missing, `only ${left} ephemeral ports would be left to the node`) };
    }
    writeSetting(reservedFile, formatRanges(all));
    const added = formatRanges(subtractRanges(missing, standing));
    return { changed: { setting: RESERVED_PORTS, before, added } };
  } catch (error) {
    if (wanted.length === 0) return {};
    return { warning: warningOf(wanted, `${reservedFile} cannot be changed: ${messageOf(error)}`) };
  }
}

/** The list of reserved ports as it is and as it is to be, as the kernel prints it. */
export interface ReservedList {
  readonly from: string;
  readonly to: string;
}

/**
 * Takes what Berth added out of the list again: what stood there before and what others added since stay, and nothing that
 * somebody took out comes back. A record that does not say what was added is read as `pools`. Throws what reading or
 * writing the file throws. `dryRun`: nothing is written.
 */
export function unprotect(
  { before, added }: ChangedSetting,
  pools: readonly PortRange[],
  dryRun: boolean,
  root = '/proc/sys',
): ReservedList {
  const file = join(root, 'net/ipv4/ip_local_reserved_ports');
  const from = readSetting(file).trim();
  const mine = subtractRanges(added === undefined ? pools : parseRanges(added), parseRanges(before));
  const kept = subtractRanges(parseRanges(from), mine);
  const to = formatRanges(kept);
  const same = formatRanges(mergeRanges(parseRanges(from))) === to;
  if (!same && !dryRun) writeSetting(file, to);
  return { from, to: same ? from : to };
}

/** The ranges of the pools that the kernel may take an ephemeral port from, as things stand. Throws what reading a file throws. */
export function unprotectedRanges(pools: readonly PortRange[], root = '/proc/sys'): readonly PortRange[] {
  const ephemeral = parseEphemeral(readSetting(join(root, 'net/ipv4/ip_local_port_range')));
  const standing = mergeRanges(parseRanges(readSetting(join(root, 'net/ipv4/ip_local_reserved_ports'))));
  return overlapping(pools, ephemeral).filter((range) => countOutside(range, standing) > 0);
}

function warningOf(ranges: readonly PortRange[], why: string): string {
  const list = formatRanges(mergeRanges(ranges));
  return (
    `ports ${list} are not protected from being chosen as ephemeral ports (${why}); ` +
    `move the pool out of net.ipv4.ip_local_port_range, or set ${RESERVED_PORTS} to include ${list} on the node, ` +
    'or mount /proc/sys/net of the node writable and name its place with --proc-sys'
  );
}

function parseEphemeral(text: string): PortRange {
  const [first, last] = text.trim().split(/\s+/).map(Number);
  if (first === undefined || last === undefined || !(first >= 1 && first <= last)) {
    throw new Error(`ip_local_port_range is "${text.trim().slice(0, 32)}"`);
  }
  return { first, last };
}

/** In one read(2): the kernel answers a second one with "end of file", and `readFileSync` reads 8 KiB at a time. */
function readSetting(path: string): string {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(MAX_LIST_BYTES);
    return buffer.toString('latin1', 0, readSync(file, buffer));
  } finally {
    closeSync(file);
  }
}

/**
 * The kernel takes at most a page in one write(2) and stops before a number that is cut in two; a further write at a
 * position that is not 0 adds to the list instead of replacing it.
 */
function writeSetting(path: string, text: string): void {
  const bytes = Buffer.from(`${text}\n`, 'latin1');
  const file = openSync(path, 'w');
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
  } finally {
    closeSync(file);
  }
}
