import test from 'ava';
import fc from 'fast-check';
import { parsePodRequest } from '../../daemon/core/request.ts';
import type { Pod, PortRequest, Protocol, Target } from '../../daemon/core/vocabulary.ts';
import { DECLARED, okOf, type PortSpec, podOf, twice } from './pods.ts';

const PORTS = 'berth.dev/ports';
const CLAIMS = [
  ...['web', '53-tcp', 'fixed', 'metrics', 'a', 'c', '', '__proto__', 'constructor', 'x/y', '\u202e', '💥'.repeat(200)],
].flatMap((port) => [`claim.berth.dev/${port}`, `claim-template.berth.dev/${port}`]);
const KEYS = [PORTS, 'berth.dev/pool', 'berth.dev/host-ip', 'berth.dev/allow-from', 'tkestack.io/portmapping'];
const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

/** One item as it is written, the ports that it needs in the spec, and the requests that it must become. */
interface Spec {
  readonly text: string;
  readonly declares: readonly PortSpec[];
  readonly asks: readonly { readonly name: string; readonly protocol: Protocol; readonly target: Target }[];
  /** Requests of equal value must have equal groups, and no others. */
  readonly pair: (protocol: Protocol) => string;
}

const protocol = fc.constantFrom(...PROTOCOLS);
const protocols = fc.subarray([...PROTOCOLS], { minLength: 1 });
const port = fc.integer({ min: 1, max: 65535 });
const upper = fc.boolean();

/** Each item has a number of its own, so that names and container ports never clash. */
function specOf(index: number): fc.Arbitrary<Spec> {
  const name = `n${index}`;
  const number = 1000 + index;
  const pair = (one: Protocol) => (one === 'SCTP' ? `${number}/sctp` : `${number}`);
  const byProtocol = (chosen: readonly Protocol[], nameOf: (one: Protocol) => string) =>
    chosen.map((one) => ({ name: nameOf(one), protocol: one, target: { kind: 'port', port: number } as const }));
  const key = (one: Protocol) => `${number}-${one.toLowerCase()}`;

  const declaredName = protocol.map((one) => ({
    text: name,
    declares: [{ name, containerPort: number, protocol: one }],
    asks: byProtocol([one], () => name),
    pair,
  }));
  const declaredNumber = fc.tuple(protocols, fc.boolean(), upper).map(([chosen, named, capitals]) => ({
    text: `${number}/${written(chosen, capitals)}`,
    declares: chosen.map((one) => ({
      containerPort: number,
      protocol: one,
      ...(named ? { name: `${name}${one.toLowerCase()}` } : {}),
    })),
    asks: byProtocol(chosen, (one) => (named ? `${name}${one.toLowerCase()}` : key(one))),
    pair,
  }));
  const declaredBare = protocols.map((chosen) => ({
    text: `${number}`,
    declares: chosen.map((one) => ({ containerPort: number, protocol: one })),
    asks: byProtocol(chosen, key),
    pair,
  }));
  const bare = fc.constant({ text: `${number}`, declares: [], asks: byProtocol(['TCP'], key), pair });
  const undeclared = fc.tuple(protocols, upper).map(([chosen, capitals]) => ({
    text: `${number}/${written(chosen, capitals)}`,
    declares: [],
    asks: byProtocol(chosen, key),
    pair,
  }));
  const own = fc.tuple(targetOf(index), fc.option(protocols), upper).map(([{ text, target }, chosen, capitals]) => ({
    text: `${name}=${text}${chosen === null ? '' : `/${written(chosen, capitals)}`}`,
    declares: [],
    asks: (chosen ?? (['TCP'] as const)).map((one) => ({ name, protocol: one, target })),
    pair: () => name,
  }));
  return fc.oneof(declaredName, declaredNumber, declaredBare, bare, undeclared, own);
}

/** The exact blocks of different items lie apart. */
function targetOf(index: number): fc.Arbitrary<{ readonly text: string; readonly target: Target }> {
  const size = fc.integer({ min: 1, max: 256 });
  return fc.oneof(
    fc.constant({ text: 'same', target: { kind: 'same' } as const }),
    size.map((count) => ({ text: `${count}`, target: { kind: 'block', size: count } as const })),
    size.map((count) => {
      const first = 20_000 + 300 * index;
      const last = first + count - 1;
      return { text: `${first}-${last}`, target: { kind: 'numbers', first, last } as const };
    }),
  );
}

function written(chosen: readonly Protocol[], capitals: boolean): string {
  return chosen.map((one) => (capitals ? one : one.toLowerCase())).join('+');
}

