/** Steps that wait: however many there are, and whosever they are. */
import test from 'ava';
import { Work } from '../../daemon/claims/work.ts';
import type { Step } from '../../daemon/core/claims/steps.ts';
import { VirtualTime } from '../simulate/virtualtime.ts';

const ask = (namespace: string): Step => ({ kind: 'ask', namespace, claims: [] });

test('I10: as many steps as there can be claims may fail, and when the first is due is known', async (t) => {
  const time = new VirtualTime();
  const clock = {
    now: () => time.wall,
    monotonic: () => time.now,
    after: (ms: number, run: () => void) => time.after(ms, run),
  };
  let failed = 0;
  const work = new Work({
    clock,
    random: () => 1,
    carry: () => Promise.reject(new Error('refused')),
    done: () => {},
    failed: () => failed++,
    changed: () => {},
  });
  const count = 200_000;
  work.plan(Array.from({ length: count }, (_, index) => ask(`namespace-${index}`)));
  while (!work.idle) await new Promise((resolve) => setImmediate(resolve));
  t.is(failed, count);
  t.is(work.dueAt, 500);
});
