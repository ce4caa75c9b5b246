/** The pools of nodes as their agents report them, so many nodes with the same ranges as one. Pure. */
import type { NodeRecord } from '../noderecord.ts';
import { formatRanges, type PortRange } from '../pool.ts';
import { mergedRanges } from './numbers.ts';
import type { NodePool } from './view.ts';

/** As many nodes are named. */
const NAMED = 5;

/** In an order that depends on nothing but the pools. An agent that does not say its ranges is passed over. */
export function nodePoolsOf(records: ReadonlyMap<string, Pick<NodeRecord, 'status'>>): readonly NodePool[] {
  const nodes = new Map<string, { readonly ranges: readonly PortRange[]; readonly names: string[] }>();
  for (const [name, { status }] of records) {
    const ranges = mergedRanges(status.pools.flatMap((pool) => pool.ranges ?? []));
    if (ranges.length === 0) continue;
    const key = formatRanges(ranges);
    const same = nodes.get(key);
    if (same === undefined) nodes.set(key, { ranges, names: [name] });
    else same.names.push(name);
  }
  return [...nodes]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, { ranges, names }]) => ({ ranges, nodes: names.sort().slice(0, NAMED), count: names.length }));
}
