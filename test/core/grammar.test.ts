import test from 'ava';
import { type Item, isPortName, parseItem, parsePortNumber } from '../../daemon/core/grammar.ts';
import { itemFault, splitList, trim } from '../../daemon/core/list.ts';

const ITEMS: readonly (readonly [text: string, item: Item])[] = [
  ['web', { kind: 'name', name: 'web' }],
  ['a', { kind: 'name', name: 'a' }],
  ['8080-http', { kind: 'name', name: '8080-http' }],
  ['constructor', { kind: 'name', name: 'constructor' }],
  ['abcdefghijklmno', { kind: 'name', name: 'abcdefghijklmno' }],
  ['9000', { kind: 'number', number: 9000 }],
  ['1', { kind: 'number', number: 1 }],
  ['65535', { kind: 'number', number: 65535 }],
  ['9000/udp', { kind: 'number', number: 9000, protocols: ['UDP'] }],
  ['9000/UDP', { kind: 'number', number: 9000, protocols: ['UDP'] }],
  ['9000/udp+tcp+sctp', { kind: 'number', number: 9000, protocols: ['UDP', 'TCP', 'SCTP'] }],
  ['media=100', { kind: 'own', name: 'media', target: { kind: 'block', size: 100 }, protocols: ['TCP'] }],
  ['media=100/udp', { kind: 'own', name: 'media', target: { kind: 'block', size: 100 }, protocols: ['UDP'] }],
  ['one=1', { kind: 'own', name: 'one', target: { kind: 'block', size: 1 }, protocols: ['TCP'] }],
  ['all=256', { kind: 'own', name: 'all', target: { kind: 'block', size: 256 }, protocols: ['TCP'] }],
  [
    'rtp=40000-40099/udp',
    { kind: 'own', name: 'rtp', target: { kind: 'numbers', first: 40000, last: 40099 }, protocols: ['UDP'] },
  ],
  ['x=1-256', { kind: 'own', name: 'x', target: { kind: 'numbers', first: 1, last: 256 }, protocols: ['TCP'] }],
  ['x=7-7', { kind: 'own', name: 'x', target: { kind: 'numbers', first: 7, last: 7 }, protocols: ['TCP'] }],
  ['p2p=same', { kind: 'own', name: 'p2p', target: { kind: 'same' }, protocols: ['TCP'] }],
  ['p2p=same/tcp+UDP', { kind: 'own', name: 'p2p', target: { kind: 'same' }, protocols: ['TCP', 'UDP'] }],
];

for (const [text, item] of ITEMS) {
  test(`the item ${text} is understood`, (t) => {
    t.deepEqual(parseItem(text), item);
  });
}

/** `at`: where in the item the mistake begins. */
const FAULTS: readonly (readonly [text: string, at: number, offending: string, wrong: string, right: string])[] = [
  ['0', 0, '0', 'is not a port number', 'write 1 to 65535 without leading zeros'],
  ['65536', 0, '65536', 'is not a port number', 'write 1 to 65535 without leading zeros'],
  ['080', 0, '080', 'is not a port number', 'write 1 to 65535 without leading zeros'],
  ['99999999999999999999', 0, '99999999999999999999', 'is not a port number', 'write 1 to 65535 without leading zeros'],
  ['0/udp', 0, '0', 'is not a port number', 'write 1 to 65535 without leading zeros'],
  ['9000/', 5, '', 'is no protocol', 'write tcp, udp or sctp, joined by +'],
  ['9000/icmp', 5, 'icmp', 'is no protocol', 'write tcp, udp or sctp, joined by +'],
  ['9000/Tcp', 5, 'Tcp', 'is no protocol', 'write tcp, udp or sctp, joined by +'],
  ['9000/tcp+', 9, '', 'is no protocol', 'write tcp, udp or sctp, joined by +'],
  ['9000/tcp/udp', 5, 'tcp/udp', 'is no protocol', 'write tcp, udp or sctp, joined by +'],
  ['9000/tcp+udp+TCP', 13, 'TCP', 'stands there twice', 'write each protocol once'],
  ['9000/constructor', 5, 'constructor', 'is no protocol', 'write tcp, udp or sctp, joined by +'],
  ['40000-40099', 0, '40000-40099', 'is a block without a name', 'write name=FIRST-LAST'],
  ['web/tcp', 3, '/tcp', 'adds a protocol to a declared port, which has one', 'write web'],
  ['=5', 0, '', 'is not a port name', 'write 1 to 15 of a-z, 0-9 and -, with a letter, and - only singly and inside'],
  [
    'Web=5',
    0,
    'Web',
    'is not a port name',
    'write 1 to 15 of a-z, 0-9 and -, with a letter, and - only singly and inside',
  ],
  [
    '80=5',
    0,
    '80',
    'is not a port name',
    'write 1 to 15 of a-z, 0-9 and -, with a letter, and - only singly and inside',
  ],
  ['media=', 6, '', 'does not say which ports', 'write a count, FIRST-LAST, or same'],
  ['media=Same', 6, 'Same', 'does not say which ports', 'write a count, FIRST-LAST, or same'],
  ['media=-5', 6, '-5', 'does not say which ports', 'write a count, FIRST-LAST, or same'],
  ['media=1e2', 6, '1e2', 'does not say which ports', 'write a count, FIRST-LAST, or same'],
  ['media=5=6', 6, '5=6', 'does not say which ports', 'write a count, FIRST-LAST, or same'],
  ['media=1-2-3', 6, '1-2-3', 'does not say which ports', 'write a count, FIRST-LAST, or same'],
  ['media=0', 6, '0', 'is not the size of a block', 'write a count from 1 to 256, or FIRST-LAST'],
  ['media=257', 6, '257', 'is not the size of a block', 'write a count from 1 to 256, or FIRST-LAST'],
  ['media=010', 6, '010', 'is not the size of a block', 'write a count from 1 to 256, or FIRST-LAST'],
  ['x=0-5', 2, '0-5', 'is not a range of port numbers', 'write two numbers from 1 to 65535 without leading zeros'],
  [
    'x=5-65536',
    2,
    '5-65536',
    'is not a range of port numbers',
    'write two numbers from 1 to 65535 without leading zeros',
  ],
  ['x=40099-40000', 2, '40099-40000', 'runs backwards', 'write 40000-40099'],
  ['x=1000-1256', 2, '1000-1256', 'are 257 ports', 'a block has at most 256: write several'],
  ['x=same/quic', 7, 'quic', 'is no protocol', 'write tcp, udp or sctp, joined by +'],
];

