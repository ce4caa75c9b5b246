import test from 'ava';
import fc from 'fast-check';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { elementId } from '../../rules/element.ts';
import { elementsOf, nodeElements, sameDeviceElements } from '../../rules/elements.ts';
import { elementParts } from '../../rules/layout.ts';
import { anyMapping, cidrs, line, mapping, UID } from './mappings.ts';

const OWNER = `${UID}/web`;

const cases: readonly (readonly [string, Partial<Mapping>, readonly string[]])[] = [
  [
    'a TCP port of a dual-stack pod',
    {},
    [
      'any4 tcp . 20000 : 10.244.0.5 . 8080',
      'hairpin4 tcp . 20000 . 10.244.0.5 . 10.244.0.5',
      'any6 tcp . 20000 : fd00:244::5 . 8080',
      'hairpin6 tcp . 20000 . fd00:244::5 . fd00:244::5',
    ],
  ],
  [
    'an SCTP port, which is like a TCP port',
    { protocol: 'SCTP', podIPs: ['10.244.0.5'] },
    ['any4 sctp . 20000 : 10.244.0.5 . 8080', 'hairpin4 sctp . 20000 . 10.244.0.5 . 10.244.0.5'],
  ],
  [
    'a UDP port, which is answered in place of its held socket',
    { protocol: 'UDP', podIPs: ['10.244.0.5'] },
    ['any4 udp . 20000 : 10.244.0.5 . 8080', 'hairpin4 udp . 20000 . 10.244.0.5 . 10.244.0.5', 'udpany 20000'],
  ],
  [
    'a port at one address, with the pod address of that family only',
    { protocol: 'UDP', hostIP: '2001:db8::1' },
    [
      'host6 2001:db8::1 . udp . 20000 : fd00:244::5 . 8080',
      'hairpin6 udp . 20000 . fd00:244::5 . fd00:244::5',
      'udphost6 2001:db8::1 . 20000',
    ],
  ],
  [
    'a block: one range, and one element a number where ranges would be slow',
    { protocol: 'UDP', hostPort: 40_000, containerPort: 40_000, size: 2, podIPs: ['10.244.0.5'] },
    [
      'anyblock4 udp . 40000-40001 : 10.244.0.5',
      'hairpin4 udp . 40000 . 10.244.0.5 . 10.244.0.5',
      'hairpin4 udp . 40001 . 10.244.0.5 . 10.244.0.5',
      'udpany 40000',
      'udpany 40001',
    ],
  ],
  [
    'an allow-list: the sources of each family that the pod has; a single address is written without its length',
    { podIPs: ['10.244.0.5'], allowFrom: cidrs('0.0.0.0/1', '203.0.113.7/32', '2001:db8::/32') },
    [
      'any4 tcp . 20000 : 10.244.0.5 . 8080',
      'hairpin4 tcp . 20000 . 10.244.0.5 . 10.244.0.5',
      'allow4 tcp . 20000 . 0.0.0.0/1',
      'allow4 tcp . 20000 . 203.0.113.7',
      'limited tcp . 20000',
    ],
  ],
  [
    'an allow-list without an entry for the family: nobody',
    { podIPs: ['10.244.0.5'], allowFrom: cidrs('2001:db8::/32') },
    ['any4 tcp . 20000 : 10.244.0.5 . 8080', 'hairpin4 tcp . 20000 . 10.244.0.5 . 10.244.0.5', 'limited tcp . 20000'],
  ],
  [
    'an allow-list at one address, which limits nothing at the others',
    { hostIP: '192.0.2.1', allowFrom: cidrs('203.0.113.0/24') },
    [
      'host4 192.0.2.1 . tcp . 20000 : 10.244.0.5 . 8080',
      'hairpin4 tcp . 20000 . 10.244.0.5 . 10.244.0.5',
      'allowhost4 192.0.2.1 . tcp . 20000 . 203.0.113.0/24',
      'limitedhost4 192.0.2.1 . tcp . 20000',
    ],
  ],
  [
    'an allow-list of a block at one address',
    {
      hostIP: '192.0.2.1',
      hostPort: 40_000,
      containerPort: 40_000,
      size: 2,
      allowFrom: cidrs('203.0.113.0/24'),
    },
    [
      'hostblock4 192.0.2.1 . tcp . 40000-40001 : 10.244.0.5',
      'hairpin4 tcp . 40000 . 10.244.0.5 . 10.244.0.5',
      'hairpin4 tcp . 40001 . 10.244.0.5 . 10.244.0.5',
      'allowhost4 192.0.2.1 . tcp . 40000-40001 . 203.0.113.0/24',
      'limitedhost4 192.0.2.1 . tcp . 40000',
      'limitedhost4 192.0.2.1 . tcp . 40001',
    ],
  ],
  ['a pod without an address: nothing', { podIPs: [] }, []],
  ['a pod without an address of the family that is meant: nothing', { hostIP: '192.0.2.1', podIPs: ['fd00::5'] }, []],
];

