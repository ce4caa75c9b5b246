/** Clocks on which what takes minutes is over soon; everything else is as it is. */
import { systemClock } from '../../daemon/ops/clock.ts';
import type { Clock } from '../../daemon/reconcile/ports.ts';

/** Waits of at least `from` ms take a hundredth, or whatever `factor` says, of their time. */
export function hasty(from: number, factor = 100): Clock {
  return { ...systemClock, after: (ms, call) => systemClock.after(ms >= from ? ms / factor : ms, call) };
}
