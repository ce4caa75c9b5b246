import { BlockList, isIPv4, isIPv6 } from 'node:net';
import test from 'ava';
import fc from 'fast-check';
import {
  type AddressScope,
  addressOf,
  classifyAddress,
  containsAddress,
  mergeCidrs,
  parseAddress,
  parseCidr,
  splitCidr,
} from '../../daemon/core/address.ts';
import { addressBytes, addressText } from '../../daemon/core/iptext.ts';
import type { Cidr } from '../../daemon/core/vocabulary.ts';

const CANONICAL: readonly (readonly [written: string, canonical: string])[] = [
  ['192.0.2.7', '192.0.2.7'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['0:0:0:0:0:0:0:0', '::'],
  ['2001:0DB8:0:0:0:0:0:0001', '2001:db8::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['0:0:3::', '0:0:3::'],
  ['fe80::', 'fe80::'],
  ['::ffff:192.0.2.7', '::ffff:192.0.2.7'],
  ['::FFFF:c000:207', '::ffff:192.0.2.7'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
  ['::1.2.3.4', '::102:304'],
];

for (const [written, canonical] of CANONICAL) {
  test(`${written} is the address ${canonical}`, (t) => {
    t.is(parseAddress(written)?.text, canonical);
  });
}

const NO_ADDRESS = [
  '',
  ' ',
  'localhost',
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '1.2.3.04',
  '1.2.3.256',
  '1.2.3.-4',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '1.2.3.4\n',
  '0x1.2.3.4',
  '1.2.3.4e0',
  '3232235521',
  '１.2.3.4',
  ':',
  ':::',
  '1',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '1:2:3:4::5:6:7:8',
  ':1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:',
  '12345::',
  'g::',
  'fe80::1%eth0',
  '[::1]',
  '1.2.3.4::',
  '::1.2.3.4:5',
  '::1.2.3.04',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::ffff:1.2.3',
  `::${'0'.repeat(100)}1`,
];

for (const text of NO_ADDRESS) {
  test(`${JSON.stringify(text).slice(0, 40)} is no address`, (t) => {
    t.is(parseAddress(text), undefined);
    t.is(parseCidr(text).kind, 'invalid');
  });
}

test('an IPv6 address is written as a browser writes it, whatever its bytes', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), sparse(), (bytes, mask) => {
      const address = bytes.map((byte, index) => (mask[index] ? byte : 0));
      const text = addressText(address) ?? '';
      t.deepEqual(addressBytes(text), address);
      // The URL standard writes v4-mapped addresses in hexadecimal, RFC 5952 section 5 in mixed notation.
      if (!text.includes('.')) t.is(new URL(`http://[${text}]`).hostname, `[${text}]`);
    }),
  );
});

test('what is an address is decided as the kernel decides it', (t) => {
  const near = fc.stringMatching(/^[0-9a-fA-F:.]{0,40}$/);
  const made = fc.oneof(fc.ipV4(), fc.ipV6(), near);
  fc.assert(
    fc.property(made, (text) => {
      t.is(parseAddress(text) !== undefined, isIPv4(text) || isIPv6(text), text);
    }),
    { numRuns: 2000 },
  );
});

test('bytes that are neither 4 nor 16 are no address', (t) => {
  t.is(addressOf(new Uint8Array(0)), undefined);
  t.is(addressOf(new Uint8Array(5)), undefined);
  t.is(addressText(new Uint8Array(17)), undefined);
  t.is(addressOf(Uint8Array.of(192, 0, 2, 7))?.text, '192.0.2.7');
});

