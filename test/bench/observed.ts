/**
 * The agent, from source, with an observer beside its recorder: tells its parent after each pass what has happened so far. Arguments: what
 * is to be observed, as JSON, then the agent's own.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { runAgent } from '../../daemon/agent.ts';
import { PodSourceDouble } from '../../daemon/kube/source.double.ts';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import type { AgentEvent } from '../../daemon/reconcile/ports.ts';
import { type PodPlan, podOf } from './mappings.ts';
import { now, type Observation, type ObservedOptions } from './observation.ts';

const [wanted = '{}', ...argv] = process.argv.slice(2);
const { memory = false, stalls = false }: ObservedOptions = JSON.parse(wanted);
const command = readAgentOptions({ argv, env: {} }, 'bench');
if (command.kind !== 'run') throw new Error('the agent is to run');

const source = new PodSourceDouble();
const delay = stalls ? monitorEventLoopDelay({ resolution: 1 }) : undefined;
delay?.enable();
const seen = {
  mapped: 0,
  adopted: 0,
  released: 0,
  applied: 0,
  passes: 0,
  flows: 0,
  startedAt: now(),
  mappedAt: 0,
  appliedAt: 0,
  flowsAt: 0,
  passAt: 0,
  passMs: 0,
};

let cpuAtStart = process.cpuUsage();

function observe(event: AgentEvent): void {
  switch (event.kind) {
    case 'mapped':
      seen.mapped++;
      if (event.adopted) seen.adopted++;
      seen.mappedAt = now();
      return;
    case 'released':
      seen.released++;
      return;
    case 'applied':
      seen.applied++;
      seen.appliedAt = now();
      return;
    case 'flows':
      seen.flows += event.deleted;
      seen.flowsAt = now();
      return;
    case 'pass':
      seen.passes++;
      seen.passAt = now();
      seen.passMs = event.ms;
      tell();
      return;
  }
}

function tell(): void {
  const { user, system } = process.cpuUsage(cpuAtStart);
  const cpuMs = (user + system) / 1_000;
  const observation: Observation = { ...seen, cpuMs, rss: process.memoryUsage.rss(), stallMs: (delay?.max ?? 0) / 1e6 };
  process.send?.(observation);
}

/** Pods of the source in memory, as a watch tells them: one event each. */
process.on('message', (plans: readonly PodPlan[] | 'reset') => {
  if (plans === 'reset') delay?.reset();
  else for (const plan of plans) source.set(podOf(plan));
});

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await runAgent(command.options, stop.signal, (world) => {
  const { recorder } = world;
  cpuAtStart = process.cpuUsage();
  seen.startedAt = now();
  return {
    ...world,
    ...(memory ? { source } : {}),
    recorder: {
      record: (event) => {
        observe(event);
        recorder.record(event);
      },
    },
  };
});
process.disconnect?.();