const specs = fc
  .tuple(...Array.from({ length: 12 }, (_, index) => specOf(index)))
  .chain((all) => fc.shuffledSubarray(all, { minLength: 1 }));
const blank = fc.stringMatching(/^[ \t\r\n]{0,3}$/);

test('every valid list becomes exactly the requests that it names, in its order', (t) => {
  fc.assert(
    fc.property(specs, fc.array(blank, { minLength: 24, maxLength: 24 }), (items, blanks) => {
      const value = items.map(({ text }, index) => `${blanks[2 * index]}${text}${blanks[2 * index + 1]}`).join(',');
      const { requests } = okOf(
        { [PORTS]: value },
        items.flatMap((item) => item.declares),
      );
      t.deepEqual(
        requests.map(({ group: _, ...request }) => request),
        items.flatMap((item) => item.asks),
      );
      const pairs = items.flatMap((item) => item.asks.map((ask) => item.pair(ask.protocol)));
      // Equal groups where equal numbers are due, and nowhere else: both number their values in the same way.
      t.deepEqual(firstPlaces(requests.map((request) => request.group)), firstPlaces(pairs), value);
    }),
    { numRuns: 300 },
  );
});

/** For each value the place where it stood first. */
function firstPlaces(values: readonly string[]): readonly number[] {
  return values.map((value) => values.indexOf(value));
}

test('an empty list asks for each declared number and protocol without a static host port once', (t) => {
  const declared = fc.record({
    containerPort: fc.integer({ min: 1, max: 20 }),
    protocol,
    container: fc.constantFrom('a', 'b'),
    hostPort: fc.constantFrom(0, 0, 8080),
  });
  fc.assert(
    fc.property(fc.array(declared, { maxLength: 40 }), (ports) => {
      const expected = ports.filter((one) => one.hostPort === 0).map((one) => `${one.containerPort}/${one.protocol}`);
      const { requests } = okOf({ [PORTS]: '' }, ports);
      t.deepEqual(
        requests.map(({ target, protocol: of }) => `${target.kind === 'port' ? target.port : ''}/${of}`),
        [...new Set(expected)],
      );
    }),
  );
});

/** Characters that the grammar knows, more often than their share. */
const grammatical = fc.string({
  unit: fc.constantFrom(...'webdns,,,===///---+++0123456789 \t\ntcpudpsctpsameTCP'.split('')),
  maxLength: 40,
});
const word = fc.constantFrom(
  ...['web', 'dns', 'fixed', 'metrics', 'same', '__proto__', 'constructor', 'toString', 'hasOwnProperty', '80-tcp'],
  ...[
    '0',
    '1',
    '53',
    '80',
    '256',
    '257',
    '65535',
    '65536',
    '-1',
    '1e5',
    '08',
    '4294967376',
    '9007199254740993',
    '９０',
  ],
  ...[
    'tcp',
    'UDP',
    'sctp',
    'Tcp',
    'icmp',
    'ſctp',
    'ＵＤＰ',
    '\0',
    '\u001b[2J',
    '\u202e',
    '\u200b',
    '\ud800',
    '\u00a0',
    '💥',
  ],
  ...['10.0.0.0/8', '::/0', '::ffff:1.2.3.4', '169.254.169.254', '1.2.3.4/33', 'fe80::1%eth0', ''],
);
const glue = fc.constantFrom(',', ', ', '=', '/', '-', '+', ' ', '', ',,', '\n', '%', ':', '.');
const phrased = fc.array(fc.tuple(word, glue), { maxLength: 12 }).map((parts) => parts.flat().join(''));
const mutated = fc
  .tuple(specs, fc.nat(200), fc.nat(2), fc.string({ unit: 'binary', minLength: 1, maxLength: 2 }))
  .map(([items, at, cut, put]) => {
    const value = items.map(({ text }) => text).join(',');
    return value.slice(0, at % (value.length + 1)) + put + value.slice((at % (value.length + 1)) + cut);
  });
const likely = fc
  .uniqueArray(
    fc.constantFrom('web', '53', '9100', '7000/udp', '7000/TCP', 'a=5', 'b=1-9', 'c=same/tcp+udp', 'd=8-20', '1e5'),
    {
      maxLength: 4,
    },
  )
  .map((items) => items.join(', '));
const huge = fc
  .tuple(
    fc.constantFrom(',', ' ', 'a', '=', '/', '+', '-', '1', 'a,', 'a=1,', '1/tcp,', '💥', '\ud800', '::', '('),
    fc.nat(20_000),
  )
  .map(([unit, count]) => unit.repeat(count));
const hostile = fc.oneof(
  { weight: 30, arbitrary: grammatical },
  { weight: 30, arbitrary: phrased },
  { weight: 20, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 10, arbitrary: mutated },
  { weight: 10, arbitrary: likely },
  { weight: 1, arbitrary: huge },
);

