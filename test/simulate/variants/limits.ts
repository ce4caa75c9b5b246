/** Bugs by which a mapping stands open to sources that its pod does not allow. */
import { type Element, elementId } from '../../../rules/element.ts';
import { Memory } from './memory.ts';
import { replacing, type Variant } from './variant.ts';

const isLimit = ({ set }: Element) => /^(limited|allow)/.test(set);

export const LIMIT_VARIANTS: readonly Variant[] = [
  {
    bug: 'the allow-list comes in a transaction after that of the mapping',
    whose: 'Cilium CVE-2024-42488, policy not there when the port opens',
    breaks: ['I6'],
    make: () =>
      replacing('datapath', (datapath) => ({
        apply: async ({ remove, add }) => {
          await datapath.apply({ remove, add: add.filter((element) => !isLimit(element)) });
          const lists = add.filter(isLimit);
          if (lists.length > 0) await datapath.apply({ remove: [], add: lists });
        },
      })),
  },
  {
    bug: 'the allow-list goes in a transaction before that of the mapping',
    whose: 'Cilium CVE-2023-27595, open while it takes down',
    breaks: ['I6'],
    make: () =>
      replacing('datapath', (datapath) => ({
        apply: async ({ remove, add }) => {
          const lists = remove.filter(isLimit);
          if (lists.length > 0) await datapath.apply({ remove: lists, add: [] });
          await datapath.apply({ remove: remove.filter((element) => !isLimit(element)), add });
        },
      })),
  },
  {
    bug: 'after a flush the mappings come back without their allow-lists',
    whose: 'Moby CVE-2025-54388, firewalld reload',
    breaks: ['I6'],
    make: () => {
      const memory = new Memory();
      return replacing('datapath', (datapath) => ({
        read: async () => {
          const { elements, repaired } = await datapath.read();
          // The lists pass for present, whether they stand or not.
          const present = new Set(elements.map(elementId));
          const lists = memory.elements.filter((element) => isLimit(element) && !present.has(elementId(element)));
          return { elements: [...elements, ...lists], repaired };
        },
        apply: async (change) => {
          await datapath.apply(change);
          memory.apply(change);
        },
      }));
    },
  },
];
