/** Bugs in how the kernel's table is read and written. */
import { elementId } from '../../../rules/element.ts';
import { ruleOf } from '../table.ts';
import { Memory } from './memory.ts';
import { later, replacing, type Variant } from './variant.ts';

export const RULE_VARIANTS: readonly Variant[] = [
  {
    bug: 'a mapping is announced while its rule is still on its way to the kernel',
    whose: 'Cilium #18850, ready before it works',
    breaks: ['I2'],
    make: () =>
      replacing('datapath', (datapath, _world, life) => ({
        apply: async (change) => later(life, 300, () => datapath.apply(change)),
      })),
  },
  {
    bug: 'a rule that failed is only logged, so that its socket answers nobody',
    whose: 'Galaxy, listen without rule',
    breaks: ['I2'],
    make: () =>
      replacing('datapath', (datapath) => ({
        apply: (change) => datapath.apply(change).catch(() => {}),
      })),
  },
  {
    bug: 'after a flush only the base chains come back',
    whose: 'Galaxy, re-ensures basic rules only',
    breaks: ['I2', 'I8', 'I3'],
    make: () =>
      replacing('datapath', (datapath) => {
        let memory: Memory | undefined;
        return {
          read: async () => {
            const { elements } = await datapath.read();
            if (memory !== undefined) return { elements: memory.elements, repaired: '' };
            memory = new Memory();
            return memory.learn({ elements, repaired: '' });
          },
          apply: async (change) => {
            await datapath.apply(change);
            memory?.apply(change);
          },
          watch: () => {},
        };
      }),
  },
  {
    bug: 'elements that somebody else put into the table stay there',
    whose: 'CNI plugins, shared chains',
    breaks: ['I3', 'I8'],
    make: () => {
      const memory = new Memory();
      return replacing('datapath', (datapath) => ({
        read: async () => {
          const { elements, repaired } = await datapath.read();
          return { elements: elements.filter((element) => memory.get(element) !== undefined), repaired };
        },
        apply: async (change) => {
          // What it meant to write it takes for its own, whether the answer comes or not.
          memory.apply({ remove: [], add: change.add });
          await datapath.apply(change);
          memory.apply(change);
        },
      }));
    },
  },
  {
    bug: 'of an element that stands nobody looks where it leads: the last write wins',
    whose: 'CNI portmap, checks for chains by name',
    breaks: ['I3', 'I2', 'I8'],
    make: () => {
      const memory = new Memory();
      return replacing('datapath', (datapath) => ({
        read: async () => {
          const { elements, repaired } = await datapath.read();
          return { elements: elements.map((element) => memory.get(element) ?? element), repaired };
        },
        apply: async (change) => {
          await datapath.apply(change);
          memory.apply(change);
        },
      }));
    },
  },
  {
    bug: 'the agent that starts clears the table first',
    whose: 'Cilium CVE-2023-27595, restart drops the datapath',
    breaks: ['I6'],
    make: () =>
      replacing('datapath', (datapath) => {
        let cleared = false;
        return {
          read: async () => {
            const { elements, repaired } = await datapath.read();
            if (cleared) return { elements, repaired };
            cleared = true;
            await datapath.apply({ remove: elements, add: [] });
            return { elements: [], repaired };
          },
        };
      }),
  },
  {
    bug: 'the agent that stops takes its rules along',
    whose: 'a preStop hook that cleans up',
    breaks: ['I6'],
    make: () =>
      replacing('source', (source, { datapath }) => ({
        watch: async (observer, signal) => {
          await source.watch(observer, signal);
          const { elements } = await datapath.read();
          await datapath.apply({ remove: elements, add: [] }).catch(() => {});
        },
      })),
  },
  {
    bug: 'every change writes the whole table, so that one refused element holds up all others',
    whose: 'kube-proxy, one iptables-restore for all',
    breaks: ['I8'],
    make: () =>
      replacing('datapath', (datapath, _world, { stage }) => ({
        apply: ({ remove, add }) => {
          const standing = stage.node.ruleset.elements();
          const gone = new Set(remove.map(elementId));
          const kept = standing.filter((element) => !gone.has(elementId(element)));
          return datapath.apply({ remove: standing, add: [...kept, ...add] });
        },
      })),
  },
  {
    bug: 'a removal comes twice and deletes whatever has the key by then',
    whose: 'nftables and CNI: DEL is repeated, delete by key ignores the value',
    breaks: ['I6', 'I2'],
    make: () =>
      replacing('datapath', (datapath, _world, life) => ({
        apply: async (change) => {
          await datapath.apply(change);
          const keys = new Set(change.remove.map(elementId));
          later(life, 1_000, () => {
            const remove = life.stage.node.ruleset.elements().filter((element) => keys.has(elementId(element)));
            return remove.length === 0 ? undefined : datapath.apply({ remove, add: [] });
          });
        },
      })),
  },
  {
    bug: 'a pod with two addresses is mapped for one of them',
    whose: 'Galaxy, IPv4 only',
    breaks: ['I2'],
    make: () =>
      replacing('datapath', (datapath) => ({
        apply: ({ remove, add }) => datapath.apply({ remove, add: add.filter((one) => ruleOf(one)?.family !== 6) }),
      })),
  },
];
