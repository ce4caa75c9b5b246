import test from 'ava';
import type { PodRequest } from '../../daemon/core/vocabulary.ts';
import { messageOf, okOf } from './pods.ts';

const PORTS = 'berth.dev/ports';

const HOST_IPS: readonly (readonly [value: string, selector: PodRequest['hostIP']])[] = [
  ['192.0.2.7', { kind: 'address', family: 4, address: '192.0.2.7' }],
  [' 192.0.2.7/32\n', { kind: 'address', family: 4, address: '192.0.2.7' }],
  ['192.0.2.0/24', { kind: 'cidr', cidr: { family: 4, text: '192.0.2.0/24' } }],
  ['2001:db8::/64', { kind: 'cidr', cidr: { family: 6, text: '2001:db8::/64' } }],
];

for (const [value, selector] of HOST_IPS) {
  test(`host-ip: ${JSON.stringify(value)} is understood`, (t) => {
    t.deepEqual(okOf({ [PORTS]: '', 'berth.dev/host-ip': value }).hostIP, selector);
  });
}

const ADDRESS_RULE = 'write IPv4 without leading zeros, or IPv6 without a zone; behind / the length of the prefix';
const HOST_RULE = "write an address of the node's own or its range";
const NAME_RULE = 'write 1 to 63 of a-z, 0-9 and -, with - only inside';

const OTHERS_REFUSED: readonly (readonly [key: string, value: string, message: string])[] = [
  ['pool', '', `, column 1: "" is not the name of a pool; ${NAME_RULE}`],
  ['pool', '  Games', `, column 3: "Games" is not the name of a pool; ${NAME_RULE}`],
  ['pool', '-a', `, column 1: "-a" is not the name of a pool; ${NAME_RULE}`],
  ['pool', 'a.b', `, column 1: "a.b" is not the name of a pool; ${NAME_RULE}`],
  ['pool', '__proto__', `, column 1: "__proto__" is not the name of a pool; ${NAME_RULE}`],
  ['pool', 'a'.repeat(64), `, column 1: "${'a'.repeat(64)}" is not the name of a pool; ${NAME_RULE}`],
  ['pool', 'a'.repeat(5000), `: "${'a'.repeat(63)}…" is longer than 4096 bytes; shorten it, no more than that is read`],
  ['host-ip', '', `, column 1: "" is neither an address nor a range; ${ADDRESS_RULE}`],
  ['host-ip', 'node-1', `, column 1: "node-1" is neither an address nor a range; ${ADDRESS_RULE}`],
  ['host-ip', '010.0.0.1', `, column 1: "010.0.0.1" is neither an address nor a range; ${ADDRESS_RULE}`],
  ['host-ip', 'fe80::1%eth0', `, column 1: "fe80::1%eth0" is neither an address nor a range; ${ADDRESS_RULE}`],
  [
    'host-ip',
    '10.0.0.1, 10.0.0.2',
    `, column 1: "10.0.0.1, 10.0.0.2" is neither an address nor a range; ${ADDRESS_RULE}`,
  ],
  [
    'host-ip',
    '192.0.2.7/24',
    ', column 1: "192.0.2.7/24" has bits behind its prefix; write 192.0.2.0/24 for the range or 192.0.2.7 for the address',
  ],
  ['host-ip', '0.0.0.0', `, column 1: "0.0.0.0" begins with the unspecified address 0.0.0.0; ${HOST_RULE}`],
  ['host-ip', '0.0.0.0/0', `, column 1: "0.0.0.0/0" begins with the unspecified address 0.0.0.0; ${HOST_RULE}`],
  ['host-ip', '::', `, column 1: "::" begins with the unspecified address ::; ${HOST_RULE}`],
  ['host-ip', '127.0.0.0/8', `, column 1: "127.0.0.0/8" begins with the loopback address 127.0.0.0; ${HOST_RULE}`],
  ['host-ip', '::1', `, column 1: "::1" begins with the loopback address ::1; ${HOST_RULE}`],
  ['host-ip', 'fe80::/10', `, column 1: "fe80::/10" begins with the link-local address fe80::; ${HOST_RULE}`],
  [
    'host-ip',
    '169.254.0.0/16',
    `, column 1: "169.254.0.0/16" begins with the link-local address 169.254.0.0; ${HOST_RULE}`,
  ],
  [
    'host-ip',
    '169.254.169.254',
    `, column 1: "169.254.169.254" begins with the metadata address 169.254.169.254; ${HOST_RULE}`,
  ],
  [
    'host-ip',
    'fd00:ec2::254',
    `, column 1: "fd00:ec2::254" begins with the metadata address fd00:ec2::254; ${HOST_RULE}`,
  ],
  ['host-ip', '224.0.0.1', `, column 1: "224.0.0.1" begins with the multicast address 224.0.0.1; ${HOST_RULE}`],
  ['host-ip', 'ff02::1', `, column 1: "ff02::1" begins with the multicast address ff02::1; ${HOST_RULE}`],
  [
    'host-ip',
    '255.255.255.255',
    `, column 1: "255.255.255.255" begins with the broadcast address 255.255.255.255; ${HOST_RULE}`,
  ],
  [
    'host-ip',
    '::ffff:192.0.2.7',
    `, column 1: "::ffff:192.0.2.7" begins with the v4-mapped address ::ffff:192.0.2.7; ${HOST_RULE}`,
  ],
  [
    'host-ip',
    '::ffff:0:0/96',
    `, column 1: "::ffff:0:0/96" begins with the v4-mapped address ::ffff:0.0.0.0; ${HOST_RULE}`,
  ],
  [
    'allow-from',
    ' ',
    ', column 1: "" allows nobody; write ranges, such as 203.0.113.0/24, or remove the annotation to allow every source',
  ],
  ['allow-from', '10.0.0.0/8,', ', item 2, column 12: "" is an empty item; remove one comma or write an item'],
  [
    'allow-from',
    '10.0.0.0/8 10.0.0.1',
    ', item 1, column 1: "10.0.0.0/8 10.0.0.1" has a blank inside; separate items by commas and write no blank inside one',
  ],
  [
    'allow-from',
    '10.0.0.0/8, 203.0.113.7/24',
    ', item 2, column 13: "203.0.113.7/24" has bits behind its prefix; write 203.0.113.0/24 for the range or 203.0.113.7 for the address',
  ],
  ['allow-from', 'example.org', `, item 1, column 1: "example.org" is neither an address nor a range; ${ADDRESS_RULE}`],
  [
    'allow-from',
    '::/0, ::ffff:10.0.0.0/104',
    ', item 2, column 7: "::ffff:10.0.0.0/104" is an IPv4 range in IPv6 form, which no packet carries; write 10.0.0.0/8',
  ],
  [
    'allow-from',
    '::ffff:10.0.0.1',
    ', item 1, column 1: "::ffff:10.0.0.1" is an IPv4 range in IPv6 form, which no packet carries; write 10.0.0.1/32',
  ],
];

