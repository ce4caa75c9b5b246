/** JSON and YAML in which everything can be seen: what a terminal would obey stands there as `\uXXXX`, which readers undo. */
import { Document, Scalar, visit } from 'yaml';
import { printable } from '../core/text.ts';
import type { FreshnessView } from './views.ts';

export function plainFreshness({ lastHeard, ...complete }: FreshnessView) {
  return { ...moment('lastHeard', lastHeard), ...complete };
}

/** RFC 3339, and nothing for a time that a Date cannot hold. */
export function moment<K extends string>(key: K, ms: number | undefined): { readonly [P in K]?: string } {
  const date = new Date(ms ?? Number.NaN);
  return (Number.isNaN(date.getTime()) ? {} : { [key]: date.toISOString() }) as { readonly [P in K]?: string };
}

export function visibleJson(value: unknown, indent?: number): string {
  return escapeUnseen(JSON.stringify(value, undefined, indent));
}

export function visibleYaml(value: unknown): string {
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
