/**
 * Text that came from the cluster, made fit for people: messages, logs, tables. It must never let a character through that
 * moves a cursor, turns the writing direction or cannot be seen (a terminal obeys it, and a reader is misled by it).
 */

/** Controls, format and bidi characters, lone surrogates, unassigned ones, every invisible one, every space but U+0020. */
const UNSEEN = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u;
const SHORT: ReadonlyMap<string, string> = new Map([
  [' ', ' '],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);
const ELLIPSIS = '…';

/**
 * The text with everything unseen escaped (`\n`, `\x1b`, `\u202e`, `\u{e0041}`) and cut to `max` UTF-16 units, at least 1, an
 * ellipsis at its end when something was cut. Looks at no more than `max` characters. Applied twice it changes nothing more;
 * a backslash therefore stays as it is.
 */
export function printable(text: string, max: number): string {
  let shown = '';
  /** The longest beginning that leaves room for the ellipsis and ends between two characters. */
  let cut = '';
  for (const character of text) {
    const piece = UNSEEN.test(character) ? escaped(character) : character;
    if (shown.length + piece.length > max) return cut + ELLIPSIS;
    shown += piece;
    if (shown.length < max) cut = shown;
  }
  return shown;
}

/** In double quotes, at most 64 characters of it: how messages show what somebody wrote. */
export function quoted(text: string): string {
  return `"${printable(text, 64)}"`;
}

/** Whether the text takes more than `max` bytes in UTF-8. Looks at no more than `max` characters. */
export function exceedsBytes(text: string, max: number): boolean {
  // A UTF-16 unit takes one byte at least.
  if (text.length > max) return true;
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes > max;
}

function escaped(character: string): string {
  const short = SHORT.get(character);
  if (short !== undefined) return short;
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\u{${hex}}`;
}
