/** What the C library keeps of the memory that was given back to it. */
import { libcFunction } from './libc.ts';

const trim = libcFunction<(keep: number) => number>('int malloc_trim(size_t)');

/** What was begun by the caller has ended by then. */
const SOON_MS = 5_000;

let due: NodeJS.Timeout | undefined;

/**
 * In 5 s, gives the kernel the pages that malloc holds free between others, which glibc does by itself only at the end of the heap:
 * 5 to 15 MB after the agent's start, in 2 ms. Calls until then are one. Does nothing where the C library has no malloc_trim (musl).
 */
export function giveBackMemorySoon(): void {
  if (due !== undefined) return;
  due = setTimeout(() => {
    due = undefined;
    try {
      trim()(0);
    } catch {
      // Nothing is lost but memory.
    }
  }, SOON_MS).unref();
}
