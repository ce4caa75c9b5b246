/** The simulation can fail: each known bug of the field, put back in, breaks the invariant that forbids it. */
import test from 'ava';
import { firstCatch, unchanged } from './variants/variant.ts';
import { VARIANTS } from './variants/variants.ts';

/** Most bugs show within ten seeds; those that need a rare fault besides within so many. */
const SEEDS = 400;
/** As many as nearly all bugs need. */
const CONTROL_SEEDS = 60;

for (const { bug, whose, breaks, make } of VARIANTS) {
  test(`${breaks.join(' or ')} is broken when ${bug} (${whose})`, async (t) => {
    const found = await firstCatch(make, SEEDS, breaks);
    t.truthy(found, `no seed up to ${SEEDS} caught it`);
    t.log(`seed ${found?.seed}: ${found?.violation.message}`);
  });
}

test('nothing is broken when a world is wrapped and stays as it is', async (t) => {
  const found = await firstCatch(unchanged, CONTROL_SEEDS);
  t.is(found?.violation.message, undefined, `seed ${found?.seed}`);
});
