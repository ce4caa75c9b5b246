/**
 * Answers as text: tables for people, JSON and YAML for programs. What comes from the cluster never reaches a terminal
 * unescaped, in any format: in tables by `printable`, in JSON and YAML as `\uXXXX`, which their readers undo.
 */

import { age, aligned, type Column, row, tableOf } from './columns.ts';
import type { FollowEvent } from './follow.ts';
import { addressesOf, portRange } from './reachable.ts';
import type { Answer, MappingView } from './views.ts';
import { moment, plainFreshness, visibleJson, visibleYaml } from './visible.ts';

export const FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type Format = (typeof FORMATS)[number];

const TABLE: readonly Column<MappingView>[] = [
  { header: 'NAMESPACE', cell: ({ namespace }) => namespace },
  { header: 'POD', cell: ({ pod }) => pod },
  { header: 'PORT', cell: ({ name }) => name },
  { header: 'PROTOCOL', cell: ({ protocol }) => protocol },
  { header: 'ADDRESS', cell: (mapping) => addressesOf(mapping)[0] ?? '' },
  { header: 'POD-PORT', cell: podPorts },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'AGE', cell: ({ since }, now) => age(since, now) },
  { header: 'STATE', cell: ({ stale }) => (stale ? 'stale' : 'live') },
];
const WIDE: readonly Column<MappingView>[] = [
  ...TABLE.map((column) =>
    column.header === 'ADDRESS'
      ? { ...column, cell: (mapping: MappingView) => addressesOf(mapping).join(',') }
      : column,
  ),
  { header: 'POOL', cell: ({ pool }) => pool },
  { header: 'POD-IPS', cell: ({ podIPs }) => podIPs.join(',') },
  { header: 'ALLOW-FROM', cell: ({ allowFrom }) => allowFrom?.join(',') ?? 'any' },
  { header: 'UID', cell: ({ podUID }) => podUID },
];

/** `now` in ms since the epoch, for the ages. Ends with a newline unless it is empty: a table without rows is. */
export function renderAnswer({ mappings, freshness }: Answer, format: Format, now: number): string {
  switch (format) {
    case 'json':
      return `${visibleJson({ mappings: mappings.map(plain), freshness: plainFreshness(freshness) }, 2)}\n`;
    case 'yaml':
      return visibleYaml({ mappings: mappings.map(plain), freshness: plainFreshness(freshness) });
    default: {
      return tableOf(columnsOf(format), mappings, now);
    }
  }
}

/** The text for each event of a watch, in turn. Tables are silent until the first `synced`, to know how wide they are. */
export function watchRenderer(format: Format, now: () => number): (event: FollowEvent) => string {
  return format === 'json' || format === 'yaml' ? (event) => record(event, format) : tableOfEvents(format, now);
}

function tableOfEvents(format: 'table' | 'wide', now: () => number): (event: FollowEvent) => string {
  const columns = columnsOf(format);
  const widths: number[] = [];
  let waiting: string[][] | undefined = [['EVENT', ...columns.map(({ header }) => header)]];
  return (event) => {
    if (event.kind === 'synced') {
      const rows = waiting ?? [];
      waiting = undefined;
      return aligned(rows, widths);
    }
    if (event.kind === 'lost') return '';
    const cells = [event.kind, ...row(columns, event.mapping, now())];
    if (waiting === undefined) return aligned([cells], widths);
    waiting.push(cells);
    return '';
  };
}

function record(event: FollowEvent, format: 'json' | 'yaml'): string {
  if (event.kind === 'lost') return '';
  const value =
    event.kind === 'synced'
      ? { event: event.kind, freshness: plainFreshness(event.freshness) }
      : { event: event.kind, mapping: plain(event.mapping) };
  return format === 'json' ? `${visibleJson(value)}\n` : `---\n${visibleYaml(value)}`;
}

function columnsOf(format: 'table' | 'wide'): readonly Column<MappingView>[] {
  return format === 'wide' ? WIDE : TABLE;
}

function podPorts({ containerPort, hostPort: first, endPort }: MappingView): string {
  return portRange(containerPort, containerPort + endPort - first);
}

function plain({ since, ...mapping }: MappingView) {
  return { ...mapping, ...moment('since', since) };
}
