/** 250 pods with two ports each appear at once: how long until all are live. From a directory, and as events in memory. */
import type { Measure } from './items.ts';
import { podPlan } from './mappings.ts';
import { BenchNode } from './node.ts';
import { now } from './observation.ts';
import { ms, row } from './row.ts';
import { median } from './statistics.ts';

const PODS = 250;
const MAPPINGS = 2 * PODS;

export const measure: Measure = async (scale, tell) => {
  for (const memory of [false, true]) {
    const samples: number[] = [];
    for (let round = 0; round < scale.pick(7, 3); round++) {
      using node = new BenchNode();
      const agent = await node.observe({ memory });
      const plans = Array.from({ length: PODS }, (_, index) => podPlan(index, 2));
      const show = memory ? () => agent.send(plans) : node.stage(plans);
      const start = now();
      show();
      const { mappedAt } = await agent.until(({ mapped }) => mapped === MAPPINGS, 'all mapped');
      samples.push(mappedAt - start);
      await agent.stop('SIGKILL');
    }
    tell(
      row(`${PODS} pods with 2 ports appear at once, ${memory ? 'as events' : 'as files'}, until all are live`, {
        budget: '≤ 300 ms',
        median: ms(median(samples)),
        p99: ms(Math.max(...samples)),
        met: median(samples) <= 300,
      }),
    );
  }
};
