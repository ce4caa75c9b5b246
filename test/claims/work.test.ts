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

test('what ended while a plan was made is not done by it once more', async (t) => {
  const time = new VirtualTime();
  const clock = {
    now: () => time.wall,
    monotonic: () => time.now,
    after: (ms: number, run: () => void) => time.after(ms, run),
  };
  const carried: string[] = [];
  const ending = Promise.withResolvers<void>();
  const work = new Work({
    clock,
    random: () => 1,
    carry: async (step) => {
      if (step.kind === 'ask') carried.push(step.namespace);
      await ending.promise;
      return 'done';
    },
    done: () => {},
    failed: () => {},
    changed: () => {},
  });
  const idle = async () => {
    while (!work.idle) await new Promise((resolve) => setImmediate(resolve));
  };
  work.begin();
  work.plan([ask('shop')]);
  // The next plan is begun with what is seen before that has ended.
  work.begin();
  ending.resolve();
  await idle();
  work.plan([ask('shop'), ask('arena')]);
  await idle();
  t.deepEqual(carried, ['shop', 'arena']);
  work.begin();
  work.plan([ask('shop')]);
  await idle();
  t.deepEqual(carried, ['shop', 'arena', 'shop']);
});
