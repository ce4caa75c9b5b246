import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { formatRanges, type PortRange } from '../../daemon/core/pool.ts';
import {
  countOutside,
  mergeRanges,
  overlapping,
  parseRanges,
  protectFromEphemeral,
  subtractRanges,
  unprotect,
} from '../../daemon/ops/ephemeral.ts';
import { Namespace } from '../kernel/namespace.ts';
import { directory, disk } from './disk.ts';

const RESERVED = 'net.ipv4.ip_local_reserved_ports';
const RANGE = 'net.ipv4.ip_local_port_range';
const node = Namespace.create('ephemeral');
node.stay();
test.after.always(() => node[Symbol.dispose]());

/** The settings belong to the namespace, so these tests take turns. */
const kernel = test.serial;

/** An empty write(2) changes nothing: the list is emptied by a newline. */
function clear(): void {
  node.sysctl(RESERVED, '\n');
}

function range(first: number, last = first): PortRange {
  return { first, last };
}

const anyRange = fc
  .tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 0, max: 300 }))
  .map(([first, more]) => range(first, Math.min(65_535, first + more)));
const anyRanges = fc.array(anyRange, { maxLength: 20 });

function numbersOf(ranges: readonly PortRange[]): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const { first, last } of ranges) for (let number = first; number <= last; number++) numbers.add(number);
  return numbers;
}

test('merging keeps exactly the same numbers, in ascending ranges that do not touch', (t) => {
  fc.assert(
    fc.property(anyRanges, (ranges) => {
      const merged = mergeRanges(ranges);
      t.deepEqual(
        [...numbersOf(merged)],
        [...numbersOf(ranges)].toSorted((a, b) => a - b),
      );
      for (const [index, { first }] of merged.entries()) t.true(first > (merged[index - 1]?.last ?? -1) + 1);
    }),
  );
});

test('numbers outside are counted as they are', (t) => {
  fc.assert(
    fc.property(anyRange, anyRanges, (whole, ranges) => {
      const covered = numbersOf(ranges);
      t.is(
        countOutside(whole, mergeRanges(ranges)),
        [...numbersOf([whole])].filter((number) => !covered.has(number)).length,
      );
    }),
  );
});

test('a list is read as it was written', (t) => {
  fc.assert(fc.property(anyRanges, (ranges) => t.deepEqual(parseRanges(`${formatRanges(ranges)}\n`), ranges)));
  for (const text of ['1-', '-1', 'a', '1,,2', '1-2-3', '1 2', '123456']) t.throws(() => parseRanges(text));
});

for (const [title, pools, expected] of [
  ['below', [range(20_000, 29_999)], []],
  ['above', [range(61_000, 62_000)], []],
  ['across the start', [range(30_000, 32_768)], [range(30_000, 32_768)]],
  ['across the end', [range(60_999, 62_000)], [range(60_999, 62_000)]],
  ['inside, and one that is not', [range(40_000, 40_099), range(20_000)], [range(40_000, 40_099)]],
  ['around', [range(1, 65_535)], [range(1, 65_535)]],
] as const) {
  test(`a pool ${title} the ephemeral range: ${JSON.stringify(expected)}`, (t) => {
    t.deepEqual(overlapping(pools, range(32_768, 60_999)), expected);
  });
}

kernel('the kernel takes the pool as reserved, and what stood there stays', (t) => {
  node.sysctl(RESERVED, '8080,40050-40200');
  t.deepEqual(protectFromEphemeral([range(20_000, 29_999), range(40_000, 40_099)]), {
    changed: { setting: RESERVED, before: '8080,40050-40200', added: '40000-40049' },
  });
  t.is(node.sysctl(RESERVED), '8080,40000-40200');
});

kernel('a second call changes nothing and reports nothing', (t) => {
  clear();
  const pools = [range(40_000, 40_099)];
  t.deepEqual(protectFromEphemeral(pools), { changed: { setting: RESERVED, before: '', added: '40000-40099' } });
  t.deepEqual(protectFromEphemeral(pools), {});
  t.deepEqual(protectFromEphemeral([range(20_000)]), {});
});

kernel('a list longer than a page is read and written whole', (t) => {
  const odd = Array.from({ length: 8000 }, (_, index) => range(33_001 + 2 * index));
  // In two halves, as the kernel takes a page in one write(2) and adds at a position that is not 0.
  node.sysctl(RESERVED, formatRanges(odd));
  t.is(parseRanges(node.sysctl(RESERVED)).length < odd.length, true, 'readFileSync sees a part only');

  const protection = protectFromEphemeral([range(60_000, 60_100)]);

  t.is(protection.changed?.before, formatRanges(odd));
  // Reported unchanged: it is all there.
  t.deepEqual(protectFromEphemeral([range(33_001), range(48_999), range(60_000, 60_100)]), {});
  t.is(protectFromEphemeral([range(33_000)]).changed?.before, formatRanges([...odd, range(60_000, 60_100)]));
  clear();
});

