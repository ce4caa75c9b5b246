/** A line of the JSON log as a line for people: `TIME LEVEL event key=value …`. It must never add or reinterpret anything. */

/** `line` is one JSON object. What a terminal would obey is escaped in it already and stays so. */
export function humanLine(line: string): string {
  const { time, level, event, node: _, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(facts).map(([key, value]) => `${key}=${show(value)}`);
  return [time, String(level).toUpperCase().padEnd(5), event, ...pairs].join(' ');
}

/** Plain where that is unambiguous, else as JSON, in which everything unseen is escaped that JSON.parse has just unescaped. */
function show(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@%+-]+$/.test(value)) return value;
  return JSON.stringify(value).replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
