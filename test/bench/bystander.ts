/** What mappings cost traffic that uses none: connections to a service of the node, and through the node to a pod. */
import type { Rules, Target, Variant } from './arena.ts';
import type { Measure } from './items.ts';
import { inTurn } from './rounds.ts';
import { microseconds, row, times } from './row.ts';
import { median, p99, pairedRatio } from './statistics.ts';

const COUNT = 5_000;
const WAYS: readonly (readonly [Target, string])[] = [
  ['node', 'to a service of the node'],
  ['pod', 'through the node to a pod'],
];

const RULES = {
  none: { kind: 'none' },
  /** The table with no mapping in it. */
  empty: { kind: 'berth', count: 0 },
  full: { kind: 'berth', count: COUNT },
  nftables: { kind: 'portmap', backend: 'nftables', count: COUNT },
  'iptables-legacy': { kind: 'portmap', backend: 'iptables-legacy', count: COUNT },
  'iptables-nft': { kind: 'portmap', backend: 'iptables-nft', count: COUNT },
} as const satisfies Record<string, Rules>;

export const measure: Measure = async (scale, tell) => {
  const variants: Record<string, Variant> = {};
  for (const [target] of WAYS) {
    for (const [name, rules] of Object.entries(RULES)) variants[`${name} ${target}`] = { rules, target };
  }
  const samples = await inTurn(variants, scale.pick(40, 10));
  for (const [target, way] of WAYS) {
    const of = (name: keyof typeof RULES) => samples[`${name} ${target}`] ?? [];
    const line = (what: string, own: readonly number[]) =>
      row(`a connection ${way}, ${what}`, {
        median: microseconds(median(own)),
        p99: microseconds(p99(own)),
        ratio: times(pairedRatio(own, of('none'))),
      });
    tell(line('tracked, without Berth', of('none')));
    tell(line('Berth without a mapping', of('empty')));
    const ratio = pairedRatio(of('full'), of('empty'));
    tell({
      ...line(`${COUNT} mappings of Berth`, of('full')),
      budget: '≤ 1.03 × of none installed',
      ratio: `${times(ratio)}; ${times(pairedRatio(of('full'), of('none')))} of no table`,
      met: ratio <= 1.03,
    });
    for (const backend of ['nftables', 'iptables-legacy', 'iptables-nft'] as const) {
      tell(line(`${COUNT} mappings of portmap ${backend}`, of(backend)));
    }
  }
};