kernel('a pool that would leave the node without ephemeral ports is not protected, and the warning says why', (t) => {
  clear();
  const { changed, warning } = protectFromEphemeral([range(32_768, 60_000)]);
  t.is(changed, undefined);
  t.regex(warning ?? '', /ports 32768-60000 are not protected .*only 999 ephemeral ports would be left/);
  t.is(node.sysctl(RESERVED), '');
});

kernel('another network namespace has settings of its own', (t) => {
  using other = Namespace.create('ephemeral2');
  other.sysctl(RANGE, '20000 30000');
  clear();
  other.enter(() => protectFromEphemeral([range(25_000, 25_099)]));
  t.is(other.sysctl(RESERVED), '25000-25099');
  t.is(node.sysctl(RESERVED), '');
});

/** A stand-in for /proc/sys. */
function fill(root: string, reserved: string, ephemeral = '32768\t60999\n'): void {
  mkdirSync(join(root, 'net/ipv4'), { recursive: true });
  writeFileSync(join(root, 'net/ipv4/ip_local_port_range'), ephemeral);
  writeFileSync(join(root, 'net/ipv4/ip_local_reserved_ports'), reserved);
}

test('where it cannot be written the warning says what is unprotected, and the remedy', (t) => {
  const readOnly = disk(t, '64k');
  fill(readOnly.path, '40000-40049\n');
  readOnly.remount('ro');
  const { changed, warning } = protectFromEphemeral([range(20_000), range(40_000, 40_099)], readOnly.path);
  t.is(changed, undefined);
  t.regex(
    warning ?? '',
    /^ports 40000-40099 are not protected .*EROFS.*set net\.ipv4\.ip_local_reserved_ports to include 40000-40099/,
  );
});

test('without the files the warning names all pools; without pools there is none', (t) => {
  const root = directory(t);
  t.regex(
    protectFromEphemeral([range(40_000, 40_099), range(20_000)], root).warning ?? '',
    /^ports 20000,40000-40099 are/,
  );
  t.deepEqual(protectFromEphemeral([], root), {});
});

test('a setting that is not understood is left alone', (t) => {
  const root = directory(t);
  for (const [reserved, ephemeral] of [
    ['garbage', '32768 60999'],
    ['', 'garbage'],
    ['', ''],
    ['', '5 4'],
  ] as const) {
    fill(root, reserved, ephemeral);
    const { changed, warning } = protectFromEphemeral([range(40_000)], root);
    t.is(changed, undefined);
    t.regex(warning ?? '', /^ports 40000 are not protected/);
  }
});

for (const [title, ranges, others, expected] of [
  ['nothing', [range(1, 9)], [], [range(1, 9)]],
  ['everything', [range(1, 9)], [range(1, 9)], []],
  ['the middle', [range(1, 9)], [range(4, 6)], [range(1, 3), range(7, 9)]],
  ['both ends', [range(1, 9)], [range(9, 12), range(1)], [range(2, 8)]],
  ['over two ranges', [range(1, 3), range(7, 9)], [range(2, 8)], [range(1), range(9)]],
  ['several holes', [range(1, 9), range(20)], [range(2), range(4), range(19, 21)], [range(1), range(3), range(5, 9)]],
] as const) {
  test(`ranges without ${title}`, (t) => {
    t.deepEqual(subtractRanges(ranges, others), expected);
  });
}

kernel('what was added is taken out again; what stood before and what others added stays', (t) => {
  node.sysctl(RESERVED, '8080,40050-40200');
  const { changed } = protectFromEphemeral([range(40_000, 40_099)]);
  node.sysctl(RESERVED, `${node.sysctl(RESERVED)},50000`);
  const expected = { from: '8080,40000-40200,50000', to: '8080,40050-40200,50000' };
  if (changed === undefined) return t.fail('nothing was changed');
  t.deepEqual(unprotect(changed, [], true), expected);
  t.is(node.sysctl(RESERVED), expected.from, 'a dry run writes nothing');
  t.deepEqual(unprotect(changed, [], false), expected);
  t.deepEqual(unprotect(changed, [], false), { from: expected.to, to: expected.to });
  clear();
});

kernel('a list that is empty again can be written, and a record without what was added is read as the pools', (t) => {
  clear();
  protectFromEphemeral([range(40_000, 40_099)]);
  t.deepEqual(unprotect({ setting: RESERVED, before: '' }, [range(40_000, 40_099)], false), {
    from: '40000-40099',
    to: '',
  });
  t.is(node.sysctl(RESERVED), '');
});
