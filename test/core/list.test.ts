import test from 'ava';
import fc from 'fast-check';
import { itemFault, splitList, trim } from '../../daemon/core/list.ts';

test('blanks at the ends, line ends of YAML among them, belong to nothing', (t) => {
  t.deepEqual(trim(' \t\r\n web \n'), { at: 5, text: 'web' });
  t.deepEqual(trim('  '), { at: 2, text: '' });
  t.deepEqual(trim('\u00a0web'), { at: 0, text: '\u00a0web' }, 'no other space is a blank');
});

const lists: readonly (readonly [value: string, expected: readonly (readonly [number, number, string])[]])[] = [
  ['', [[1, 0, '']]],
  ['web', [[1, 0, 'web']]],
  [
    ' web ,dns',
    [
      [1, 1, 'web'],
      [2, 6, 'dns'],
    ],
  ],
  [
    'a,, b,',
    [
      [1, 0, 'a'],
      [2, 2, ''],
      [3, 4, 'b'],
      [4, 6, ''],
    ],
  ],
];

for (const [value, expected] of lists) {
  test(`the items of ${JSON.stringify(value)} have their number and place`, (t) => {
    t.deepEqual(
      splitList(value),
      expected.map(([number, at, text]) => ({ number, at, text })),
    );
  });
}

test('an empty item and a blank inside are faults, with the number of the item', (t) => {
  const [good, empty, blank] = splitList('web,,a b').map(itemFault);
  t.is(good, undefined);
  t.like(empty, { item: 2, at: 4, wrong: 'is an empty item' });
  t.like(blank, { item: 3, at: 5, wrong: 'has a blank inside' });
});

test('every item stands in the value where it says', (t) => {
  const value = fc.string({ unit: fc.constantFrom('a', ',', ' ', '\n', 'é', '😀') });
  fc.assert(
    fc.property(value, (text) => {
      const items = splitList(text);
      t.is(items.length, text.split(',').length);
      for (const [index, item] of items.entries()) {
        t.is(item.number, index + 1);
        t.is(text.slice(item.at, item.at + item.text.length), item.text);
      }
    }),
  );
});
