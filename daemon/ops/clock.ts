/** The system's time as the loop's clock. */
import type { Clock } from '../reconcile/ports.ts';

/** Longest delay of a Node timer, in ms: a longer one would fire at once. */
const MAX_TIMER = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, Math.min(ms, MAX_TIMER));
    return () => clearTimeout(timer);
  },
};
