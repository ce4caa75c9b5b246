/** Bugs in what becomes of tracked connections. */
import type { Flow } from '../../../daemon/core/flow.ts';
import { replacing, type Variant } from './variant.ts';

export const FLOW_VARIANTS: readonly Variant[] = [
  {
    bug: 'connections to a pod that is gone go on for ever',
    whose: 'Galaxy, no conntrack at all',
    breaks: ['I7'],
    make: () => replacing('flows', () => ({ purge: async () => 0 })),
  },
  {
    bug: 'only UDP connections are cleaned',
    whose: 'kube-proxy',
    breaks: ['I7'],
    make: () =>
      replacing('flows', (flows) => ({
        purge: (ports, disagrees) => flows.purge(ports, (flow) => flow.protocol === 'UDP' && disagrees(flow)),
      })),
  },
  {
    bug: 'every connection of a changed port is deleted, not only those that disagree',
    whose: 'CNI portmap, conntrack -D for the port',
    breaks: ['I6'],
    make: () =>
      replacing('flows', (flows, _world, { stage }) => ({
        purge: (ports, disagrees) => {
          const ofPort = (flow: Flow) => stage.node.hasAddress(flow.destination);
          return flows.purge(ports, ports === 'all' ? disagrees : ofPort);
        },
      })),
  },
  {
    bug: 'connections are deleted by their port alone, also those of pods to other hosts',
    whose: 'kube-proxy, ClearEntriesForPort',
    breaks: ['I4'],
    make: () =>
      replacing('flows', (flows, _world, { stage }) => ({
        purge: (ports, disagrees) =>
          flows.purge(ports, (flow) => disagrees(flow) || !stage.node.hadAddress(flow.destination)),
      })),
  },
];
