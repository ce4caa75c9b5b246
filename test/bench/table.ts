/** Prints rows as a table that is Markdown too. Pure. */
import type { Row } from './row.ts';

const HEADS = ['what', 'budget', 'median', 'p99', 'ratio', 'met'] as const;

export function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => [row.what, row.budget, row.median, row.p99, row.ratio, verdict(row.met)]);
  const widths = HEADS.map((head, column) => Math.max(head.length, ...lines.map((line) => line[column]?.length ?? 0)));
  const format = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [format(HEADS), rule, ...lines.map(format)].join('\n');
}

function verdict(met: boolean | undefined): string {
  if (met === undefined) return '';
  return met ? 'yes' : 'NO';
}
