/**
 * What a new connection through a mapping costs, with more and more mappings, against a node that tracks connections and
 * translates none. The connection carries a small request and its answer.
 */
import type { Variant } from './arena.ts';
import type { Measure } from './items.ts';
import { inTurn } from './rounds.ts';
import { microseconds, type Row, row, times } from './row.ts';
import { median, p99, pairedRatio } from './statistics.ts';

const COUNTS = [10, 1_000, 5_000, 10_000] as const;

export const measure: Measure = async (scale, tell) => {
  const variants: Record<string, Variant> = {
    none: { rules: { kind: 'none' }, target: 'pod', talk: 'exchange' },
    dnat: { rules: { kind: 'dnat' }, target: 'mapping', talk: 'exchange' },
    bareNone: { rules: { kind: 'none' }, target: 'pod' },
    bareDnat: { rules: { kind: 'dnat' }, target: 'mapping' },
    bareBerth: { rules: { kind: 'berth', count: 5_000 }, target: 'mapping' },
  };
  for (const count of COUNTS)
    variants[count] = { rules: { kind: 'berth', count }, target: 'mapping', talk: 'exchange' };
  const samples = await inTurn(variants, scale.pick(30, 8));
  const of = (name: string | number) => samples[name] ?? [];
  const line = (what: string, own: readonly number[], baseline: readonly number[], fields: Partial<Row> = {}) =>
    tell(
      row(what, {
        median: microseconds(median(own)),
        p99: microseconds(p99(own)),
        ratio: times(pairedRatio(own, baseline)),
        ...fields,
      }),
    );
  line('CPU of a new connection, tracked, no NAT rule', of('none'), of('none'));
  line('CPU of a new connection, one DNAT rule and nothing else', of('dnat'), of('none'));
  for (const count of COUNTS) {
    const met = pairedRatio(of(count), of('none')) <= 1.05;
    line(`CPU of a new connection to a mapping, ${count} installed`, of(count), of('none'), {
      budget: '≤ 1.05 ×',
      met,
    });
  }
  const slope = pairedRatio(of(10_000), of(10));
  tell(row('the same, 10000 installed against 10', { budget: 'slope zero', ratio: times(slope), met: slope <= 1.02 }));
  line('connection without data, tracked, no NAT rule', of('bareNone'), of('bareNone'));
  line('connection without data, one DNAT rule and nothing else', of('bareDnat'), of('bareNone'));
  line('connection without data to a mapping, 5000 installed', of('bareBerth'), of('bareNone'));
};
