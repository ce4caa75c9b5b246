/** The agent as it is shipped, with 500 mappings of 250 pods and nothing to do: memory and CPU, its child processes included. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { makeBundle, NODE_FLAGS, RUN_ENV } from '../../deploy/bundle.ts';
import { Namespace } from '../kernel/namespace.ts';
import type { Measure } from './items.ts';
import { podPlan } from './mappings.ts';
import { BenchNode } from './node.ts';
import { cpuMs, family, memory, privateMemory } from './process.ts';
import { megabytes, row } from './row.ts';

const PODS = 250;

export const measure: Measure = async (scale, tell) => {
  const directory = mkdtempSync(join(tmpdir(), 'berth-dist-'));
  try {
    await makeBundle(join(directory, 'dist'));
    const program = join(directory, 'dist', 'berth.mjs');
    using node = new BenchNode();
    const plans = Array.from({ length: PODS }, (_, index) => podPlan(index, 2));
    // A device a pod, as most CNI plugins have it, its other end elsewhere.
    using pods = Namespace.create('pods');
    const links = plans.flatMap(({ ip }, index) => [
      `link add pod${index} type veth peer name in${index} netns ${pods.name}`,
      `link set pod${index} up`,
      `route add ${ip} dev pod${index}`,
    ]);
    node.namespace.run('ip', ['-batch', '-'], `${links.join('\n')}\n`);
    node.declare(plans);
    const log = openSync(node.log, 'a');
    const agent = node.namespace.spawn(process.execPath, [...NODE_FLAGS, program, ...node.agentArguments], {
      cwd: '/',
      env: { ...process.env, ...RUN_ENV },
      stdio: ['ignore', log, log],
    });
    await untilListed(program, node.socket, 2 * PODS);
    // Files written a moment ago are read once more by the first full pass, after a minute.
    await setTimeout(scale.pick(70_000, 3_000));
    const pid = agent.pid ?? 0;
    const before = cpuMs(pid);
    const start = performance.now();
    await setTimeout(scale.pick(120_000, 8_000));
    const share = (cpuMs(pid) - before) / (performance.now() - start);
    const [rss, own] = family(pid).reduce(
      ([all, single], one) => [all + memory(one, 'Rss'), single + privateMemory(one)],
      [0, 0],
    );
    const what = `bundled agent, ${2 * PODS} mappings, idle`;
    tell(row(`${what}: resident memory`, { budget: '≤ 90 MB', median: megabytes(rss), met: rss <= 90e6 }));
    tell(row(`${what}: private memory`, { budget: '≤ 45 MB', median: megabytes(own), met: own <= 45e6 }));
    tell(
      row(`${what}: CPU of a core`, {
        budget: '≤ 0.2 %',
        median: `${(100 * share).toFixed(3)} %`,
        met: share <= 0.002,
      }),
    );
    tell(row(`${what}: processes`, { median: String(family(pid).length) }));
    agent.kill('SIGKILL');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

async function untilListed(program: string, socket: string, count: number): Promise<void> {
  const end = performance.now() + 30_000;
  while (performance.now() < end) {
    try {
      const text = execFileSync(process.execPath, [program, 'list', '--socket', socket, '--output', 'json'], {
        stdio: 'pipe',
        maxBuffer: 2 ** 24,
      });
      if (JSON.parse(String(text)).mappings.length === count) return;
    } catch {
      // It does not serve yet.
    }
    await setTimeout(100);
  }
  throw new Error(`the agent did not serve ${count} mappings within 30 s`);
}
