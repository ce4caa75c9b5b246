import test from 'ava';
import fc from 'fast-check';
import { type Element, SETS } from '../../rules/element.ts';
import { elementsOf } from '../../rules/elements.ts';
import { changeJson } from '../../rules/json.ts';
import { type FieldType, LAYOUTS, MalformedElement } from '../../rules/layout.ts';
import { anyMapping, cidrs, mapping, UID } from './mappings.ts';

test('removals come before additions, and each set is named once', (t) => {
  const before = elementsOf(mapping({ podIPs: ['10.244.0.5'] }));
  const after = elementsOf(mapping({ podIPs: ['10.244.0.6'] }));
  const { nftables } = JSON.parse(changeJson({ remove: before, add: after }));
  const any4 = { family: 'inet', table: 'berth', name: 'any4' };
  t.deepEqual(nftables, [
    { delete: { element: { ...any4, elem: [{ concat: ['tcp', 20_000] }] } } },
    {
      delete: {
        element: { ...any4, name: 'hairpin4', elem: [{ concat: ['tcp', 20_000, '10.244.0.5', '10.244.0.5'] }] },
      },
    },
    {
      add: {
        element: {
          ...any4,
          elem: [
            [{ elem: { val: { concat: ['tcp', 20_000] }, comment: `${UID}/web` } }, { concat: ['10.244.0.6', 8080] }],
          ],
        },
      },
    },
    {
      add: {
        element: {
          ...any4,
          name: 'hairpin4',
          elem: [{ elem: { val: { concat: ['tcp', 20_000, '10.244.0.6', '10.244.0.6'] }, comment: `${UID}/web` } }],
        },
      },
    },
  ]);
});

test('blocks and address ranges are ranges, a single field is no concatenation', (t) => {
  const elements = elementsOf(
    mapping({
      protocol: 'UDP',
      hostPort: 40_000,
      containerPort: 40_000,
      size: 100,
      podIPs: ['10.244.0.5'],
      allowFrom: cidrs('203.0.113.0/24', '192.0.2.7/32'),
    }),
  );
  const { nftables } = JSON.parse(changeJson({ remove: [], add: elements }));
  const elemOf = (name: string) =>
    nftables.find((command: { add: { element: { name: string } } }) => command.add.element.name === name).add.element
      .elem;
  const comment = `${UID}/web`;
  const ports = { range: [40_000, 40_099] };
  t.deepEqual(elemOf('anyblock4'), [[{ elem: { val: { concat: ['udp', ports] }, comment } }, '10.244.0.5']]);
  t.deepEqual(elemOf('allow4'), [
    { elem: { val: { concat: ['udp', ports, { range: ['203.0.113.0', '203.0.113.255'] }] }, comment } },
    { elem: { val: { concat: ['udp', ports, '192.0.2.7'] }, comment } },
  ]);
  t.is(elemOf('udpany').length, 100);
  t.deepEqual(elemOf('udpany')[0], { elem: { val: 40_000, comment } });
});

const good: Element = { set: 'any4', key: 'tcp . 20000', value: '10.244.0.5 . 8080', comment: 'a/web' };
const hostile: readonly (readonly [string, Partial<Element>])[] = [
  ['a comment that ends its string', { comment: 'a/web", "evil": "' }],
  ['a comment with a line break', { comment: 'a/web\nflush ruleset' }],
  ['a comment with a NUL', { comment: 'a/web\0' }],
  ['a comment of 128 bytes', { comment: `a/${'b'.repeat(126)}` }],
  ['a comment with letters beyond ASCII', { comment: 'a/wéb' }],
  ['a key of other fields', { key: 'tcp' }],
  ['a key with one field too many', { key: 'tcp . 20000 . 1' }],
  ['a range where none is allowed', { key: 'tcp . 20000-20001' }],
  ['a protocol by an alias', { key: '6 . 20000' }],
  ['a port in hexadecimal', { key: 'tcp . 0x50' }],
  ['a port with a leading zero', { key: 'tcp . 080' }],
  ['a service name', { key: 'tcp . http' }],
  ['a negative port', { key: 'tcp . -1' }],
  ['port 65536', { key: 'tcp . 65536' }],
  ['a variable', { key: 'tcp . $port' }],
  ['a set reference', { value: '@any4 . 8080' }],
  ['a host name', { value: 'localhost . 8080' }],
  ['an address of the other family', { value: 'fd00::5 . 8080' }],
  ['a range as a value', { value: '10.244.0.0/24 . 8080' }],
  ['the catch-all', { key: '*' }],
  ['a device name with a wildcard', { set: 'samedev', key: 'eth* . eth*', value: '' }],
  ['a device name as bytes', { set: 'samedev', key: 'hex:612062 . hex:612062', value: '' }],
  ['a set that does not exist', { set: 'evil' as 'any4' }],
  ['a set named like a property of every object', { set: '__proto__' as 'any4' }],
];

