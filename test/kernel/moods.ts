/** What a name server may say instead of the truth. Everything that is made up is made from a seed, so that it is the same each time. */
import { Dice } from './dice.ts';

/** How it answers; `addresses` is what is true, IPv4. */
export interface Mood {
  readonly mood: keyof typeof MOODS;
  readonly addresses: readonly string[];
}

interface Asked {
  readonly query: Buffer;
  readonly tcp: boolean;
  readonly addresses: readonly string[];
}

/** Of a message (RFC 1035 section 4.1.1). */
export const HEAD = 12;
const [A, CNAME, TXT, AAAA] = [1, 5, 16, 28];
const [SERVFAIL, NXDOMAIN, REFUSED] = [2, 3, 5];
const QUESTION_NAME = Buffer.from([0xc0, HEAD]);
const dice = new Dice(27);

/** Where the question ends; its name has no pointers. */
function endOfQuestion(query: Buffer): number {
  let at = HEAD;
  while (at < query.length && query[at] !== 0) at += 1 + (query[at] as number);
  return Math.min(query.length, at + 5);
}

function typeOf(query: Buffer): number {
  return query.readUInt16BE(endOfQuestion(query) - 4);
}

type Manner = (asked: Asked) => readonly Uint8Array[];

interface Said {
  readonly records?: readonly Buffer[];
  readonly code?: number;
  /** The answer says that there is more of it than fits. */
  readonly cut?: boolean;
  readonly count?: number;
}

function answer(query: Buffer, { records = [], code = 0, cut = false, count = records.length }: Said = {}): Buffer {
  const head = Buffer.from(query.subarray(0, HEAD));
  head.writeUInt16BE(0x8180 | (cut ? 0x0200 : 0) | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(count, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, query.subarray(HEAD, endOfQuestion(query)), ...records]);
}

interface Odd {
  readonly name?: Buffer;
  readonly ttl?: number;
  readonly length?: number;
}

function record(type: number, data: Buffer, odd: Odd = {}): Buffer {
  const { name = QUESTION_NAME, ttl = 5, length = data.length } = odd;
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(ttl, 4);
  fixed.writeUInt16BE(length, 8);
  return Buffer.concat([name, fixed, data]);
}

