/** A mistake in an annotation, and the one form in which users are told of it: who, where, what, and what would be right. */
import { printable, quoted } from './text.ts';
import { podLabel } from './vocabulary.ts';

export interface Fault {
  readonly kind: 'fault';
  /** The offending text as it stands there: it is escaped and cut only when it is shown. */
  readonly text: string;
  /** Continues the sentence that begins with the quoted text: `is not a port number`. */
  readonly wrong: string;
  /** What to do: `write a number from 1 to 65535`. */
  readonly right: string;
  /** Where the text begins, as an index into the annotation's value; absent: the mistake is not in the value. */
  readonly at?: number;
  /** Counted from 1. */
  readonly item?: number;
}

export function fault(text: string, wrong: string, right: string, at?: number): Fault {
  return { kind: 'fault', text, wrong, right, ...(at === undefined ? {} : { at }) };
}

/** The same mistake, seen from the whole value: `text` is item `item` and begins at `at`. */
export function within(mistake: Fault, item: { readonly number: number; readonly at: number }): Fault {
  return { ...mistake, item: item.number, at: item.at + (mistake.at ?? 0) };
}

/**
 * `pod games/server-0: annotation berth.dev/ports, item 2, column 6: "webb" is …; …`, printable, at most 1,024
 * characters. Columns count characters (not bytes, not UTF-16 units) from 1. `value` is the annotation's value.
 */
export function faultMessage(
  pod: { readonly namespace: string; readonly name: string },
  key: string,
  value: string,
  { text, wrong, right, at, item }: Fault,
): string {
  const inItem = item === undefined ? '' : `, item ${item}`;
  const inColumn = at === undefined ? '' : `, column ${[...value.slice(0, at)].length + 1}`;
  // 317: a namespace has at most 63 characters and a pod name 253.
  const label = printable(podLabel(pod), 317);
  return printable(`pod ${label}: annotation ${key}${inItem}${inColumn}: ${quoted(text)} ${wrong}; ${right}`, 1024);
}
