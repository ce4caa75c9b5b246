import test from 'ava';
import fc from 'fast-check';
import { keyOf, type LiveMapping } from '../../daemon/core/livemapping.ts';
import { keyOfChange, MappingRegistry, registryOfNode } from '../../daemon/core/registry.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import type { Registry } from '../../daemon/reconcile/ports.ts';

const pod = { namespace: 'shop', name: 'cart-0', uid: 'u1' };

function mapping(fields: Partial<Mapping> = {}): Mapping {
  return {
    pod,
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: 20_000,
    size: 1,
    containerPort: 8080,
    podIPs: ['10.0.0.5'],
    ...fields,
  };
}

/** As `pod/port`, in the order given. */
function names(items: readonly LiveMapping[]): string[] {
  return items.map((live) => `${live.mapping.pod.name}/${live.mapping.name}`);
}

test('a mapping that is set is listed with its node and since when it is live', (t) => {
  const registry = new MappingRegistry();
  registry.set('n1', mapping(), 1_000);
  t.deepEqual(registry.all({}), [{ node: 'n1', mapping: mapping(), since: 1_000 }]);
  t.is(registry.revision, 1);
});

test('setting the same values again changes nothing, not even since when they are live', (t) => {
  const registry = new MappingRegistry();
  const allowFrom = [{ family: 4, text: '192.0.2.0/24' }] as const;
  registry.set('n1', mapping({ allowFrom, hostIP: '192.0.2.7' }), 1_000);
  registry.set('n1', mapping({ allowFrom: [...allowFrom], hostIP: '192.0.2.7', podIPs: ['10.0.0.5'] }), 2_000);
  t.is(registry.revision, 1);
  t.is(registry.all({})[0]?.since, 1_000);
});

const otherValues: readonly (readonly [string, Partial<Mapping>])[] = [
  ['pool', { pool: 'games' }],
  ['host port', { hostPort: 20_001 }],
  ['size', { size: 2 }],
  ['host address', { hostIP: '192.0.2.7' }],
  ['container port', { containerPort: 8081 }],
  ['pod address', { podIPs: ['10.0.0.6'] }],
  ['further pod address', { podIPs: ['10.0.0.5', 'fd00::5'] }],
  ['empty allow list', { allowFrom: [] }],
  ['allow list', { allowFrom: [{ family: 4, text: '192.0.2.0/24' }] }],
];
for (const [title, fields] of otherValues) {
  test(`another ${title} is a change and is live from then on`, (t) => {
    const registry = new MappingRegistry();
    registry.set('n1', mapping(), 1_000);
    registry.set('n1', mapping(fields), 2_000);
    t.deepEqual(registry.all({}), [{ node: 'n1', mapping: mapping(fields), since: 2_000 }]);
    t.is(registry.revision, 2);
  });
}

test('deleting removes exactly one mapping, and what is not there is no error and no change', (t) => {
  const registry = new MappingRegistry();
  const successor = { ...pod, uid: 'u2' };
  registry.set('n1', mapping(), 0);
  registry.set('n1', mapping({ protocol: 'UDP' }), 0);
  registry.set('n1', mapping({ pod: successor }), 0);
  registry.set('n2', mapping(), 0);
  registry.delete('n1', pod, 'web', 'TCP');
  registry.delete('n1', pod, 'web', 'TCP');
  registry.delete('n1', pod, 'other', 'UDP');
  t.is(registry.revision, 5);
  t.deepEqual(
    registry.all({}).map((live) => [live.node, live.mapping.pod.uid, live.mapping.protocol]),
    [
      ['n1', 'u2', 'TCP'],
      ['n2', 'u1', 'TCP'],
      ['n1', 'u1', 'UDP'],
    ],
  );
});

test('mappings are ordered by namespace, pod, port name, protocol, node and uid, a shorter name first', (t) => {
  const registry = new MappingRegistry();
  for (const name of ['cart-0', 'cart', 'cart-10', 'a']) registry.set('n1', mapping({ pod: { ...pod, name } }), 0);
  registry.set('n1', mapping({ pod: { namespace: 'a', name: 'z', uid: 'u' } }), 0);
  t.deepEqual(names(registry.all({})), ['z/web', 'a/web', 'cart/web', 'cart-0/web', 'cart-10/web']);
});

