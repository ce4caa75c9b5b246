/**
 * What the process keeps of memory that it needs no more: what malloc holds free, garbage that is not collected yet, and the program's own code
 * of the start.
 */
import { readFileSync } from 'node:fs';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { libcFunction } from './libc.ts';

const trim = libcFunction<(keep: number) => number>('int malloc_trim(size_t)');
// An address as a number: an address that the process can have fits into a double.
const advise = libcFunction<(start: number, bytes: number, advice: number) => number>(
  'int madvise(uintptr_t, size_t, int)',
);

const tune = libcFunction<(parameter: number, value: number) => number>('int mallopt(int, int)');

// <malloc.h> of glibc.
const M_TOP_PAD = -2;
const M_MMAP_THRESHOLD = -3;
const M_MMAP_MAX = -4;
/** A frame or a record of many connections is held for milliseconds. */
const LARGE_BYTES = 16 * 1024;
/** A process may have 65,530 mappings (vm.max_map_count), and V8 needs some thousands. */
const MAX_LARGE = 20_000;

/**
 * From now on malloc gives what is large a place of its own, which the kernel has again once it is free, instead of one between small
 * things that stay: for a process whose memory comes and goes. To take new memory becomes dearer: 5,000 connections cost a fifth more
 * of the processor. Does nothing where the C library has no mallopt (musl).
 */
export function keepLittleFree(): void {
  attempt(() => {
    tune()(M_MMAP_THRESHOLD, LARGE_BYTES);
    tune()(M_MMAP_MAX, MAX_LARGE);
    tune()(M_TOP_PAD, 0);
  });
}

/** By how much the heap grows, in per cent of what stays, until garbage is collected. */
const GROWTH_PERCENT = 20;
/** What stays of a smaller heap is worth no more collections: each of them delays answers. */
const LARGE_HEAP_BYTES = 128 * 1024 * 1024;

/**
 * From now on V8 collects garbage when its heap has grown by a fifth, and not when it has doubled or more: for a process with hundreds of
 * megabytes that stay, once they are there: a heap that grows to that size would be gone through again and again. Does nothing for a
 * small heap.
 */
export function collectSooner(heapBytes = getHeapStatistics().used_heap_size): void {
  if (heapBytes < LARGE_HEAP_BYTES) return;
  // Read whenever a collection has ended, as what the next limit is.
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}

/** What was begun by the caller has ended by then. */
const SOON_MS = 5_000;
const MADV_DONTNEED = 4;

let due: NodeJS.Timeout | undefined;
/** The code that only the start needs is mapped yet. */
let codeOfStart = true;

/**
 * In 5 s, gives the kernel what the process does not need: calls until then are one.
 * The pages that malloc holds free between others, which glibc does by itself only at the end of the heap: 5 to 15 MB after
 * the agent's start, in 2 ms; nothing where the C library has no malloc_trim (musl).
 * The first time also the program's code: see `dropProgramCode`.
 */
export function giveBackMemorySoon(): void {
  if (due !== undefined) return;
  due = setTimeout(() => {
    due = undefined;
    // Nothing is lost but memory.
    attempt(() => trim()(0));
    if (codeOfStart) attempt(() => dropProgramCode(readFileSync('/proc/self/smaps', 'latin1'), process.execPath));
    codeOfStart = false;
  }, SOON_MS).unref();
}

/**
 * Has the kernel forget which pages of the program's code are mapped: what still runs is mapped again at its next use, from the
 * page cache (16 pages a fault, no reading), and the tens of megabytes of V8 and Node that only a start needs are not, so that
 * they no longer count as the process's and a node short of memory can drop them. Gives the number of bytes. A mapping with a page of
 * its own (a breakpoint, or a uprobe of somebody who observes this program) is left alone: MADV_DONTNEED would take that away.
 */
export function dropProgramCode(smaps: string, program: string): number {
  let dropped = 0;
  for (const { start, end, anonymous } of codeOf(smaps, program)) {
    if (anonymous === 0 && advise()(start, end - start, MADV_DONTNEED) === 0) dropped += end - start;
  }
  return dropped;
}

/** The mappings of a file that are code, from the text of /proc/PID/smaps. Exported for its tests. */
export function codeOf(
  smaps: string,
  program: string,
): readonly { readonly start: number; readonly end: number; readonly anonymous: number }[] {
  // The lines of one mapping begin with its range; the keys below it begin with a capital letter.
  return smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap((text) => {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +(.*)$/m.exec(text);
    if (head === null || head[3] !== program) return [];
    const anonymous = /^Anonymous: +(\d+) kB$/m.exec(text)?.[1];
    // Without the count nothing is known of the mapping.
    if (anonymous === undefined) return [];
    return [
      {
        start: Number.parseInt(head[1] ?? '', 16),
        end: Number.parseInt(head[2] ?? '', 16),
        anonymous: Number(anonymous),
      },
    ];
  });
}

function attempt(act: () => void): void {
  try {
    act();
  } catch {
    // Memory only.
  }
}
