/** Values of kubectl's flags, read as kubectl reads them. Each parser throws CONFIG_INVALID. */
import { quoted } from '../../core/text.ts';
import { invalid } from '../values.ts';

/** Of Go's time.ParseDuration, in ms. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
/** The longest that a timer can wait. */
const MAX_MS = 2 ** 31 - 1;

/** Whole seconds, or a duration as Go has them: `5`, `1.5s`, `1h30m`; to ms. Undefined for none and for 0, which is no bound. */
export function requestTimeout(text: string): number | undefined {
  if (text === '') return undefined;
  const parts = [...text.matchAll(PART)];
  const whole = parts.map(([part]) => part).join('') === text;
  if (!whole && !/^\d+$/.test(text))
    throw invalid(`${quoted(text)} is neither a number of seconds nor a duration such as 500ms, 10s or 1m30s`);
  const ms = whole
    ? parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNITS[unit] ?? 0), 0)
    : Number(text) * 1_000;
  return ms === 0 ? undefined : Math.min(Math.ceil(ms), MAX_MS);
}

/** The values of each key. */
export function userExtra(items: readonly string[]): Readonly<Record<string, readonly string[]>> {
  const pairs = items.map((item) => {
    const at = item.indexOf('=');
    if (at < 1) throw invalid(`${quoted(item)} is not KEY=VALUE`);
    return { key: item.slice(0, at), value: item.slice(at + 1) };
  });
  const keys = [...new Set(pairs.map(({ key }) => key))];
  return Object.fromEntries(
    keys.map((key) => [key, pairs.filter((pair) => pair.key === key).map(({ value }) => value)]),
  );
}