test('a filter by pod is exact: names that begin with it do not match', (t) => {
  const registry = new MappingRegistry();
  for (const name of ['cart', 'cart-0', 'car']) registry.set('n1', mapping({ pod: { ...pod, name } }), 0);
  t.deepEqual(names(registry.all({ namespace: 'shop', pod: 'cart' })), ['cart/web']);
  t.deepEqual(names(registry.all({ pod: 'cart' })), ['cart/web']);
  t.deepEqual(registry.all({ namespace: 'sho' }), []);
});

test('a filter by host port finds the block that the number is in', (t) => {
  const registry = new MappingRegistry();
  registry.set('n1', mapping({ name: 'rtp', hostPort: 40_000, size: 100 }), 0);
  for (const hostPort of [40_000, 40_050, 40_099]) t.is(registry.all({ hostPort }).length, 1);
  for (const hostPort of [39_999, 40_100]) t.is(registry.all({ hostPort }).length, 0);
});

test('pages are exact however the registry changes between them', (t) => {
  const registry = new MappingRegistry();
  for (const name of ['b', 'd', 'f', 'h']) registry.set('n1', mapping({ pod: { ...pod, name } }), 0);
  const first = registry.page({}, '', 2);
  t.deepEqual(names(first.items), ['b/web', 'd/web']);
  registry.delete('n1', { ...pod, name: 'd' }, 'web', 'TCP');
  for (const name of ['a', 'e']) registry.set('n1', mapping({ pod: { ...pod, name } }), 0);
  const second = registry.page({}, first.next ?? '', 2);
  t.deepEqual(names(second.items), ['e/web', 'f/web']);
  const third = registry.page({}, second.next ?? '', 2);
  t.deepEqual(names(third.items), ['h/web']);
  t.is(third.next, undefined);
});

test('a full last page says that nothing follows', (t) => {
  const registry = new MappingRegistry();
  for (const name of ['a', 'b']) registry.set('n1', mapping({ pod: { ...pod, name } }), 0);
  t.is(registry.page({}, '', 2).next, undefined);
});

test('a page ends early when the next mapping has no room, but is never empty', (t) => {
  const registry = new MappingRegistry();
  for (const name of ['a', 'b', 'c']) registry.set('n1', mapping({ pod: { ...pod, name } }), 0);
  const page = registry.page({}, '', 10, () => false);
  t.deepEqual(names(page.items), ['a/web']);
  t.is(page.next, keyOf('n1', { ...pod, name: 'a' }, 'web', 'TCP'));
});

test('what few match is looked for in pages, of which none looks at everything: nobody else is answered meanwhile', (t) => {
  const registry = new MappingRegistry();
  const name = (index: number) => ({ ...pod, name: `p-${String(index).padStart(5, '0')}` });
  for (let index = 0; index < 25_000; index += 1) registry.set('n1', mapping({ pod: name(index) }), 1);
  registry.set('n1', mapping({ pod: name(25_000), pool: 'games' }), 1);
  const found: LiveMapping[] = [];
  let pages = 0;
  for (let after: string | undefined = ''; after !== undefined; pages += 1) {
    const page = registry.page({ pool: 'games' }, after, 1_000);
    found.push(...page.items);
    after = page.next;
  }
  t.deepEqual(names(found), ['p-25000/web']);
  t.is(pages, 3);
});

test('what changed since a revision is told with the values before and after', (t) => {
  const registry = new MappingRegistry();
  registry.set('n1', mapping(), 1);
  const { revision } = registry;
  registry.set('n1', mapping({ hostPort: 20_001 }), 2);
  registry.delete('n1', pod, 'web', 'TCP');
  t.deepEqual(
    registry.changesSince(revision)?.map(({ before, after }) => [before?.mapping.hostPort, after?.mapping.hostPort]),
    [
      [20_000, 20_001],
      [20_001, undefined],
    ],
  );
  t.deepEqual(registry.changesSince(registry.revision), []);
});