for (const [text, at, offending, wrong, right] of FAULTS) {
  test(`the item ${text} is refused: ${offending} ${wrong}`, (t) => {
    t.deepEqual(parseItem(text), { kind: 'fault', text: offending, wrong, right, at });
  });
}

const NO_ITEM = [
  'Web',
  'a--b',
  '-a',
  'a-',
  'a_b',
  'a.b',
  '80:8080',
  '+80',
  '-80',
  '8.5',
  '*',
  'abcdefghijklmnop',
  '__proto__',
  'wéb',
  '８０',
  '/',
  '/tcp',
  '\0',
];

for (const text of NO_ITEM) {
  test(`the item ${JSON.stringify(text)} is refused with the forms that an item may have`, (t) => {
    t.deepEqual(parseItem(text), {
      kind: 'fault',
      text,
      wrong: 'is no port request',
      right:
        'write the name of a declared port, NUMBER[/PROTO], name=COUNT[/PROTO], name=FIRST-LAST[/PROTO] or name=same[/PROTO]',
      at: 0,
    });
  });
}

test('a port name is an IANA service name', (t) => {
  for (const name of ['a', 'web', '1a', 'a1', 'a-b-c', '80-tcp', 'abcdefghijklmno']) t.true(isPortName(name), name);
  const bad = [
    '',
    '1',
    '80',
    '8-0',
    'A',
    '-a',
    'a-',
    'a--b',
    'a_b',
    'a b',
    'a\n',
    '\u212a',
    'abcdefghijklmnop',
    '__proto__',
  ];
  for (const name of bad) t.false(isPortName(name), name);
});

test('a port number is decimal, from 1 to 65535, and has one way to be written', (t) => {
  t.is(parsePortNumber('1'), 1);
  t.is(parsePortNumber('65535'), 65535);
  for (const text of ['', '0', '00', '01', '65536', '-1', '+1', '1.0', '1e3', ' 1', '1\n', '0x10', '١']) {
    t.is(parsePortNumber(text), undefined, text);
  }
});

test('a list is split at its commas, and each item knows where it begins', (t) => {
  t.deepEqual(splitList(' web,\n  9000/udp ,a=5'), [
    { number: 1, at: 1, text: 'web' },
    { number: 2, at: 8, text: '9000/udp' },
    { number: 3, at: 18, text: 'a=5' },
  ]);
  t.deepEqual(splitList('a, ,'), [
    { number: 1, at: 0, text: 'a' },
    { number: 2, at: 2, text: '' },
    { number: 3, at: 4, text: '' },
  ]);
});

test('spaces, tabs and line breaks are blanks, and no other character is', (t) => {
  t.deepEqual(trim(' \t\r\n a b \n'), { at: 5, text: 'a b' });
  t.deepEqual(trim('\u00a0a\u2003'), { at: 0, text: '\u00a0a\u2003' });
  t.deepEqual(trim(' \n '), { at: 3, text: '' });
});

test('an item may be neither empty nor of two words', (t) => {
  t.is(itemFault({ number: 1, at: 0, text: 'web' }), undefined);
  t.like(itemFault({ number: 2, at: 4, text: '' }), { item: 2, at: 4, wrong: 'is an empty item' });
  for (const text of ['web 9000', 'media = 5', 'a\tb', 'a\nb']) {
    t.like(itemFault({ number: 3, at: 9, text }), { item: 3, at: 9, text, wrong: 'has a blank inside' });
  }
});
