import test from 'ava';
import fc from 'fast-check';
import { exceedsBytes, printable, quoted } from '../../daemon/core/text.ts';

const SHOWN: readonly (readonly [what: string, text: string, shown: string])[] = [
  ['plain text', 'web, 9000/udp "x" \\n', 'web, 9000/udp "x" \\n'],
  ['letters of any script', 'größe 東京 ಕನ್ನಡ', 'größe 東京 ಕನ್ನಡ'],
  ['an astral character', '😀', '😀'],
  ['line breaks and tabs', 'a\r\n\tb', 'a\\r\\n\\tb'],
  ['a terminal sequence', '\u001b[31mred\u009b0m', '\\x1b[31mred\\x9b0m'],
  ['NUL and DEL', '\0\u007f', '\\x00\\x7f'],
  ['a change of the writing direction', 'a\u202eb\u2066c\u200fd', 'a\\u202eb\\u2066c\\u200fd'],
  ['characters without width', 'we\u200bb\ufeff\u2060\u00ad', 'we\\u200bb\\ufeff\\u2060\\xad'],
  ['fillers and selectors', '\u3164\ufe0f\u180e', '\\u3164\\ufe0f\\u180e'],
  ['tags', '\u{e0041}', '\\u{e0041}'],
  ['other spaces', 'a\u00a0b\u2003c\u2028d', 'a\\xa0b\\u2003c\\u2028d'],
  ['half a surrogate pair', 'a\ud800b', 'a\\ud800b'],
  ['private characters', '\ue000', '\\ue000'],
];

for (const [what, text, shown] of SHOWN) {
  test(`printable shows ${what}`, (t) => {
    t.is(printable(text, 200), shown);
  });
}

test('printable cuts to the given length, an ellipsis included, and never inside a character or an escape', (t) => {
  t.is(printable('abcdef', 6), 'abcdef');
  t.is(printable('abcdefg', 6), 'abcde…');
  t.is(printable('abc\u202e', 6), 'abc…');
  t.is(printable('abcd😀', 5), 'abcd…');
  t.is(printable('abc😀e', 5), 'abc…');
  t.is(printable('ab', 1), '…');
  t.is(quoted('x'.repeat(65)), `"${'x'.repeat(63)}…"`);
});

test('printable text has nothing unseen, keeps its limit and does not change when it is made printable again', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.integer({ min: 1, max: 80 }), (text, max) => {
      const shown = printable(text, max);
      t.true(shown.length <= max);
      t.true(shown.isWellFormed());
      t.notRegex(shown, /[\p{C}\p{Zl}\p{Zp}]/u);
      t.is(printable(shown, max), shown);
    }),
    { numRuns: 1000 },
  );
});

test('bytes are counted as UTF-8 counts them', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (text) => {
      const bytes = Buffer.byteLength(text);
      t.false(exceedsBytes(text, bytes));
      t.true(exceedsBytes(`${text}x`, bytes));
    }),
  );
  t.false(exceedsBytes('\ud800', 3));
  t.true(exceedsBytes('\ud800', 2));
});
