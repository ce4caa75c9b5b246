/**
 * Answers as text: tables for people, JSON and YAML for programs. What comes from the cluster never reaches a terminal
 * unescaped, in any format: in tables by `printable`, in JSON and YAML as `\uXXXX`, which their readers undo.
 */
import { Document, Scalar, visit } from 'yaml';
import { printable } from '../core/text.ts';
import type { Answer } from './client.ts';
import type { FreshnessView, MappingView } from './convert.ts';
import type { FollowEvent } from './follow.ts';

export const FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type Format = (typeof FORMATS)[number];

interface Column {
  readonly header: string;
  readonly cell: (mapping: MappingView, now: number) => string;
}

const TABLE: readonly Column[] = [
  { header: 'NAMESPACE', cell: ({ namespace }) => namespace },
  { header: 'POD', cell: ({ pod }) => pod },
  { header: 'PORT', cell: ({ name }) => name },
  { header: 'PROTOCOL', cell: ({ protocol }) => protocol },
  { header: 'ADDRESS', cell: (mapping) => addressesOf(mapping)[0] ?? '' },
  { header: 'POD-PORT', cell: podPorts },
  { header: 'NODE', cell: ({ node }) => node },
  { header: 'AGE', cell: ({ since }, now) => (since === undefined ? '<unknown>' : age(now - since)) },
];
const WIDE: readonly Column[] = [
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
/** Longer than 64 ranges. */
const MAX_CELL = 4_096;

/** `now` in ms since the epoch, for the ages. Ends with a newline unless it is empty: a table without rows is. */
export function renderAnswer({ mappings, freshness }: Answer, format: Format, now: number): string {
  switch (format) {
    case 'json':
      return `${visibleJson({ mappings: mappings.map(plain), freshness: plainFreshness(freshness) }, 2)}\n`;
    case 'yaml':
      return visibleYaml({ mappings: mappings.map(plain), freshness: plainFreshness(freshness) });
    default: {
      const columns = columnsOf(format);
      return mappings.length === 0
        ? ''
        : aligned([columns.map(({ header }) => header), ...mappings.map((one) => row(columns, one, now))], []);
    }
  }
}

/** The text for each event of a watch, in turn. Tables are silent until the first `synced`, to know how wide they are. */
export function watchRenderer(format: Format, now: () => number): (event: FollowEvent) => string {
  return format === 'json' || format === 'yaml' ? (event) => record(event, format) : tableOfEvents(format, now);
}

/** `192.0.2.7:23117`, `[2001:db8::7]:23117`, `192.0.2.7:40000-40099`: where to connect, best first. */
export function addressesOf({ nodeAddresses, hostPort, endPort }: MappingView): string[] {
  const ports = portRange(hostPort, endPort);
  const hosts = nodeAddresses.length === 0 ? ['<unknown>'] : nodeAddresses;
  return hosts.map((host) => (host.includes(':') ? `[${host}]:${ports}` : `${host}:${ports}`));
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

function columnsOf(format: 'table' | 'wide'): readonly Column[] {
  return format === 'wide' ? WIDE : TABLE;
}

function row(columns: readonly Column[], mapping: MappingView, now: number): string[] {
  return columns.map(({ cell }) => printable(cell(mapping, now), MAX_CELL) || '-');
}

/** Columns two spaces apart. `widths` are at least so wide, and grow. */
function aligned(rows: readonly (readonly string[])[], widths: number[]): string {
  for (const cells of rows) {
    for (const [index, cell] of cells.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  const lines = rows.map((cells) => cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  '));
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

function podPorts({ containerPort, hostPort, endPort }: MappingView): string {
  return portRange(containerPort, containerPort + endPort - hostPort);
}

function portRange(first: number, last: number): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

/** As kubectl writes it, rounded down. */
function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

function plain({ since, ...mapping }: MappingView) {
  return { ...mapping, ...moment('since', since) };
}

function plainFreshness({ lastHeard, ...complete }: FreshnessView) {
  return { ...moment('lastHeard', lastHeard), ...complete };
}

/** RFC 3339, and nothing for a time that a Date cannot hold. */
function moment<K extends string>(key: K, ms: number | undefined): { readonly [P in K]?: string } {
  const date = new Date(ms ?? Number.NaN);
  return (Number.isNaN(date.getTime()) ? {} : { [key]: date.toISOString() }) as { readonly [P in K]?: string };
}

function visibleJson(value: unknown, indent?: number): string {
  return escapeUnseen(JSON.stringify(value, undefined, indent));
}

function visibleYaml(value: unknown): string {
  const document = new Document(value);
  visit(document, {
    Scalar(_, node) {
      // Only in double quotes has YAML escapes.
      if (typeof node.value === 'string' && escapeUnseen(node.value) !== node.value) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return escapeUnseen(document.toString({ lineWidth: 0 }));
}

/** For text in which JSON or YAML has already escaped what ASCII has to escape. */
function escapeUnseen(text: string): string {
  return text.replace(/[^\x20-\x7e\n]/gu, (character) =>
    printable(character, 16) === character ? character : character.split('').map(unit).join(''),
  );
}

function unit(half: string): string {
  return `\\u${half.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
