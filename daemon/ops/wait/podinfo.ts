/**
 * The file in which a downward API volume shows the annotations of a pod: one `key="value"` a line, the value quoted as Go's
 * strconv.Quote does it. Pure; what it cannot read it leaves out.
 */

/** By key. A value that stands there in part only (kubelet replaces the file as a whole) is left out. */
export function parsePodinfo(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^([^=\s]+)="((?:[^"\\]|\\.)*)"$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) found.set(key, unquoted(value));
  }
  return found;
}

const SHORT: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function unquoted(text: string): string {
  return text.replace(/\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/g, (_, x, u, long, other) => {
    const hex = x ?? u ?? long;
    if (hex === undefined) return SHORT[other] ?? other;
    const code = Number.parseInt(hex, 16);
    return code <= 0x10_ffff ? String.fromCodePoint(code) : '\ufffd';
  });
}
