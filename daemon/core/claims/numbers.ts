/** The numbers of a class, and the name that makes one number one object: two host ports of one number cannot exist. */
import type { PortRange } from '../pool.ts';
import type { HostPortClass } from './objects.ts';

const NAME = /^hp-([1-9]\d{0,4})$/;
const MAX_PORT = 65_535;

export function nameOfNumber(number: number): string {
  return `hp-${number}`;
}

/** Undefined when no number has this name. */
export function numberOfName(name: string): number | undefined {
  const number = Number(NAME.exec(name)?.[1]);
  return number <= MAX_PORT ? number : undefined;
}

export function isRange({ first, last }: PortRange): boolean {
  return Number.isInteger(first) && Number.isInteger(last) && first >= 1 && first <= last && last <= MAX_PORT;
}

/** The numbers of the class in the order in which they are given: pools as they are listed, the lowest first, each once. */
export function* numbersOf({ pools }: Pick<HostPortClass, 'pools'>): Generator<number> {
  const usable = pools.filter(isRange);
  for (const [index, { first, last }] of usable.entries()) {
    const before = usable.slice(0, index);
    for (let number = first; number <= last; number++) if (!inRanges(before, number)) yield number;
  }
}

export function holdsNumber(found: Pick<HostPortClass, 'pools'>, number: number): boolean {
  return membership(found)(number);
}

/** For many numbers. */
export function membership({ pools }: Pick<HostPortClass, 'pools'>): (number: number) => boolean {
  const usable = pools.filter(isRange);
  return (number) => inRanges(usable, number);
}

/** Disjoint and in ascending order. */
export function mergedRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: PortRange[] = [];
  for (const range of ranges.filter(isRange).toSorted((one, other) => one.first - other.first)) {
    const last = merged.at(-1);
    if (last === undefined || range.first > last.last + 1) merged.push(range);
    else merged[merged.length - 1] = { first: last.first, last: Math.max(last.last, range.last) };
  }
  return merged;
}

export function countOf(ranges: readonly PortRange[]): number {
  return mergedRanges(ranges).reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

/** What both have. */
export function commonRanges(one: readonly PortRange[], other: readonly PortRange[]): readonly PortRange[] {
  const right = mergedRanges(other);
  return mergedRanges(one).flatMap(({ first, last }) =>
    right
      .filter((range) => range.first <= last && first <= range.last)
      .map((range) => ({ first: Math.max(first, range.first), last: Math.min(last, range.last) })),
  );
}

function inRanges(ranges: readonly PortRange[], number: number): boolean {
  return ranges.some(({ first, last }) => number >= first && number <= last);
}
