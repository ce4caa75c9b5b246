/** The judges of the simulation can find what they are for: bugs that are put back in are found, each by the rule that forbids it. */
import test from 'ava';
import { simulateTogether } from './simulation.ts';
import { TOGETHER_VARIANTS } from './variants.ts';

const SEEDS = 60;

for (const { title, rule, alter, make } of TOGETHER_VARIANTS) {
  test(`found: ${title}`, async (t) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation } = await simulateTogether(seed, { alter, wrap: make?.(), judges: 'nodes' });
      if (violation?.rule !== rule) continue;
      t.log(`seed ${seed}: ${violation.rule}: ${violation.detail}`);
      t.pass();
      return;
    }
    t.fail(`none of ${SEEDS} seeds finds it`);
  });
}