for (const [key, value, message] of OTHERS_REFUSED) {
  test(`${key} refused: ${JSON.stringify(value).slice(0, 80)}`, (t) => {
    const refused = messageOf({ [PORTS]: '', [`berth.dev/${key}`]: value });
    t.is(refused, `pod games/server-0: annotation berth.dev/${key}${message}`);
  });
}

test('allow-from: 64 ranges are allowed, counted when merged', (t) => {
  const separate = Array.from({ length: 64 }, (_, index) => `10.${2 * index}.0.0/16`);
  t.is(okOf({ [PORTS]: '', 'berth.dev/allow-from': separate.join(',') }).allowFrom?.length, 64);
  const neighbours = Array.from({ length: 256 }, (_, index) => `10.0.0.${index}`);
  t.deepEqual(okOf({ [PORTS]: '', 'berth.dev/allow-from': neighbours.join(',') }).allowFrom, [
    { family: 4, text: '10.0.0.0/24' },
  ]);
  const more = ['192.0.2.1', ...separate];
  const message = messageOf({ [PORTS]: '', 'berth.dev/allow-from': more.join(',') });
  t.is(
    message,
    'pod games/server-0: annotation berth.dev/allow-from, column 1: "192.0.2.1,10.0.0.0/16,10.2.0.0/16,10.4.0.0/16,10.6.0.0/16,10.8.…" are 65 separate ranges; write at most 64, by joining some to a larger range',
  );
});
