import test from 'ava';
import fc from 'fast-check';
import { keyOf, type LiveMapping, matches, prefixOf } from '../../daemon/core/livemapping.ts';
import { BY_KEY, mayMatch, pack, sameValues, unpack } from '../../daemon/core/packedmapping.ts';

const text = fc.constantFrom('a', 'a-', 'a.', 'a0', 'ab', 'b', 'A', 'Ä');
const number = fc.integer({ min: 1, max: 65_535 });
const live: fc.Arbitrary<LiveMapping> = fc.record(
  {
    node: text,
    since: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 253_402_300_799_999 })),
    stale: fc.constant(true as const),
    mapping: fc.record(
      {
        pod: fc.record({ namespace: text, name: text, uid: text }),
        name: text,
        protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
        pool: fc.oneof(text, fc.constant('')),
        hostPort: fc.oneof(fc.constantFrom(1, 2, 3), number),
        size: fc.integer({ min: 1, max: 256 }),
        hostIP: fc.constantFrom('192.0.2.7', '2001:db8::7'),
        containerPort: number,
        podIPs: fc.constantFrom([], ['10.0.0.5'], ['10.0.0.5', 'fd00::5'], ['fd00::5']),
        allowFrom: fc.constantFrom([], [{ family: 4, text: '192.0.2.0/24' }], [{ family: 6, text: '2001:db8::/32' }]),
      },
      { requiredKeys: ['pod', 'name', 'protocol', 'pool', 'hostPort', 'size', 'containerPort', 'podIPs'] },
    ),
  },
  { requiredKeys: ['node', 'since', 'mapping'] },
) as fc.Arbitrary<LiveMapping>;

function ownKey({ node, mapping }: LiveMapping): string {
  return keyOf(node, mapping.pod, mapping.name, mapping.protocol);
}

test('what was packed is unpacked as it was, and has the key that it had', (t) => {
  fc.assert(
    fc.property(live, (one) => {
      t.deepEqual(unpack(pack(one)), one);
      t.is(BY_KEY.keyOf(pack(one)), ownKey(one));
    }),
    { numRuns: 500 },
  );
});

test('mappings compare with a key as their own keys do', (t) => {
  fc.assert(
    fc.property(live, live, (one, other) => {
      const [key, against] = [ownKey(one), ownKey(other)];
      const expected = key === against ? 0 : key < against ? -1 : 1;
      t.is(BY_KEY.comparing(against)(pack(one)), expected);
    }),
    { numRuns: 1_000 },
  );
});

test('V23: mappings compare as their keys do with whatever a client says is a key', (t) => {
  const any = fc.array(fc.oneof(text, fc.constant('')), { maxLength: 9 }).map((parts) => parts.join('\0'));
  fc.assert(
    fc.property(live, any, (one, against) => {
      const key = ownKey(one);
      const expected = key === against ? 0 : key < against ? -1 : 1;
      t.is(BY_KEY.comparing(against)(pack(one)), expected);
    }),
    { numRuns: 1_000 },
  );
});

test('what every matching key begins with comes before all of them', (t) => {
  fc.assert(
    fc.property(live, fc.boolean(), (one, whole) => {
      const { namespace, name: pod } = one.mapping.pod;
      t.true(BY_KEY.comparing(prefixOf(whole ? { namespace, pod } : { namespace }))(pack(one)) > 0);
    }),
  );
});

test('two have the same values when nothing differs but their node, since when they are live and whether they are stale', (t) => {
  fc.assert(
    fc.property(live, live, fc.boolean(), (one, two, alike) => {
      const other = alike ? { ...two, mapping: structuredClone(one.mapping) } : two;
      const told = ({ mapping }: LiveMapping) => JSON.stringify({ ...mapping, hostIP: mapping.hostIP ?? '' });
      const same = alike || JSON.stringify(unpack(pack(one)).mapping) === JSON.stringify(unpack(pack(two)).mapping);
      t.is(sameValues(pack(one), pack(other)), same, `${told(one)} ${told(other)}`);
    }),
    { numRuns: 500 },
  );
});

test('nothing that matches a filter is passed over before it is unpacked', (t) => {
  const filter = fc.record(
    {
      namespace: text,
      pod: text,
      node: text,
      pool: fc.oneof(text, fc.constant('')),
      name: text,
      protocol: fc.constantFrom('TCP', 'UDP'),
      hostPort: fc.constantFrom(1, 2, 3, 100),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(live, filter, (one, wanted) => {
      if (matches(wanted, one)) t.true(mayMatch(wanted)(pack(one)));
      t.pass();
    }),
    { numRuns: 3_000 },
  );
});
