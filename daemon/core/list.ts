/** Lists as annotations hold them: items between commas, blanks around them. Pure; linear in the length of the value. */
import { type Fault, fault, within } from './fault.ts';

export interface ListItem {
  /** Counted from 1. */
  readonly number: number;
  /** Where the item begins, as an index into the value. */
  readonly at: number;
  /** Without the blanks around it; may be empty. */
  readonly text: string;
}

/** What YAML's block scalars leave around items, too: a list may be written on several lines. */
const BLANKS = ' \t\r\n';

/** The value without blanks at its ends, and where the rest begins. */
export function trim(value: string): { readonly at: number; readonly text: string } {
  let start = 0;
  let end = value.length;
  while (start < end && BLANKS.includes(value.charAt(start))) start++;
  while (end > start && BLANKS.includes(value.charAt(end - 1))) end--;
  return { at: start, text: value.slice(start, end) };
}

/** The items of the value. An empty item is an item: the caller says what that means. */
export function splitList(value: string): ListItem[] {
  let at = 0;
  return value.split(',').map((part, index) => {
    const { at: blanks, text } = trim(part);
    // An empty item is shown where it should stand: right behind the comma.
    const item = { number: index + 1, at: text === '' ? at : at + blanks, text };
    at += part.length + 1;
    return item;
  });
}

/** The fault of an item that is empty or has a blank inside; undefined when it is neither. */
export function itemFault(item: ListItem): Fault | undefined {
  if (item.text === '') return within(fault('', 'is an empty item', 'remove one comma or write an item'), item);
  if (![...BLANKS].some((blank) => item.text.includes(blank))) return undefined;
  const remedy = 'separate items by commas and write no blank inside one';
  return within(fault(item.text, 'has a blank inside', remedy), item);
}
