/** The judge of the simulation can find what it is for: bugs that are put back in are found, each by the rule that forbids it. */
import test from 'ava';
import { simulate } from './simulation.ts';
import { VARIANTS } from './variants.ts';

const SEEDS = 400;

for (const { title, rules, alter } of VARIANTS) {
  test(`found: ${title}`, async (t) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation } = await simulate(seed, { alter, force: false });
      // What breaks one rule in the end may break another first: it is found when it breaks its own.
      if (violation === undefined || !rules.includes(violation.rule)) continue;
      t.log(`seed ${seed}: ${violation.rule}: ${violation.detail}`);
      t.pass();
      return;
    }
    t.fail(`none of ${SEEDS} seeds finds it`);
  });
}

test('a wrapper that changes nothing breaks nothing', async (t) => {
  for (let seed = 1; seed <= 20; seed++) t.is((await simulate(seed, { alter: (api) => api })).violation, undefined);
});
