/**
 * One element of one set or map of the table `inet berth`, in a canonical text form: two elements are the same
 * exactly when their texts are. Pure data.
 */

/** Every set and map of the table. The skeleton declares exactly these. */
export const SETS = [
  'any4',
  'any6',
  'host4',
  'host6',
  'anyblock4',
  'anyblock6',
  'hostblock4',
  'hostblock6',
  'limited',
  'limitedhost4',
  'limitedhost6',
  'allow4',
  'allow6',
  'allowhost4',
  'allowhost6',
  'udpany',
  'udphost4',
  'udphost6',
  'hairpin4',
  'hairpin6',
  'samedev',
  'nodeaddr4',
  'nodeaddr6',
] as const;

export type SetName = (typeof SETS)[number];

/**
 * `key` and `value` are the fields joined by ` . `: protocols lower case (`tcp`), ranges `40000-40099`, addresses
 * canonical (RFC 5952), prefixes `203.0.113.0/24` (a full-length prefix is written as the bare address).
 */
export interface Element {
  readonly set: SetName;
  readonly key: string;
  /** Empty in a set. */
  readonly value: string;
  /** Empty when there is none. At most 128 bytes in the kernel. */
  readonly comment: string;
}

/** The identity of an element in the kernel: an existing key with another value is EEXIST. */
export function elementId(element: { readonly set: SetName; readonly key: string }): string {
  return `${element.set} ${element.key}`;
}

/** What one transaction does. A key in both lists is moved: deleted and added in the same transaction. */
export interface ElementChange {
  readonly remove: readonly Element[];
  readonly add: readonly Element[];
}