const PODS: readonly Pod[] = [
  podOf({}),
  podOf({}, DECLARED),
  podOf({}, twice('metrics', [{ name: '80-tcp', containerPort: 8080 }, { containerPort: 53 }])),
  podOf({}, [
    { name: 'constructor', containerPort: 80 },
    { name: '__proto__', containerPort: 53 },
    { containerPort: 0 },
  ]),
];
const annotations = fc.oneof(
  { weight: 3, arbitrary: hostile.map((value) => ({ [PORTS]: value })) },
  { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...KEYS), hostile, { noNullPrototype: true }) },
  {
    weight: 1,
    arbitrary: fc.dictionary(
      fc.constantFrom(...CLAIMS, PORTS),
      fc.oneof(hostile, likely, fc.constantFrom('lobby', 'a.b', 'A')),
      {
        noNullPrototype: true,
      },
    ),
  },
);

test('100,000 hostile values: no exception, no hang, no request that nobody asked for, no message that cannot be shown', (t) => {
  let understood = 0;
  fc.assert(
    fc.property(fc.constantFrom(...PODS), annotations, (of, written) => {
      const pod = { ...of, annotations: written, stateful: Object.keys(written).length % 2 === 0 };
      const result = parsePodRequest(pod);
      if (result.kind === 'problem') return isPresentable(result.problem.message);
      if (result.kind === 'none')
        return (
          !Object.hasOwn(written, PORTS) && !Object.hasOwn(written, 'tkestack.io/portmapping') && !hasClaims(written)
        );
      const { requests, allowFrom } = result.request;
      if (requests.length > 0) understood++;
      const keys = new Set(requests.map((request) => `${request.name}/${request.protocol}`));
      return (
        keys.size === requests.length &&
        (allowFrom === undefined || (allowFrom.length > 0 && allowFrom.length <= 64)) &&
        requests.every((request) => wasAsked(request, pod) && wasClaimed(request, pod))
      );
    }),
    { numRuns: 100_000 },
  );
  // The oracle is worth something only when it sees enough of what was understood.
  t.true(understood > 2_000, `${understood}`);
});

function isPresentable(message: string): boolean {
  return (
    message.startsWith('pod games/server-0: annotation ') &&
    message.length <= 1024 &&
    message.isWellFormed() &&
    !/[\p{C}\p{Zl}\p{Zp}\u00a0]/u.test(message)
  );
}

function hasClaims(written: Readonly<Record<string, string>>): boolean {
  return Object.keys(written).some((key) => key.startsWith('claim'));
}

/** A claim stands in the annotation of its port, or is made of both names; without such an annotation there is none. */
function wasClaimed({ name, claim, target }: PortRequest, { annotations: written, name: pod }: Pod): boolean {
  const own = written[`claim.berth.dev/${name}`];
  const template = written[`claim-template.berth.dev/${name}`];
  if (claim === undefined) return own === undefined && template === undefined;
  if (target.kind === 'block' || target.kind === 'numbers') return false;
  return own === undefined ? template !== undefined && claim === `${name}-${pod}` : claim === own.trim();
}

/** The name and the numbers stand in the list or in the spec, and no number is out of range. */
function wasAsked({ name, protocol: of, target }: PortRequest, pod: Pod): boolean {
  const list = pod.annotations[PORTS] ?? '';
  switch (target.kind) {
    case 'port': {
      const declared = pod.ports.some(
        (one) => one.containerPort === target.port && one.protocol === of && !one.hostPort,
      );
      const named = pod.ports.some((one) => one.name === name && one.containerPort === target.port);
      const numbered = name === `${target.port}-${of.toLowerCase()}` && (declared || list.includes(`${target.port}`));
      return target.port >= 1 && target.port <= 65535 && ((named && declared) || numbered);
    }
    case 'same':
      return list.includes(`${name}=same`);
    case 'block':
      return target.size >= 1 && target.size <= 256 && list.includes(`${name}=${target.size}`);
    case 'numbers': {
      const { first, last } = target;
      const inRange = first >= 1 && last <= 65535 && last >= first && last - first < 256;
      return inRange && list.includes(`${name}=${first}-${last}`);
    }
  }
}

test('a port number is never read as another one', (t) => {
  fc.assert(
    fc.property(port, (number) => {
      t.deepEqual(okOf({ [PORTS]: `${number}` }).requests, [
        { name: `${number}-tcp`, protocol: 'TCP', target: { kind: 'port', port: number }, group: `${number}` },
      ]);
    }),
  );
});