test('I10: the history is bounded, and what fell out of it is said to be unknown', (t) => {
  const registry = new MappingRegistry(3);
  for (let port = 1; port <= 7; port += 1) registry.set('n1', mapping({ hostPort: port }), port);
  t.deepEqual(
    registry.changesSince(4)?.map((change) => change.after?.mapping.hostPort),
    [5, 6, 7],
  );
  t.is(registry.changesSince(3), undefined);
});

for (const revision of [-1, 2, 1.5, Number.NaN, 2 ** 53]) {
  test(`V23: a revision that never was (${revision}) is unknown, not a crash`, (t) => {
    const registry = new MappingRegistry();
    registry.set('n1', mapping(), 0);
    t.is(registry.changesSince(revision), undefined);
  });
}

test('a subscriber is called for every change, after it is in place, until it unsubscribes', (t) => {
  const registry = new MappingRegistry();
  const revisions: number[] = [];
  const unsubscribe = registry.subscribe(() => revisions.push(registry.revision));
  registry.set('n1', mapping(), 0);
  registry.set('n1', mapping(), 0);
  registry.delete('n1', pod, 'web', 'TCP');
  unsubscribe();
  registry.set('n1', mapping(), 0);
  t.deepEqual(revisions, [1, 2]);
});

test('as the registry of a node it stamps what is set with the clock that it was given', (t) => {
  const registry = new MappingRegistry();
  const node: Registry = registryOfNode(registry, 'n1', () => 42);
  node.set(mapping());
  t.deepEqual(registry.all({ node: 'n1' }), [{ node: 'n1', mapping: mapping(), since: 42 }]);
  node.delete(pod, 'web', 'TCP');
  t.deepEqual(registry.all({}), []);
});

const anyChange = fc.record({
  name: fc.constantFrom('a', 'a-', 'a.b', 'ab', 'b'),
  uid: fc.constantFrom('1', '2'),
  hostPort: fc.integer({ min: 1, max: 4 }),
  gone: fc.boolean(),
});

test('replaying the changes since any known revision onto the state of then gives the present state', (t) => {
  fc.assert(
    fc.property(
      fc.array(anyChange, { maxLength: 40 }),
      fc.nat(40),
      fc.integer({ min: 1, max: 50 }),
      (steps, at, limit) => {
        const registry = new MappingRegistry(limit);
        let state = new Map<string, LiveMapping>();
        let revision = 0;
        const snapshot = () => {
          revision = registry.revision;
          state = new Map(registry.all({}).map((live) => [keyOf(live.node, live.mapping.pod, 'web', 'TCP'), live]));
        };
        for (const [index, { name, uid, hostPort, gone }] of steps.entries()) {
          if (index === at) snapshot();
          const one = { ...pod, name, uid };
          if (gone) registry.delete('n1', one, 'web', 'TCP');
          else registry.set('n1', mapping({ pod: one, hostPort }), index);
        }
        const changes = registry.changesSince(revision);
        if (changes === undefined) return registry.revision - revision > limit;
        for (const change of changes) {
          const { after } = change;
          const key = keyOfChange(change);
          if (after === undefined) state.delete(key);
          else state.set(key, after);
        }
        const keys = [...state.keys()].sort();
        t.deepEqual(
          registry.all({}),
          keys.map((key) => state.get(key) as LiveMapping),
        );
        return true;
      },
    ),
    { numRuns: 300 },
  );
});

test('any walk by pages sees exactly what one answer would, whatever the size of a page', (t) => {
  fc.assert(
    fc.property(fc.array(anyChange, { maxLength: 30 }), fc.integer({ min: 1, max: 5 }), (steps, size) => {
      const registry = new MappingRegistry();
      for (const { name, uid, hostPort } of steps) {
        registry.set('n1', mapping({ pod: { ...pod, name, uid }, hostPort }), 0);
      }
      const seen: LiveMapping[] = [];
      let after: string | undefined = '';
      while (after !== undefined) {
        const page = registry.page({ hostPort: 2 }, after, size);
        seen.push(...page.items);
        after = page.next;
      }
      t.deepEqual(seen, registry.all({ hostPort: 2 }));
    }),
    { numRuns: 200 },
  );
});
