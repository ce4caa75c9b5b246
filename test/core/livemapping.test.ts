import test from 'ava';
import fc from 'fast-check';
import { BY_KEY, hasPrefixOf, type LiveMapping, prefixOf } from '../../daemon/core/livemapping.ts';

const text = fc.constantFrom('a', 'a-', 'a.', 'a0', 'ab', 'b', 'A', 'Ä');
const live: fc.Arbitrary<LiveMapping> = fc
  .record({ namespace: text, pod: text, uid: text, name: text, node: text, protocol: fc.constantFrom('TCP', 'UDP') })
  .map(({ namespace, pod, uid, name, node, protocol }) => ({
    node,
    since: 0,
    mapping: {
      pod: { namespace, name: pod, uid },
      name,
      protocol: protocol as 'TCP',
      pool: 'default',
      hostPort: 1,
      size: 1,
      containerPort: 1,
      podIPs: [],
    },
  }));

test('mappings compare with a key as their own keys do', (t) => {
  fc.assert(
    fc.property(live, live, (one, other) => {
      const [key, against] = [BY_KEY.keyOf(one), BY_KEY.keyOf(other)];
      const expected = key === against ? 0 : key < against ? -1 : 1;
      t.is(BY_KEY.comparing(against)(one), expected);
    }),
  );
});

test('what every matching key begins with comes before all of them, and is what they begin with', (t) => {
  fc.assert(
    fc.property(live, live, fc.boolean(), (one, other, whole) => {
      const { namespace, name: pod } = other.mapping.pod;
      const filter = whole ? { namespace, pod } : { namespace };
      const begins = BY_KEY.keyOf(one).startsWith(prefixOf(filter));
      t.is(hasPrefixOf(filter, one), begins);
      if (begins) t.true(BY_KEY.comparing(prefixOf(filter))(one) >= 0);
    }),
  );
});
