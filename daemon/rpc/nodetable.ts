/** The nodes of a cluster as text: tables for people, JSON and YAML for programs. */
import { age, type Column, tableOf } from './columns.ts';
import type { Format } from './render.ts';
import type { NodesAnswer, NodeView, PoolView } from './views.ts';
import { moment, plainFreshness, visibleJson, visibleYaml } from './visible.ts';

const TABLE: readonly Column<NodeView>[] = [
  { header: 'NODE', cell: ({ name }) => name },
  { header: 'STATE', cell: stateOf },
  { header: 'LAST-HEARD', cell: ({ lastHeard }, now) => (lastHeard === undefined ? 'never' : age(lastHeard, now)) },
  { header: 'MAPPINGS', cell: ({ mappings }) => String(mappings) },
  { header: 'FREE-TCP', cell: ({ pools }) => freeOf(pools, 'TCP') },
  { header: 'FREE-UDP', cell: ({ pools }) => freeOf(pools, 'UDP') },
];
const WIDE: readonly Column<NodeView>[] = [
  ...TABLE,
  { header: 'FREE-SCTP', cell: ({ pools }) => freeOf(pools, 'SCTP') },
  { header: 'PORTS', cell: ({ pools }) => pools.map(({ name, ports }) => `${name}=${ports}`).join(',') },
  { header: 'ADDRESSES', cell: ({ addresses }) => addresses.map(({ address }) => address).join(',') },
  { header: 'AGENT', cell: ({ agentVersion }) => agentVersion },
];

/** `now` in ms since the epoch. Ends with a newline unless it is empty: a table without rows is. */
export function renderNodes({ nodes, freshness }: NodesAnswer, format: Format, now: number): string {
  const value = () => ({ nodes: nodes.map(plain), freshness: plainFreshness(freshness) });
  switch (format) {
    case 'json':
      return `${visibleJson(value(), 2)}\n`;
    case 'yaml':
      return visibleYaml(value());
    default:
      return tableOf(format === 'wide' ? WIDE : TABLE, nodes, now);
  }
}

/** `unheard`: it is known that there is such a node, and nothing else. */
function stateOf({ lastHeard, stale }: NodeView): string {
  if (lastHeard === undefined) return 'unheard';
  return stale ? 'stale' : 'live';
}

function freeOf(pools: readonly PoolView[], protocol: keyof PoolView['free']): string {
  return pools.map(({ name, free }) => `${name}=${free[protocol]}`).join(',');
}

function plain({ lastHeard, ...node }: NodeView) {
  return { ...node, ...moment('lastHeard', lastHeard) };
}
