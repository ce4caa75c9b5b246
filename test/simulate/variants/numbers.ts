/** Bugs in who has which number: sockets, the state file, the rest of a released number. */
import type { Pod, Reservation } from '../../../daemon/core/vocabulary.ts';
import type { AgentLife, WrapWorld } from '../agentlife.ts';
import { reservationKey } from '../rulecheck.ts';
import { rulesOf } from '../table.ts';
import { seeing } from './hearing.ts';
import { replacing, type Variant } from './variant.ts';

/** The pools as they are, with no rest between two pods. */
function setRestless(life: AgentLife): void {
  life.loop?.setPools(life.stage.pools.map((pool) => ({ ...pool, quarantineMs: 0 })));
}

/** A pod without numbers wishes for those that were released. */
function wishing(pod: Pod, released: readonly Reservation[]): Pod {
  if ('berth.dev/mappings' in pod.annotations) return pod;
  const entries = pod.ports.flatMap(({ name, containerPort, protocol }) => {
    const wish = released.findLast((one) => one.protocol === protocol);
    const port = { name: name ?? `${containerPort}-${protocol.toLowerCase()}`, protocol, podUID: pod.uid };
    return wish === undefined ? [] : [{ ...port, hostPort: wish.port }];
  });
  return { ...pod, annotations: { ...pod.annotations, 'berth.dev/mappings': JSON.stringify(entries) } };
}

/** An agent that starts gives numbers, the lowest first, before file and table have told it what was given. */
function blindStart(): WrapWorld {
  const fileless = replacing('store', (store) => ({
    load: async () => ({ ...(await store.load()), state: undefined }),
  }));
  const tableless = replacing('datapath', (datapath) => {
    let synced = false;
    return {
      read: async () => {
        const { elements, repaired } = await datapath.read();
        const known = synced ? elements : elements.filter(({ comment }) => comment === '');
        synced = true;
        return { elements: known, repaired };
      },
    };
  });
  return (world, life) => ({ ...fileless(tableless(world, life), life), random: () => 0 });
}

export const NUMBER_VARIANTS: readonly Variant[] = [
  {
    bug: 'the sockets of a pod are closed before its rules are gone',
    whose: 'Galaxy, CloseHostports first',
    breaks: ['I2'],
    make: () =>
      replacing('datapath', (datapath, { reserver }) => ({
        apply: (change) => {
          for (const { protocol, first, last, hostIP } of rulesOf(change.remove)) {
            for (let port = first; port <= last; port++)
              reserver.release({ protocol, port, ...(hostIP === '' ? {} : { hostIP }) });
          }
          return datapath.apply(change);
        },
      })),
  },
  {
    bug: 'a reserved number is not really held',
    whose: 'CRI-O, lost the holding of sockets',
    breaks: ['I2'],
    make: () =>
      replacing('reserver', (reserver, _world, { stage }) => {
        const believed = new Map<string, Reservation>();
        const keyOf = ({ protocol, port, hostIP }: Reservation) => reservationKey(protocol, port, hostIP);
        return {
          reserve: (one) => {
            const outcome = reserver.reserve(one);
            if (outcome.kind === 'held') believed.set(keyOf(one), one);
            stage.node.reserver.release(one);
            return outcome;
          },
          release: (one) => {
            believed.delete(keyOf(one));
            reserver.release(one);
          },
          held: () => [...believed.values()],
        };
      }),
  },
  {
    bug: 'a socket is never closed',
    whose: 'Galaxy, ports leak to dead pods',
    breaks: ['I7'],
    make: () => replacing('reserver', () => ({ release: () => {} })),
  },
  {
    bug: 'a number is chosen by a cache that does not know yet who has it',
    whose: 'hostport-allocator, stale cache',
    breaks: ['I1'],
    make: blindStart,
  },
  {
    bug: 'numbers are kept in memory only',
    whose: 'nerdctl and Docker, duplicates after a restart',
    breaks: ['I2'],
    make: () => replacing('store', () => ({ save: async () => {} })),
  },
  {
    bug: 'a number is promised before it is written down',
    whose: 'write-behind stores',
    breaks: ['I2'],
    make: () =>
      replacing('store', (store) => ({
        save: async (state) => void store.save(state).catch(() => {}),
      })),
  },
  {
    bug: 'the number that was released last goes to the next pod, whoever that is',
    whose: 'allocators that give out the lowest free number',
    breaks: ['I7'],
    make: () => {
      const released: Reservation[] = [];
      const asking = seeing((pod) => wishing(pod, released.slice(-4)));
      const noting = replacing('reserver', (reserver) => ({
        release: (one) => {
          released.push(one);
          reserver.release(one);
        },
      }));
      const restless = replacing('source', (source, _world, life) => ({
        watch: (observer, signal) => {
          setRestless(life);
          return source.watch(observer, signal);
        },
      }));
      return (world, life) => asking(noting(restless(world, life), life), life);
    },
  },
  {
    bug: 'what rests is forgotten over a restart',
    whose: 'CNI portmap, no state',
    breaks: ['I7'],
    make: () => replacing('store', (store) => ({ save: (state) => store.save({ ...state, resting: [] }) })),
  },
];
