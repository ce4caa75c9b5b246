/** Bugs in what is made of the news of pods. */
import { BerthError } from '../../../daemon/core/errors.ts';
import type { Mapping, Pod, PodRef } from '../../../daemon/core/vocabulary.ts';
import { podLabel } from '../../../daemon/core/vocabulary.ts';
import type { Element } from '../../../rules/element.ts';
import { type Rule, rulesOf } from '../table.ts';
import { insist, seeing, telling, through } from './hearing.ts';
import { attempt, replacing, type Variant } from './variant.ts';

/** An entry of `berth.dev/mappings`, whoever wrote it. */
type Written = Pick<Mapping, 'name' | 'protocol' | 'hostPort'>;

export const POD_VARIANTS: readonly Variant[] = [
  {
    bug: 'the end of a pod, heard of late, takes the ports of the new pod of its name',
    whose: 'Galaxy, state by namespace and name and not by uid',
    breaks: ['I6'],
    make: () => (world, life) =>
      telling((observer) => {
        const uids = new Map<string, string>();
        const learn = (pod: Pod) => uids.set(podLabel(pod), pod.uid);
        return {
          listed: (pods) => {
            pods.forEach(learn);
            observer.listed(pods);
          },
          changed: (pod) => {
            learn(pod);
            observer.changed(pod);
          },
          deleted: (pod) => {
            life.after(2_000, () => observer.deleted({ ...pod, uid: uids.get(podLabel(pod)) ?? pod.uid }));
          },
        };
      })(world, life),
  },
  {
    bug: 'a pod that one list lacks is taken as gone',
    whose: 'informers, a stale watch cache',
    breaks: ['I6'],
    make: () =>
      telling((observer) => {
        const known = new Map<string, PodRef>();
        return {
          listed: (pods) => {
            const listed = new Set(pods.map(({ uid }) => uid));
            for (const pod of known.values()) if (!listed.has(pod.uid)) observer.deleted(pod);
            for (const pod of pods) known.set(pod.uid, pod);
            observer.listed(pods);
          },
          changed: (pod) => {
            known.set(pod.uid, pod);
            observer.changed(pod);
          },
        };
      }),
  },
  {
    bug: 'the end of a pod that no event told is never noticed',
    whose: 'CNI plugins #683, a DEL that was missed',
    breaks: ['I7', 'I3'],
    make: () => {
      const listless = telling((observer) => {
        let first = true;
        return {
          listed: (pods) => {
            if (first) observer.listed(pods);
            else for (const pod of pods) observer.changed(pod);
            first = false;
          },
        };
      });
      const unasked = replacing('source', () => ({
        get: () => Promise.reject(new BerthError('PODS_UNREADABLE', 'nobody asks')),
        list: () => Promise.reject(new BerthError('PODS_UNREADABLE', 'nobody asks')),
      }));
      return (world, life) => listless(unasked(world, life), life);
    },
  },
  {
    bug: 'a rule goes on leading to the address that the pod had first',
    whose: 'hostPort of CNI: set up once a sandbox',
    breaks: ['I8'],
    make: () => {
      const first = new Map<string, readonly string[]>();
      return seeing((pod) => {
        const podIPs = first.get(pod.uid) ?? pod.podIPs;
        if (podIPs.length > 0) first.set(pod.uid, podIPs);
        return { ...pod, podIPs };
      });
    },
  },
  {
    bug: 'a pod that has ended keeps its ports',
    whose: 'Galaxy, does not filter Succeeded and Failed',
    breaks: ['I7'],
    make: () => seeing((pod) => ({ ...pod, phase: pod.phase === 'Succeeded' ? 'Running' : pod.phase, ended: false })),
  },
  {
    bug: 'each pod is asked for before the next is dealt with, however long the answer takes',
    whose: 'one work queue with one worker, as in many controllers',
    breaks: ['I8'],
    make: () =>
      replacing('source', (source, _world, life) => ({
        watch: (observer, signal) => {
          let last = Promise.resolve();
          const inTurn = (work: () => void | Promise<void>) => {
            last = last.then(work);
          };
          return source.watch(
            {
              ...through(observer),
              listed: (pods) => inTurn(() => observer.listed(pods)),
              changed: (pod) =>
                inTurn(async () => {
                  await insist(life, () => source.get(pod.namespace, pod.name));
                  observer.changed(pod);
                }),
              deleted: (pod) => inTurn(() => observer.deleted(pod)),
            },
            signal,
          );
        },
      })),
  },
  {
    bug: 'after one failed list nothing is heard any more',
    whose: 'the informer of @kubernetes/client-node',
    breaks: ['I8', 'I7', 'I3'],
    make: () =>
      telling((observer) => {
        let ended = false;
        const unlessEnded =
          <T>(tell: (news: T) => void) =>
          (news: T) => {
            if (!ended) tell(news);
          };
        return {
          listed: unlessEnded((pods) => observer.listed(pods)),
          changed: unlessEnded((pod) => observer.changed(pod)),
          deleted: unlessEnded((pod) => observer.deleted(pod)),
          failed: () => {
            ended = true;
          },
        };
      }),
  },
  {
    bug: 'the number that stands in an annotation is mapped to the pod that carries it',
    whose: 'hostport-allocator, a claim names any port; Galaxy, restart by annotation',
    breaks: ['I1', 'I6'],
    make: () =>
      replacing('source', (source, { datapath, reserver }, { stage }) => ({
        watch: (observer, signal) => {
          const believe = (pod: Pod) => {
            const [podIP] = pod.podIPs;
            const written = pod.annotations['berth.dev/mappings'];
            if (podIP === undefined || written === undefined) return;
            for (const { name, protocol, hostPort } of JSON.parse(written) as readonly Written[]) {
              const key = `${protocol.toLowerCase()} . ${hostPort}`;
              const element: Element = { set: 'any4', key, value: `${podIP} . 80`, comment: `${pod.uid}/${name}` };
              const present = stage.node.ruleset.elements();
              const has = (rule: Rule) => rule.first <= hostPort && hostPort <= rule.last && rule.uid === pod.uid;
              if (rulesOf(present).some(has)) continue;
              const former = present.filter((one) => one.set === 'any4' && one.key === key);
              void attempt(() => {
                reserver.reserve({ protocol, port: hostPort });
                return datapath.apply({ remove: former, add: [element] });
              });
            }
          };
          return source.watch(
            {
              ...through(observer),
              changed: (pod) => {
                believe(pod);
                observer.changed(pod);
              },
            },
            signal,
          );
        },
      })),
  },
];