function nameOf(text: string): Buffer {
  const labels = text.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

function bytesOf(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** What is true; there are no addresses of IPv6. */
function truth({ query, addresses }: Asked): Buffer {
  const records = typeOf(query) === A ? addresses.map((address) => record(A, bytesOf(address))) : [];
  return answer(query, { records });
}

function these({ query }: Asked, addresses: readonly string[], ttl?: number): Buffer {
  const records = typeOf(query) === A ? addresses.map((address) => record(A, bytesOf(address), { ttl: ttl ?? 5 })) : [];
  return answer(query, { records });
}

const ODD = [
  '0.0.0.0',
  '255.255.255.255',
  '224.0.0.1',
  '169.254.169.254',
  '169.254.1.1',
  '240.0.0.1',
  '10.0.0.1',
  '172.16.0.1',
  '127.0.0.53',
  '192.0.2.255',
];
const ODD_6 = ['00'.repeat(16), `${'00'.repeat(15)}01`, `${'00'.repeat(10)}ffff7f000001`, `fe80${'00'.repeat(13)}01`];

function many(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `10.${99 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`);
}

/** A message of TCP has at most 65,535 bytes. */
const MOST = 4_000;

/** Each makes answers, any number of them. */
export const MOODS = {
  sane: (asked: Asked) => [truth(asked)],
  silent: () => [],
  nothing: ({ query }: Asked) => [answer(query)],
  nxdomain: ({ query }: Asked) => [answer(query, { code: NXDOMAIN })],
  servfail: ({ query }: Asked) => [answer(query, { code: SERVFAIL })],
  refused: ({ query }: Asked) => [answer(query, { code: REFUSED })],
  garbage: () => [dice.bytes(dice.below(600))],
  empty: () => [Buffer.alloc(0)],
  echo: ({ query }: Asked) => [query],
  wrongId: (asked: Asked) => {
    const said = truth(asked);
    said.writeUInt16BE((said.readUInt16BE(0) + 1) & 0xffff, 0);
    return [said];
  },
  wrongQuestion: (asked: Asked) => {
    const said = these(asked, many(3));
    said.write('x', HEAD + 1);
    return [said];
  },
  cutAnywhere: (asked: Asked) => {
    const said = truth(asked);
    return [said.subarray(0, dice.below(said.length))];
  },
  bytesChanged: (asked: Asked) => {
    const said = truth(asked);
    for (let count = dice.below(8); count >= 0; count--) {
      // The head leads to the answer: without it nothing of the rest is looked at.
      said[2 + dice.below(said.length - 2)] = dice.below(256);
    }
    return [said];
  },
  thousands: (asked: Asked) => [asked.tcp ? these(asked, many(MOST)) : answer(asked.query, { cut: true })],
  moreThanSaid: ({ query }: Asked) => [answer(query, { records: [record(A, bytesOf('10.99.0.1'))], count: 65_535 })],
  endlessTruncation: ({ query }: Asked) => [answer(query, { cut: true })],
  cnameToItself: ({ query }: Asked) => [answer(query, { records: [record(CNAME, QUESTION_NAME)] })],
  cnameLoop: ({ query }: Asked) => [
    answer(query, {
      records: [
        record(CNAME, nameOf('a.test')),
        record(CNAME, nameOf('b.test'), { name: nameOf('a.test') }),
        record(CNAME, nameOf('a.test'), { name: nameOf('b.test') }),
      ],
    }),
  ],
  cnameChain: ({ query }: Asked) => {
    const step = (index: number) => nameOf(`n${index}.test`);
    const chain = Array.from({ length: 200 }, (_, index) => record(CNAME, step(index + 1), { name: step(index) }));
    return [answer(query, { records: [record(CNAME, step(0)), ...chain] })];
  },
  pointerToItself: ({ query }: Asked) => {
    const at = endOfQuestion(query);
    const name = Buffer.from([0xc0 | (at >> 8), at & 255]);
    return [answer(query, { records: [record(A, bytesOf('10.99.0.1'), { name })] })];
  },
  longNames: ({ query }: Asked) => {
    const name = Buffer.concat([
      ...Array.from({ length: 40 }, () => Buffer.from(`\x3f${'x'.repeat(63)}`)),
      Buffer.from([0]),
    ]);
    return [answer(query, { records: [record(CNAME, name), record(A, bytesOf('10.99.0.1'), { name })] })];
  },
  wrongLengths: ({ query }: Asked) => [
    answer(query, {
      records: [0, 1, 3, 5, 16, 65_535].map((length) => record(A, dice.bytes(Math.min(length, 40)), { length })),
    }),
  ],
  otherTypes: ({ query }: Asked) => [
    answer(query, {
      records: [
        record(TXT, Buffer.from('\x04text')),
        record(AAAA, bytesOf('10.99.0.1')),
        record(0xfffe, dice.bytes(50)),
      ],
    }),
  ],
  hugeTtl: (asked: Asked) => [these(asked, ['10.99.0.1'], 0xffff_ffff)],
  oddAddresses: (asked: Asked) => {
    if (typeOf(asked.query) !== AAAA) return [these(asked, ODD)];
    return [answer(asked.query, { records: ODD_6.map((hex) => record(AAAA, Buffer.from(hex, 'hex'))) })];
  },
  othersEachTime: (asked: Asked) => [
    these(
      asked,
      Array.from({ length: 20 }, () => `10.98.${dice.below(256)}.${dice.below(256)}`),
    ),
  ],
  onlyTheOtherFamily: ({ query }: Asked) => {
    const records = typeOf(query) === AAAA ? [record(AAAA, Buffer.from(`20010db8${'00'.repeat(11)}99`, 'hex'))] : [];
    return [answer(query, { records })];
  },
  flood: (asked: Asked) =>
    Array.from({ length: 500 }, () => (dice.below(2) ? dice.bytes(dice.below(500)) : these(asked, ODD))),
  /** glibc waits for ever. */
  silentOverTcp: ({ query, tcp }: Asked) => (tcp ? [] : [answer(query, { cut: true })]),
} as const satisfies Readonly<Record<string, Manner>>;
