import test from 'ava';
import fc from 'fast-check';
import { adopt, mappingOfElement } from '../../rules/adoption.ts';
import { type Element, SETS } from '../../rules/element.ts';
import { elementsOf } from '../../rules/elements.ts';
import { anyMapping, mapping, UID } from './mappings.ts';

test('what a mapping became is found again in the elements: who, which port, which pod', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(anyMapping, { maxLength: 5, selector: ({ pod }) => pod.uid }), (mappings) => {
      const apart = mappings.map((one, index) => {
        const hostPort = 1000 + 300 * index;
        return { ...one, hostPort, containerPort: one.size > 1 ? hostPort : one.containerPort };
      });
      const expected = apart
        .map(({ pod, name, protocol, hostPort, size, hostIP, containerPort, podIPs }) => ({
          uid: pod.uid,
          name,
          protocol,
          hostPort,
          size,
          ...(hostIP === undefined ? {} : { hostIP }),
          containerPort,
          podIPs: [...podIPs]
            .filter((ip) => hostIP === undefined || ip.includes(':') === hostIP.includes(':'))
            .sort((one, other) => Number(one.includes(':')) - Number(other.includes(':'))),
        }))
        .filter(({ podIPs }) => podIPs.length > 0);
      t.deepEqual(adopt(apart.flatMap(elementsOf)), expected);
    }),
  );
});

test('the two families of a dual-stack pod are one entry', (t) => {
  t.deepEqual(adopt(elementsOf(mapping({ podIPs: ['fd00:244::5', '10.244.0.5'] }))), [
    {
      uid: UID,
      name: 'web',
      protocol: 'TCP',
      hostPort: 20_000,
      size: 1,
      containerPort: 8080,
      podIPs: ['10.244.0.5', 'fd00:244::5'],
    },
  ]);
});

const garbage: readonly (readonly [string, Partial<Element>])[] = [
  ['no comment', { comment: '' }],
  ['a comment of another program', { comment: 'added by hand' }],
  ['a comment with more than two parts', { comment: 'a/b/c' }],
  ['a comment with an escape sequence', { comment: 'a/b\u001b[2J' }],
  ['the catch-all key', { key: '*' }],
  ['a protocol that has no ports', { key: 'icmp . 20000' }],
  ['a protocol that Berth does not map', { key: '33 . 20000' }],
  ['port 0', { key: 'tcp . 0' }],
  ['a key of another form', { key: '10.0.0.1 . tcp . 20000' }],
  ['a value of another form', { value: '10.244.0.5' }],
];

for (const [title, fields] of garbage) {
  test(`V10: an element with ${title} is nobody's`, (t) => {
    const element: Element = {
      set: 'any4',
      key: 'tcp . 20000',
      value: '10.244.0.5 . 8080',
      comment: `${UID}/web`,
      ...fields,
    };
    t.is(mappingOfElement(element), undefined);
    t.deepEqual(adopt([element]), []);
  });
}

test('adoption never throws, whatever stands in the table', (t) => {
  const element = fc.record({
    set: fc.constantFrom(...SETS),
    key: fc.oneof(fc.string(), fc.constantFrom('tcp . 1', 'tcp . 5-1', 'udp . 1-65535', '*', '1.1.1.1 . tcp . 1-2')),
    value: fc.oneof(fc.string(), fc.constantFrom('10.0.0.1 . 1', '::1', '', ' . ')),
    comment: fc.oneof(fc.string(), fc.constantFrom('a/b', '?', '/')),
  });
  fc.assert(fc.property(fc.array(element), (elements) => adopt(elements).length <= elements.length));
  t.pass();
});
