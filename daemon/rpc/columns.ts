/** Rows of cells as a table for people. Nothing unescaped leaves it. Pure. */
import { printable } from '../core/text.ts';

export interface Column<T> {
  readonly header: string;
  /** `now` in ms since the epoch, for ages. */
  readonly cell: (item: T, now: number) => string;
}

/** Longer than 64 ranges. */
const MAX_CELL = 4_096;

/** With a line of headers; empty without a row. */
export function tableOf<T>(columns: readonly Column<T>[], items: readonly T[], now: number): string {
  if (items.length === 0) return '';
  return aligned([columns.map(({ header }) => header), ...items.map((one) => row(columns, one, now))], []);
}

export function row<T>(columns: readonly Column<T>[], item: T, now: number): string[] {
  return columns.map(({ cell }) => printable(cell(item, now), MAX_CELL) || '-');
}

/** Columns two spaces apart. `widths` are at least so wide, and grow. */
export function aligned(rows: readonly (readonly string[])[], widths: number[]): string {
  for (const cells of rows) {
    for (const [index, cell] of cells.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  const lines = rows.map((cells) => cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  '));
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

/** How long ago, as kubectl writes it, rounded down. */
export function age(since: number | undefined, now: number): string {
  if (since === undefined) return '<unknown>';
  const seconds = Math.max(0, Math.floor((now - since) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