const SCOPES: readonly (readonly [address: string, scope: AddressScope])[] = [
  ['192.0.2.7', 'ordinary'],
  ['10.0.0.1', 'ordinary'],
  ['2001:db8::1', 'ordinary'],
  ['fd00::1', 'ordinary'],
  ['::2', 'ordinary'],
  ['0.0.0.0', 'unspecified'],
  ['::', 'unspecified'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['::1', 'loopback'],
  ['169.254.0.1', 'link-local'],
  ['169.254.169.253', 'link-local'],
  ['fe80::1', 'link-local'],
  ['febf::1', 'link-local'],
  ['fec0::1', 'ordinary'],
  ['224.0.0.1', 'multicast'],
  ['239.255.255.255', 'multicast'],
  ['ff02::1', 'multicast'],
  ['255.255.255.255', 'broadcast'],
  ['::ffff:10.0.0.1', 'v4-mapped'],
  ['::ffff:0:0', 'v4-mapped'],
  ['::fffe:10.0.0.1', 'ordinary'],
  ['0:1::ffff:10.0.0.1', 'ordinary'],
  ['169.254.169.254', 'metadata'],
  ['fd00:ec2::254', 'metadata'],
];

for (const [text, scope] of SCOPES) {
  test(`${text} is ${scope}`, (t) => {
    const address = parseAddress(text);
    t.is(address && classifyAddress(address), scope);
  });
}

const RANGES: readonly (readonly [written: string, canonical: string])[] = [
  ['203.0.113.0/24', '203.0.113.0/24'],
  ['203.0.113.7', '203.0.113.7/32'],
  ['203.0.113.7/32', '203.0.113.7/32'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['10.0.0.0/7', '10.0.0.0/7'],
  ['2001:DB8::/32', '2001:db8::/32'],
  ['2001:db8::1', '2001:db8::1/128'],
  ['::/0', '::/0'],
  ['8000::/1', '8000::/1'],
];

for (const [written, canonical] of RANGES) {
  test(`${written} is the range ${canonical}`, (t) => {
    const result = parseCidr(written);
    t.deepEqual(result, { kind: 'ok', cidr: { family: canonical.includes(':') ? 6 : 4, text: canonical } });
  });
}

for (const text of [
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/08',
  '10.0.0.0/-1',
  '10.0.0.0/8/8',
  '/8',
  '::/129',
  '::/1e1',
]) {
  test(`${text} is no range`, (t) => {
    t.is(parseCidr(text).kind, 'invalid');
  });
}

for (const [text, network] of [
  ['203.0.113.7/24', '203.0.113.0/24'],
  ['128.0.0.0/0', '0.0.0.0/0'],
  ['2001:db8::1/32', '2001:db8::/32'],
] as const) {
  test(`the bits behind the prefix of ${text} are not dropped silently`, (t) => {
    const result = parseCidr(text);
    t.is(result.kind === 'host-bits' ? result.range.text : undefined, network);
  });
}

const MERGED: readonly (readonly [title: string, ranges: readonly string[], merged: readonly string[]])[] = [
  ['nothing', [], []],
  ['a repetition', ['10.0.0.0/8', '10.0.0.0/8'], ['10.0.0.0/8']],
  ['a range inside another', ['10.1.0.0/16', '10.0.0.0/8', '10.0.0.1'], ['10.0.0.0/8']],
  ['two halves', ['10.0.0.128/25', '10.0.0.0/25'], ['10.0.0.0/24']],
  ['neighbours that are no halves of one range', ['10.0.1.0/24', '10.0.2.0/24'], ['10.0.1.0/24', '10.0.2.0/24']],
  ['a chain of halves', ['10.0.0.0/25', '10.0.0.128/26', '10.0.0.192/26', '10.0.1.0/24'], ['10.0.0.0/23']],
  ['everything', ['0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1'], ['0.0.0.0/0', '::/0']],
  ['both families', ['2001:db8::/32', '10.0.0.0/8'], ['10.0.0.0/8', '2001:db8::/32']],
  ['the last addresses', ['255.255.255.255', '255.255.255.254'], ['255.255.255.254/31']],
];

for (const [title, ranges, merged] of MERGED) {
  test(`merging ${title} gives ${merged.join(', ') || 'nothing'}`, (t) => {
    t.deepEqual(
      mergeCidrs(ranges.map(cidr)).map((one) => one.text),
      merged,
    );
  });
}

test('merged ranges hold the same addresses as before, in order, without overlap, and are as few as can be', (t) => {
  const small = fc.record({ address: fc.nat(255), length: fc.integer({ min: 24, max: 32 }) });
  const range = small.map(({ address, length }) => cidr(`10.0.0.${address & (0xff00 >> (length - 24))}/${length}`));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
      const merged = mergeCidrs(ranges);
      for (let last = 0; last <= 255; last++) {
        const holders = merged.filter((one) => containsAddress(one, `10.0.0.${last}`)).length;
        t.is(holders, ranges.some((one) => containsAddress(one, `10.0.0.${last}`)) ? 1 : 0);
      }
      t.deepEqual(mergeCidrs(merged.toReversed()), merged);
      t.deepEqual(mergeCidrs([...merged, ...merged]), merged);
    }),
  );
});

test('a range holds the addresses that node:net holds to be in it', (t) => {
  const v4 = fc.tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 32 }), fc.nat(32));
  const v6 = fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 128 }), fc.nat(128));
  fc.assert(
    fc.property(fc.oneof(v4, v6), ([bytes, length, flipped]) => {
      const address = addressText(bytes) ?? '';
      const range = networkOf(`${address}/${length}`);
      const other = addressText(
        bytes.map((byte, index) => byte ^ (index === flipped >> 3 ? 0x80 >> (flipped & 7) : 0)),
      );
      // node:net takes ::ffff:a.b.c.d for a.b.c.d; no such address comes out of random bytes but for ranges of zeros.
      const oracle = new BlockList();
      oracle.addSubnet(splitCidr(range).network.text, length, range.family === 4 ? 'ipv4' : 'ipv6');
      t.true(containsAddress(range, address));
      t.is(containsAddress(range, other ?? ''), oracle.check(other ?? '', range.family === 4 ? 'ipv4' : 'ipv6'));
    }),
  );
});

test('a range holds no address of the other family, not even a v4-mapped one', (t) => {
  t.false(containsAddress(cidr('0.0.0.0/0'), '::ffff:10.0.0.1'));
  t.false(containsAddress(cidr('::/0'), '10.0.0.1'));
  t.false(containsAddress(cidr('0.0.0.0/0'), 'nonsense'));
});

test('a range that is not canonical is a mistake of the program', (t) => {
  t.throws(() => splitCidr({ family: 4, text: '10.0.0/8' }), { instanceOf: RangeError });
});

function cidr(text: string): Cidr {
  const result = parseCidr(text);
  if (result.kind !== 'ok') throw new Error(`${text}: ${result.kind}`);
  return result.cidr;
}

function networkOf(text: string): Cidr {
  const result = parseCidr(text);
  if (result.kind === 'invalid') throw new Error(text);
  return result.kind === 'ok' ? result.cidr : result.range;
}

/** Which bytes are kept: long runs of zeros are what `::` is about. */
function sparse(): fc.Arbitrary<boolean[]> {
  return fc.array(fc.boolean(), { minLength: 16, maxLength: 16 });
}