for (const [title, fields] of hostile) {
  test(`V21: ${title} never reaches nftables`, (t) => {
    t.throws(() => changeJson({ remove: [], add: [{ ...good, ...fields }] }), { instanceOf: MalformedElement });
  });
}

test('V21: whatever an element says, its JSON holds nothing but protocols, numbers, addresses and checked comments', (t) => {
  const hostileField = fc.oneof(fc.string(), fc.constantFrom('x"', '*', '10.0.0.1"', '80;', '@any4', '$x', '1-2', ''));
  const fields: Readonly<Record<FieldType, fc.Arbitrary<string>>> = {
    protocol: fc.constantFrom('tcp', 'udp', 'sctp', '47'),
    port: fc.constantFrom('1', '80', '65535', '40000-40099'),
    address4: fc.constantFrom('10.0.0.1', '192.0.2.0/24', '10.0.0.1-10.0.0.9'),
    address6: fc.constantFrom('fd00::1', '2001:db8::/32'),
    device: fc.constantFrom('eth0', 'br-1.2@x', 'hex:612062'),
  };
  const textOf = (types: readonly FieldType[]) =>
    fc
      .tuple(
        ...types.map((type) =>
          fc.oneof({ weight: 9, arbitrary: fields[type] }, { weight: 1, arbitrary: hostileField }),
        ),
      )
      .map((texts) => texts.join(' . '));
  const element = fc.constantFrom(...SETS).chain((set) =>
    fc.record({
      set: fc.constant(set),
      key: textOf(LAYOUTS[set].key),
      value: textOf(LAYOUTS[set].value),
      comment: fc.oneof(fc.string(), fc.constant('a/b')),
    }),
  );
  const allowed =
    /^(inet|berth|tcp|udp|sctp|[0-9]{1,3}|[0-9.]+|[0-9a-f:.]+|[A-Za-z0-9-]+\/[A-Za-z0-9._-]+|[A-Za-z0-9][A-Za-z0-9._@-]*)$/;
  const strings = (json: unknown): string[] =>
    typeof json === 'string'
      ? [json]
      : json !== null && typeof json === 'object'
        ? Object.values(json).flatMap(strings)
        : [];
  let accepted = 0;
  let refused = 0;
  fc.assert(
    fc.property(element, (one) => {
      let json: string;
      try {
        json = changeJson({ remove: [], add: [one] });
      } catch (error) {
        t.true(error instanceof MalformedElement);
        refused++;
        return;
      }
      accepted++;
      for (const string of strings(JSON.parse(json))) t.regex(string, allowed);
    }),
    { numRuns: 2000 },
  );
  t.true(accepted > 100 && refused > 100);
});

test('every mapping can be written as JSON, and taken away again', (t) => {
  fc.assert(
    fc.property(anyMapping, (one) => {
      const elements = elementsOf(one);
      JSON.parse(changeJson({ remove: elements, add: elements }));
    }),
  );
  t.pass();
});

test('a foreign catch-all element and a foreign range can be removed', (t) => {
  const remove: Element[] = [
    { ...good, key: '*' },
    { set: 'allow4', key: 'tcp . 1-2 . 10.0.0.1-10.0.0.7', value: '', comment: '?' },
  ];
  const { nftables } = JSON.parse(changeJson({ remove, add: [] }));
  t.deepEqual(nftables[0].delete.element.elem, ['*']);
  t.deepEqual(nftables[1].delete.element.elem, [
    { concat: ['tcp', { range: [1, 2] }, { range: ['10.0.0.1', '10.0.0.7'] }] },
  ]);
});
