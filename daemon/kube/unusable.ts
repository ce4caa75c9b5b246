/** What is wrong with a file of secrets, without them: readers of YAML show the lines around what they cannot read. Pure. */
import { messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';

const MAX_HEADLINE = 256;

/** The first line of the message. */
export function headlineOf(error: unknown): string {
  const [first = ''] = messageOf(error).split('\n');
  return printable(first, MAX_HEADLINE);
}
