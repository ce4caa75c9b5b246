/**
 * New connections a second with 5,000 mappings installed, against each backend of CNI portmap: through every mapping alike,
 * and through the one that was installed last, which stands at the end of portmap's chains.
 */
import type { Target } from './arena.ts';
import type { Measure } from './items.ts';
import { inTurn } from './rounds.ts';
import { row, times } from './row.ts';
import { median, pairedRatio } from './statistics.ts';

const COUNT = 5_000;
const BUDGETS = { nftables: 2.4, 'iptables-legacy': 3.5, 'iptables-nft': 12 } as const;
type Backend = keyof typeof BUDGETS;

export const measure: Measure = async (scale, tell) => {
  const berth = (target: Target) => ({ rules: { kind: 'berth', count: COUNT }, target }) as const;
  const portmap = (backend: Backend, target: Target) =>
    ({ rules: { kind: 'portmap', backend, count: COUNT }, target }) as const;
  const samples = await inTurn(
    {
      berth: berth('mapping'),
      'berth last': berth('last'),
      nftables: portmap('nftables', 'mapping'),
      'nftables last': portmap('nftables', 'last'),
      'iptables-legacy': portmap('iptables-legacy', 'mapping'),
      'iptables-legacy last': portmap('iptables-legacy', 'last'),
      'iptables-nft': portmap('iptables-nft', 'mapping'),
      'iptables-nft last': portmap('iptables-nft', 'last'),
    },
    scale.pick(30, 8),
  );
  tell(row(`new connections a second and core, ${COUNT} mappings, Berth`, { median: rate(samples.berth) }));
  for (const [backend, budget] of Object.entries(BUDGETS) as [Backend, number][]) {
    const ratio = pairedRatio(samples[backend], samples.berth);
    const last = samples[`${backend} last`];
    tell(
      row(`the same, portmap ${backend}: Berth against it`, {
        budget: `≥ ${budget} ×`,
        median: rate(samples[backend]),
        ratio: times(ratio),
        met: ratio >= budget,
      }),
    );
    tell(
      row(`the same, portmap ${backend}, the mapping installed last`, {
        median: rate(last),
        ratio: times(pairedRatio(last, samples['berth last'])),
      }),
    );
  }
};

function rate(samples: readonly number[]): string {
  return (1_000 / median(samples)).toFixed(0);
}
