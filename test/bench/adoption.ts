/** 10,000 mappings, of 200 pods with 50 ports each: installed by one agent, adopted by the next. */
import type { Measure } from './items.ts';
import { podPlan } from './mappings.ts';
import { BenchNode } from './node.ts';
import { ms, row } from './row.ts';
import { median } from './statistics.ts';

export const measure: Measure = async (scale, tell) => {
  using node = new BenchNode();
  const plans = Array.from({ length: 200 }, (_, index) => podPlan(index, 50));
  node.declare(plans);
  const first = await node.observe();
  const { startedAt, passAt } = await first.until(({ mapped }) => mapped === 10_000, 'all mapped', 60);
  tell(row('10000 mappings installed by the first agent', { median: ms(passAt - startedAt) }));
  await first.stop('SIGKILL');
  const samples: number[] = [];
  for (let round = 0; round < scale.pick(7, 2); round++) {
    const agent = await node.observe();
    const { adopted, applied, mappedAt, startedAt: since } = agent.seen;
    if (adopted !== 10_000 || applied !== 0) throw new Error(`${adopted} adopted, ${applied} transactions`);
    samples.push(mappedAt - since);
    await agent.stop('SIGKILL');
  }
  tell(
    row('10000 mappings adopted at start', {
      budget: '≤ 1 s',
      median: ms(median(samples)),
      p99: ms(Math.max(...samples)),
      met: Math.max(...samples) <= 1_000,
    }),
  );
};
