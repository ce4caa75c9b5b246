/** Clocks on which what takes minutes is over soon; everything else is as it is. */
import { systemClock } from '../../daemon/ops/clock.ts';
import type { Clock } from '../../daemon/reconcile/ports.ts';

/** Waits of at least `from` ms take a hundredth, or whatever `factor` says, of their time. */
export function hasty(from: number, factor = 100): Clock {
  return { ...systemClock, after: (ms, call) => systemClock.after(ms >= from ? ms / factor : ms, call) };
}

/** Time that passes as fast as it can be told. */
export function computedTime() {
  const timers = new Map<object, { readonly at: number; readonly call: () => void }>();
  let now = 0;
  return {
    clock: {
      now: () => now,
      monotonic: () => now,
      after: (ms: number, call: () => void) => {
        const key = {};
        timers.set(key, { at: now + ms, call });
        return () => void timers.delete(key);
      },
    },
    pass: (ms: number) => {
      const due = [...timers].filter(([, { at }]) => at <= now + ms).sort(([, one], [, other]) => one.at - other.at);
      for (const [key, { at, call }] of due) {
        if (!timers.delete(key)) continue;
        now = at;
        call();
      }
      now += ms;
    },
  };
}
