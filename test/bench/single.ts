/** One pod gets its address, beside 500 mappings: how long until its rule is committed. Its number was promised before. */
import { setTimeout } from 'node:timers/promises';
import type { Measure } from './items.ts';
import { podPlan } from './mappings.ts';
import { BenchNode } from './node.ts';
import { now } from './observation.ts';
import { ms, row } from './row.ts';
import { median, p99 } from './statistics.ts';

const OTHERS = 250;
const PAUSE_MS = 25;

export const measure: Measure = async (scale, tell) => {
  const pods = scale.pick(200, 60);
  for (const memory of [false, true]) {
    using node = new BenchNode();
    const agent = await node.observe({ memory });
    const plans = Array.from({ length: OTHERS + pods }, (_, index) => podPlan(index, 2));
    const others = plans.slice(0, OTHERS);
    if (memory) agent.send(others);
    else node.declare(others);
    await agent.until(({ mapped }) => mapped === 2 * OTHERS, 'the others are mapped');
    const samples: number[] = [];
    for (const plan of plans.slice(OTHERS)) {
      const { passes, mapped } = agent.seen;
      const { ip: _address, ...without } = plan;
      if (memory) agent.send([without]);
      else node.declare([without]);
      await agent.until((seen) => seen.passes > passes, 'the number is promised');
      // A container runtime takes longer to give a pod its address; the agent has written down what it promised by then.
      await setTimeout(PAUSE_MS);
      const show = memory ? () => agent.send([plan]) : node.stage([plan]);
      const start = now();
      show();
      const { appliedAt } = await agent.until((seen) => seen.mapped > mapped, 'the pod is mapped');
      samples.push(appliedAt - start);
    }
    tell(
      row(`one pod's address visible ${memory ? 'as an event' : 'in a file'} until its rule is live, 500 others`, {
        budget: 'p50 ≤ 5 ms, p99 ≤ 30 ms',
        median: ms(median(samples)),
        p99: ms(p99(samples)),
        met: median(samples) <= 5 && p99(samples) <= 30,
      }),
    );
    await agent.stop('SIGKILL');
  }
};
