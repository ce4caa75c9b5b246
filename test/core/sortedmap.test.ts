import test from 'ava';
import fc from 'fast-check';
import { type Keyed, SortedMap } from '../../daemon/core/sortedmap.ts';

/** More than one block has. */
const MANY = 1_000;

interface Entry {
  readonly key: string;
  readonly value: string;
}

const byKey: Keyed<Entry> = {
  keyOf: ({ key }) => key,
  comparing: (key) => (entry) => (entry.key === key ? 0 : entry.key < key ? -1 : 1),
};

function entry(key: string, value = `value of ${key}`): Entry {
  return { key, value };
}

function filled(keys: readonly string[]): SortedMap<Entry> {
  const map = new SortedMap(byKey);
  for (const key of keys) map.set(key, entry(key));
  return map;
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index).padStart(6, '0'));
}

test('an empty one holds nothing', (t) => {
  const map = new SortedMap(byKey);
  map.delete('a');
  t.is(map.size, 0);
  t.is(map.get('a'), undefined);
  t.false(map.has('a'));
  t.deepEqual(map.keys(), []);
  t.deepEqual([...map.from('')], []);
});

test('a key has one value, the last one', (t) => {
  const map = filled(['a']);
  map.set('a', entry('a', 'other'));
  t.is(map.size, 1);
  t.is(map.get('a')?.value, 'other');
});

const orders: readonly (readonly [string, (keys: string[]) => string[]])[] = [
  ['in order', (keys) => keys],
  ['backwards', (keys) => keys.reverse()],
  [
    'from both ends',
    (keys) => keys.map((_, index) => keys.at(index % 2 === 0 ? index >> 1 : -1 - (index >> 1)) as string),
  ],
];
for (const [title, arrange] of orders) {
  test(`many that come ${title} stand in the order of their keys`, (t) => {
    const keys = numbered(MANY);
    const map = filled(arrange([...keys]));
    t.is(map.size, MANY);
    t.deepEqual(map.keys(), keys);
    t.deepEqual(
      [...map.from('')],
      keys.map((key) => entry(key)),
    );
  });
}

test('one can begin anywhere: at a key, between two, before all and after all', (t) => {
  const keys = numbered(MANY);
  const map = filled(keys);
  for (const [index, key] of keys.entries()) {
    t.is(map.from(key).next().value?.key, key);
    t.is(map.from(`${key}~`).next().value?.key, keys[index + 1]);
  }
});

test('when everything has gone it is as an empty one', (t) => {
  const keys = numbered(MANY);
  const map = filled(keys);
  for (const key of keys) map.delete(key);
  t.is(map.size, 0);
  t.deepEqual([...map.from('')], []);
  map.set('b', entry('b'));
  map.set('a', entry('a'));
  t.deepEqual(map.keys(), ['a', 'b']);
});

test('whatever is set and deleted, it holds what a plain map holds, in the order of the keys', (t) => {
  const step = fc.record({ key: fc.integer({ min: 0, max: 700 }), gone: fc.boolean() });
  const steps = fc.array(step, { maxLength: 3_000, size: 'max' });
  fc.assert(
    fc.property(steps, (all) => {
      const map = new SortedMap(byKey);
      const plain = new Map<string, Entry>();
      for (const [index, { key, gone }] of all.entries()) {
        const name = String(key);
        if (gone) t.deepEqual(map.delete(name), plain.get(name));
        else map.set(name, entry(name, String(index)));
        if (gone) plain.delete(name);
        else plain.set(name, entry(name, String(index)));
      }
      t.is(map.size, plain.size);
      t.deepEqual(
        [...map.from('')],
        [...plain.values()].sort((one, other) => (one.key < other.key ? -1 : 1)),
      );
      for (const [name, value] of plain) t.deepEqual(map.get(name), value);
    }),
    { numRuns: 30 },
  );
});
