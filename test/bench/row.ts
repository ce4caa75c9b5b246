/** One line of the bench's table, and how its figures are written. */

export interface Row {
  /** What was measured. */
  readonly what: string;
  /** The budget in words; empty for a line that only informs. */
  readonly budget: string;
  readonly median: string;
  readonly p99: string;
  /** Against the peer or the baseline of the same run. */
  readonly ratio: string;
  /** Undefined for a line that only informs. */
  readonly met: boolean | undefined;
}

export function row(what: string, fields: Partial<Omit<Row, 'what'>> = {}): Row {
  return { what, budget: '', median: '', p99: '', ratio: '', met: undefined, ...fields };
}

/** `0.123 ms`, `12.3 ms`, `1234 ms`: three digits are all that a benchmark can tell. */
export function ms(value: number): string {
  return `${digits(value)} ms`;
}

export function microseconds(milliseconds: number): string {
  return `${digits(milliseconds * 1_000)} µs`;
}

export function megabytes(bytes: number): string {
  return `${digits(bytes / 1_000_000)} MB`;
}

export function times(ratio: number): string {
  return `${ratio.toFixed(ratio < 10 ? 2 : 0)} ×`;
}

export function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  if (value >= 1) return value.toFixed(2);
  return value.toFixed(3);
}
