/** Bugs in what pods and clients are told, and in when. */
import type { Pod, PodResult } from '../../../daemon/core/vocabulary.ts';
import type { AgentLife } from '../agentlife.ts';
import { attempt, replacing, type Variant } from './variant.ts';

/** Resolves when every write to a pod has arrived. */
function allWritten(life: AgentLife): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (life.link.unfinished === 0) resolve();
      else life.after(50, look);
    };
    look();
  });
}

export const TELLING_VARIANTS: readonly Variant[] = [
  {
    bug: 'a mapping is un-announced after its rule is gone',
    whose: 'endpoints that are removed when the pod is',
    breaks: ['I2'],
    make: () => (world, _life) => {
      const due: (() => void)[] = [];
      return {
        ...world,
        registry: {
          ...world.registry,
          delete: (pod, name, protocol) => due.push(() => world.registry.delete(pod, name, protocol)),
        },
        datapath: {
          ...world.datapath,
          apply: async (change) => {
            await world.datapath.apply(change);
            for (const tell of due.splice(0)) await attempt(tell);
          },
        },
      };
    },
  },
  {
    bug: 'a mapping that has ended stays announced',
    whose: 'service discovery that only registers',
    breaks: ['I2', 'I9'],
    make: () => replacing('registry', () => ({ delete: () => {} })),
  },
  {
    bug: 'no rule is made while the API server takes no results',
    whose: 'Galaxy, writes the annotation inside ADD',
    breaks: ['I8', 'I2', 'I7'],
    make: () =>
      replacing('datapath', (datapath, _world, life) => ({
        apply: async (change) => {
          await allWritten(life);
          await datapath.apply(change);
        },
      })),
  },
  {
    bug: 'a write to a pod that is gone holds up those to all others',
    whose: 'one work queue, retried at its head',
    breaks: ['I9', 'I2', 'I8'],
    make: () =>
      replacing('publisher', (publisher, _world, { stage }) => {
        const queue: (readonly [Pod, PodResult])[] = [];
        return {
          publish: (pod, result) => {
            queue.push([pod, result]);
            for (let head = queue[0]; head !== undefined; head = queue[0]) {
              const { uid } = head[0];
              if (!stage.api.pods.some((one) => one.uid === uid)) return;
              queue.shift();
              publisher.publish(...head);
            }
          },
        };
      }),
  },
  {
    bug: 'the annotations of a mapping that has ended stay on the pod',
    whose: 'controllers that only ever write',
    breaks: ['I7', 'I9'],
    make: () =>
      replacing('publisher', (publisher) => ({
        publish: (pod, result) => {
          if (Object.keys(result.annotations).length > 0) publisher.publish(pod, result);
        },
      })),
  },
];
