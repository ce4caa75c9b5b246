import test from 'ava';
import fc from 'fast-check';
import { diff } from '../../rules/change.ts';
import { type Element, elementId } from '../../rules/element.ts';
import { byId, line } from './mappings.ts';

const element = (key: string, value: string, comment = 'a/web'): Element => ({ set: 'any4', key, value, comment });
const web = element('tcp . 20000', '10.244.0.5 . 8080');

test('what is missing is added, what is too much is removed, what is right is left alone', (t) => {
  const dns = element('udp . 53', '10.244.0.6 . 53');
  const old = element('tcp . 20001', '10.244.0.7 . 80');
  t.deepEqual(diff(byId([web, dns]), byId([web, old])), { remove: [old], add: [dns] });
});

for (const [title, other] of [
  ['value', element('tcp . 20000', '10.244.0.9 . 8080')],
  ['comment', element('tcp . 20000', '10.244.0.5 . 8080', 'b/web')],
] as const) {
  test(`another ${title} under the same key is a removal and an addition`, (t) => {
    t.deepEqual(diff(byId([web]), byId([other])), { remove: [other], add: [web] });
  });
}

test('equal elements are equal whether or not they are the same object', (t) => {
  t.deepEqual(diff(byId([{ ...web }]), byId([web])), { remove: [], add: [] });
});

test('applied to what is installed, the difference gives what is desired', (t) => {
  const elements = fc.uniqueArray(
    fc.record({
      set: fc.constantFrom('any4', 'limited', 'udpany'),
      key: fc.constantFrom('1', '2', '3', '4'),
      value: fc.constantFrom('', 'x', 'y'),
      comment: fc.constantFrom('', 'a/b', 'a/c'),
    }),
    { selector: elementId },
  );
  fc.assert(
    fc.property(elements, elements, (desired, installed) => {
      const { remove, add } = diff(byId(desired), byId(installed));
      const result = byId(installed);
      for (const one of remove) t.true(result.delete(elementId(one)));
      for (const one of add) {
        t.false(result.has(elementId(one)));
        result.set(elementId(one), one);
      }
      t.deepEqual([...result.values()].map(line).sort(), desired.map(line).sort());
    }),
  );
});