for (const [title, fields, expected] of cases) {
  test(`the elements of ${title}`, (t) => {
    t.deepEqual(
      elementsOf(mapping(fields)).map(line),
      expected.map((text) => `${text} # ${OWNER}`),
    );
  });
}

const unwritable: readonly (readonly [string, Partial<Mapping>])[] = [
  ['a port name that breaks out of a string', { name: 'web"; flush ruleset; #' }],
  ['a port name with a slash', { name: 'a/b' }],
  ['an empty port name', { name: '' }],
  ['a uid with a line break', { pod: { namespace: 'shop', name: 'web-0', uid: 'a\nb' } }],
  ['an owner of more than 127 bytes', { name: 'x'.repeat(91) }],
  ['port 0', { hostPort: 0 }],
  ['port 65536', { hostPort: 65_536 }],
  ['a fraction of a port', { hostPort: 20_000.5 }],
  ['port 100000', { containerPort: 1e5 }],
  ['a block that ends above port 65535', { hostPort: 65_535, containerPort: 65_535, size: 2 }],
  ['a block that would change its numbers', { size: 2 }],
  ['a block of nothing', { size: 0 }],
  ['a pod address with leading zeros', { podIPs: ['010.244.0.5'] }],
  ['a pod address that is not canonical', { podIPs: ['fd00:244:0::5'] }],
  ['a pod address with a zone', { podIPs: ['fe80::5%eth0'] }],
  ['two pod addresses of one family', { podIPs: ['10.244.0.5', '10.244.0.6'] }],
  ['a host address that is a name', { hostIP: 'localhost' }],
];

for (const [title, fields] of unwritable) {
  test(`V21, V23: ${title} gives no element`, (t) => {
    t.deepEqual(elementsOf(mapping(fields)), []);
  });
}

test('I1: no two mappings share an element, and no mapping has one twice', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(anyMapping, { maxLength: 6, selector: ({ pod }) => pod.uid }), (mappings) => {
      // Numbers are given out once; here by distance.
      const apart = mappings.map((one, index) => {
        const hostPort = 1000 + 300 * index;
        return { ...one, hostPort, containerPort: one.size > 1 ? hostPort : one.containerPort };
      });
      const ids = apart.flatMap((one) => elementsOf(one).map(elementId));
      return new Set(ids).size === ids.length;
    }),
  );
  t.pass();
});

test('every element of every mapping has the form of its set', (t) => {
  fc.assert(
    fc.property(anyMapping, (one) => {
      for (const element of elementsOf(one)) elementParts(element);
    }),
  );
  t.pass();
});

test("the node's addresses, each once, without those that need no element and those that cannot work", (t) => {
  const addresses = ['192.0.2.1', '2001:db8::1', '192.0.2.1', '127.0.0.1', '::1', 'fe80::1', '169.254.1.1', 'nonsense'];
  const found = nodeElements(
    addresses.map((address) => ({ family: address.includes(':') ? 6 : 4, address, device: 'eth0' })),
  );
  t.deepEqual(found.map(line), ['nodeaddr4 192.0.2.1', 'nodeaddr6 2001:db8::1', 'nodeaddr4 169.254.1.1']);
});

test('bridges, each once; a name that nft could read as something else is left out', (t) => {
  const devices = ['cni0', 'br-a.1', 'cni0', 'eth*', 'a b', 'x"y', '', 'sixteen-letters-'];
  t.deepEqual(sameDeviceElements(devices).map(line), ['samedev cni0 . cni0', 'samedev br-a.1 . br-a.1']);
});
