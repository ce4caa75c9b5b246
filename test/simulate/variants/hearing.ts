/** How the bugs of `pods.ts` come between the agent and the news of pods. */
import type { Pod } from '../../../daemon/core/vocabulary.ts';
import type { PodObserver } from '../../../daemon/reconcile/ports.ts';
import type { AgentLife, WrapWorld } from '../agentlife.ts';
import type { Ground } from '../ground.ts';
import type { Stage } from '../stage.ts';
import { replacing } from './variant.ts';

/** The agent hears something else than what the watch tells. */
export function telling<S extends Ground = Stage>(
  change: (observer: PodObserver) => Partial<PodObserver>,
): WrapWorld<S> {
  return replacing<'source', S>('source', (source) => ({
    watch: (observer, signal) => {
      return source.watch({ ...through(observer), ...change(observer) }, signal);
    },
  }));
}

/** The methods of an object of a class, which a spread would lose. */
export function through(observer: PodObserver): PodObserver {
  return {
    listed: (pods) => observer.listed(pods),
    changed: (pod) => observer.changed(pod),
    deleted: (pod) => observer.deleted(pod),
    failed: (error) => observer.failed(error),
  };
}

/** It sees every pod as another one, whichever way it learns of it. */
export function seeing<S extends Ground = Stage>(change: (pod: Pod) => Pod): WrapWorld<S> {
  const wrapped = telling<S>((observer) => ({
    listed: (pods) => observer.listed(pods.map(change)),
    changed: (pod) => observer.changed(change(pod)),
  }));
  const asked = replacing<'source', S>('source', (source) => ({
    get: async (namespace, name) => {
      const pod = await source.get(namespace, name);
      return pod && change(pod);
    },
    list: async () => ((await source.list?.()) ?? []).map(change),
  }));
  return (world, life) => wrapped(asked(world, life), life);
}

/** Asks until there is an answer. */
export async function insist(life: AgentLife, ask: () => Promise<unknown>): Promise<void> {
  for (let answered = false; !answered; ) {
    answered = await ask().then(
      () => true,
      () => false,
    );
    if (!answered) await new Promise<void>((resolve) => life.after(1_000, resolve));
  }
}
