/**
 * The agent as it is shipped on the real kube-apiserver: from the moment when a pod's address is visible there until its rules are
 * live in the kernel, and until its numbers can be read at the API server. One pod at a time, and 250 pods with two ports at once.
 */
import { setTimeout } from 'node:timers/promises';
import { findBinaries } from '../kube/apiserver/binaries.ts';
import { BenchCluster } from './cluster.ts';
import type { Measure } from './items.ts';
import { podPlan } from './mappings.ts';
import { ms, row } from './row.ts';
import { median, quantile } from './statistics.ts';

const PORTS = 2;
const BURST = 250;
/** A pod costs three writes (promise, mappings, Event), of which the agent has ten a second: who comes faster waits for that. */
const PACE_MS = 320;

export const measure: Measure = async (scale, tell) => {
  const binaries = findBinaries();
  if (binaries.kind === 'missing') {
    tell(row(`on the real kube-apiserver: left out, ${binaries.why}`));
    return;
  }
  await using cluster = await BenchCluster.start(binaries);
  await one(cluster, scale.pick(200, 100), tell);
  await many(cluster, scale.pick(3, 1), tell);
};

async function one(cluster: BenchCluster, pods: number, tell: Parameters<Measure>[1]): Promise<void> {
  const agent = await cluster.agent();
  const times = { live: [] as number[], sent: [] as number[], announced: [] as number[] };
  // The first one also tells that the agent watches, and is not counted.
  for (let index = 0; index <= pods; index++) {
    const plan = podPlan(index, PORTS);
    await cluster.create(plan);
    await cluster.until(() => cluster.promised.get(plan.name), 'the number is promised');
    const { sent, visible } = await cluster.address(plan);
    const live = await cluster.until(() => cluster.kernel.since(plan.ip, PORTS), 'the pod is mapped');
    const announced = await cluster.until(() => cluster.announced.get(plan.name), 'the pod is told');
    if (index > 0) {
      times.live.push(live - visible);
      times.sent.push(live - sent);
      times.announced.push(announced - visible);
    }
    await setTimeout(PACE_MS);
  }
  await agent.stop();
  const what = `${cluster.name}, one pod: address visible`;
  const figures = (samples: readonly number[]) => ({ median: ms(median(samples)), p99: ms(quantile(samples, 0.99)) });
  tell(
    row(`${what} until its rules are live`, {
      budget: 'p50 ≤ 5 ms, p99 ≤ 30 ms',
      ...figures(times.live),
      met: median(times.live) <= 5 && quantile(times.live, 0.99) <= 30,
    }),
  );
  tell(row(`the same from when kubelet's patch was sent`, figures(times.sent)));
  tell(row(`${what} until its numbers are`, figures(times.announced)));
}

async function many(cluster: BenchCluster, rounds: number, tell: Parameters<Measure>[1]): Promise<void> {
  const times = { live: [] as number[], announced: [] as number[], server: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    const first = 1_000 * (1 + round);
    const agent = await cluster.agent();
    const early = podPlan(first + BURST, PORTS);
    await cluster.create(early);
    await cluster.until(() => cluster.promised.get(early.name), 'the agent watches');
    const plans = Array.from({ length: BURST }, (_, index) => podPlan(first + index, PORTS));
    const addressed = await Promise.all(
      plans.map(async (plan) => {
        await cluster.create(plan);
        return cluster.address(plan);
      }),
    );
    const sent = Math.min(...addressed.map((one) => one.sent));
    const visible = Math.max(...addressed.map((one) => one.visible));
    const last = (moments: readonly (number | undefined)[]) =>
      moments.includes(undefined) ? undefined : Math.max(...moments.map(Number));
    const live = await cluster.until(() => last(plans.map(({ ip }) => cluster.kernel.since(ip, PORTS))), 'all mapped');
    const announced = await cluster.until(
      () => last(plans.map(({ name }) => cluster.announced.get(name))),
      'all told',
      120,
    );
    times.live.push(live - visible);
    times.server.push(visible - sent);
    times.announced.push(announced - visible);
    await agent.stop();
    await Promise.all([early, ...plans].map((plan) => cluster.remove(plan)));
  }
  const what = `${cluster.name}, ${BURST} pods with ${PORTS} ports at once`;
  const figures = (samples: readonly number[]) => ({ median: ms(median(samples)), p99: ms(Math.max(...samples)) });
  tell(
    row(`${what}: last address visible until all are live`, {
      budget: '≤ 300 ms',
      ...figures(times.live),
      met: median(times.live) <= 300,
    }),
  );
  tell(row(`${what}: until the numbers of all are visible`, figures(times.announced)));
  tell(row(`${what}: first address sent until the last is visible`, figures(times.server)));
}
