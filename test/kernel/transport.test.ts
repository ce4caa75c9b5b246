import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BerthError } from '../../daemon/core/errors.ts';
import { DatapathDouble } from '../../daemon/datapath/datapath.double.ts';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Nft } from '../../daemon/datapath/nft.ts';
import { Table } from '../../daemon/datapath/table.ts';
import type { Datapath } from '../../daemon/reconcile/ports.ts';
import { type Element, type ElementChange, SETS, type SetName } from '../../rules/element.ts';
import { elementsOf, nodeElements, sameDeviceElements } from '../../rules/elements.ts';
import { cidrs, line, mapping } from '../rules/mappings.ts';
import { Namespace } from './namespace.ts';

const node = Namespace.create('transport');
node.stay();
test.after.always(() => node[Symbol.dispose]());

type Bench = Datapath & AsyncDisposable;

/** The ways into the kernel, and the double that must answer as they do. */
const benches: readonly (readonly [string, () => Promise<Bench>])[] = [
  ['the double', async () => Object.assign(new DatapathDouble(), { [Symbol.asyncDispose]: async () => {} })],
  [
    'netlink',
    async () => {
      execFileSync('/usr/sbin/nft', ['flush', 'ruleset']);
      const transport = new NetlinkTransport();
      const table = new Table({ nft: await Nft.find(), transport });
      return disposing(table, transport);
    },
  ],
  [
    'nft',
    async () => {
      execFileSync('/usr/sbin/nft', ['flush', 'ruleset']);
      const nft = await Nft.find();
      return disposing(new Table({ nft, transport: nft }));
    },
  ],
];

function disposing(table: Table, transport?: AsyncDisposable): Bench {
  return {
    read: () => table.read(),
    apply: (change) => table.apply(change),
    watch: (onForeignChange, signal) => table.watch(onForeignChange, signal),
    async [Symbol.asyncDispose]() {
      await table[Symbol.asyncDispose]();
      await transport?.[Symbol.asyncDispose]();
    },
  };
}

function element(text: string): Element {
  const [, set, key, value = '', comment = ''] = /^(\w+) (.+?)(?: : (.+?))?(?: # (.+))?$/.exec(text) ?? [];
  return { set: set as SetName, key: key ?? '', value, comment };
}

/** `- element` removes, `+ element` adds. */
function change(...texts: readonly string[]): ElementChange {
  const of = (sign: string) => texts.filter((text) => text.startsWith(sign)).map((text) => element(text.slice(2)));
  return { remove: of('-'), add: of('+') };
}

async function outcome(bench: Datapath, wanted: ElementChange): Promise<'done' | 'refused'> {
  try {
    await bench.apply(wanted);
    return 'done';
  } catch (error) {
    if (error instanceof BerthError && error.code === 'NFT_REFUSED') return 'refused';
    throw error;
  }
}

async function installed(bench: Datapath): Promise<readonly string[]> {
  return (await bench.read()).elements.map(line).sort();
}

const WEB = 'any4 tcp . 20000 : 10.0.0.1 . 80 # a/web';
const RANGE = 'anyblock4 udp . 40000-40099 : 10.0.0.1 # a/media';

/** Steps, each a change and what becomes of it, and what stands at the end. */
const stories: readonly (readonly [
  string,
  readonly (readonly [ElementChange, 'done' | 'refused'])[],
  readonly string[],
])[] = [
  ['an element is added and read back as it was written', [[change(`+ ${WEB}`), 'done']], [WEB]],
  [
    'an element is deleted by its key, whatever value it is thought to have',
    [
      [change(`+ ${WEB}`), 'done'],
      [change('- any4 tcp . 20000 : 9.9.9.9 . 9'), 'done'],
    ],
    [],
  ],
  [
    'the same element again is no error',
    [
      [change(`+ ${WEB}`), 'done'],
      [change(`+ ${WEB}`), 'done'],
    ],
    [WEB],
  ],
  [
    'the same key and value with another comment keeps the old comment',
    [
      [change(`+ ${WEB}`), 'done'],
      [change(`+ ${WEB.replace('a/web', 'b/web')}`), 'done'],
    ],
    [WEB],
  ],
  [
    'I1: an existing key with another value is refused',
    [
      [change(`+ ${WEB}`), 'done'],
      [change('+ any4 tcp . 20000 : 10.0.0.2 . 80 # b/web'), 'refused'],
    ],
    [WEB],
  ],
  ['deleting what is not there is refused', [[change(`- ${WEB}`), 'refused']], []],
  [
    'deleting twice in one transaction is refused',
    [
      [change(`+ ${WEB}`), 'done'],
      [change(`- ${WEB}`, `- ${WEB}`), 'refused'],
    ],
    [WEB],
  ],
  [
    'a refused transaction changes nothing, neither before nor behind the guilty element',
    [
      [change(`+ ${WEB}`, '+ limited tcp . 1 # a/x'), 'done'],
      [
        change(
          '- limited tcp . 1',
          '+ udpany 53 # a/dns',
          '+ any4 tcp . 20000 : 10.0.0.2 . 80 # b/web',
          '+ limited tcp . 2 # a/x',
        ),
        'refused',
      ],
    ],
    [WEB, 'limited tcp . 1 # a/x'],
  ],
  [
    'a live port is moved to another pod in one transaction',
    [
      [change(`+ ${WEB}`), 'done'],
      [change(`- ${WEB}`, '+ any4 tcp . 20000 : 10.0.0.2 . 80 # b/web'), 'done'],
    ],
    ['any4 tcp . 20000 : 10.0.0.2 . 80 # b/web'],
  ],
  [
    'a block is replaced by one that overlaps it in one transaction',
    [
      [change(`+ ${RANGE}`), 'done'],
      [change(`- ${RANGE}`, '+ anyblock4 udp . 40050-40149 : 10.0.0.2 # b/media'), 'done'],
    ],
    ['anyblock4 udp . 40050-40149 : 10.0.0.2 # b/media'],
  ],
  [
    'I1: a block that begins or ends inside another one is refused',
    [
      [change(`+ ${RANGE}`), 'done'],
      [change('+ anyblock4 udp . 40050-40149 : 10.0.0.1 # a/media'), 'refused'],
      [change('+ anyblock4 udp . 39950-40049 : 10.0.0.1 # a/media'), 'refused'],
      [change('+ anyblock4 udp . 40050 : 10.0.0.1 # a/media'), 'refused'],
      [change('+ anyblock4 tcp . 40050-40149 : 10.0.0.1 # a/media'), 'done'],
    ],
    ['anyblock4 tcp . 40050-40149 : 10.0.0.1 # a/media', RANGE],
  ],
  [
    'a quirk of the kernel: a block around another one is accepted',
    [
      [change(`+ ${RANGE}`), 'done'],
      [change('+ anyblock4 udp . 39000-41000 : 10.0.0.2 # b/media'), 'done'],
    ],
    ['anyblock4 udp . 39000-41000 : 10.0.0.2 # b/media', RANGE],
  ],
  [
    'a quirk of the kernel: a range is deleted by any number inside it',
    [
      [change(`+ ${RANGE}`), 'done'],
      [change('- anyblock4 udp . 40050'), 'done'],
    ],
    [],
  ],
  [
    'overlapping sources of one port are refused, of two ports they are not',
    [
      [change('+ allow4 tcp . 80 . 10.0.0.0/8 # a/web'), 'done'],
      [change('+ allow4 tcp . 80 . 10.1.0.0/16 # a/web'), 'refused'],
      [change('+ allow4 tcp . 81 . 10.1.0.0/16 # a/web'), 'done'],
    ],
    ['allow4 tcp . 80 . 10.0.0.0/8 # a/web', 'allow4 tcp . 81 . 10.1.0.0/16 # a/web'],
  ],
  ['V21: what is not of its set’s form is refused', [[change('+ any4 tcp . http : 10.0.0.1 . 80'), 'refused']], []],
  ['V21: a hostile comment is refused', [[change('+ limited tcp . 1 # a/b"; flush ruleset'), 'refused']], []],
  ['a change without content does nothing', [[{ remove: [], add: [] }, 'done']], []],
];

const everyKind: readonly Element[] = [
  ...elementsOf(mapping({ allowFrom: cidrs('0.0.0.0/0', '::/0') })),
  ...elementsOf(mapping({ hostPort: 20_001, protocol: 'SCTP', podIPs: ['10.244.0.6', '::ffff:1.2.3.4'] })),
  ...elementsOf(mapping({ hostPort: 20_002, protocol: 'UDP', hostIP: '2001:db8::1', podIPs: ['2001:db8:0:1::'] })),
  ...elementsOf(
    mapping({
      hostPort: 20_003,
      protocol: 'UDP',
      hostIP: '192.0.2.1',
      allowFrom: cidrs('10.0.0.0/9', '10.128.0.0/10', '192.0.2.7/32', '203.0.113.128/25'),
    }),
  ),
  ...elementsOf(
    mapping({
      protocol: 'UDP',
      hostPort: 65_280,
      containerPort: 65_280,
      size: 256,
      allowFrom: cidrs('2001:db8::/33', '2001:db8:8000::/127', '128.0.0.0/1'),
    }),
  ),
  ...elementsOf(mapping({ hostPort: 1, containerPort: 1, size: 2, hostIP: '2001:db8::1' })),
  ...elementsOf(
    mapping({ hostPort: 300, containerPort: 300, size: 2, hostIP: '192.0.2.9', allowFrom: cidrs('::/0', '1.0.0.0/8') }),
  ),
  ...elementsOf(mapping({ hostPort: 20_004, hostIP: '2001:db8::2', allowFrom: cidrs('2001:db8::/32') })),
  ...nodeElements([
    { family: 4, address: '192.0.2.1', device: 'eth0' },
    { family: 4, address: '192.0.2.2', device: 'eth0' },
    { family: 6, address: '2001:db8::1', device: 'eth0' },
  ]),
  ...sameDeviceElements(['cni0', 'fifteen-letters', 'br-1.100@x']),
];

for (const [name, start] of benches) {
  for (const [title, steps, end] of stories) {
    test.serial(`${name}: ${title}`, async (t) => {
      await using bench = await start();
      await bench.read();
      for (const [wanted, expected] of steps) t.is(await outcome(bench, wanted), expected, JSON.stringify(wanted));
      t.deepEqual(await installed(bench), [...end].sort());
    });
  }

  test.serial(`${name}: every kind of element is read back in exactly the text in which it was made`, async (t) => {
    t.deepEqual([...new Set(everyKind.map(({ set }) => set))].sort(), [...SETS].sort());
    await using bench = await start();
    await bench.read();
    await bench.apply({ remove: [], add: everyKind });
    t.deepEqual(await installed(bench), everyKind.map(line).sort());
    await bench.apply({ remove: (await bench.read()).elements, add: [] });
    t.deepEqual(await installed(bench), []);
  });

  test.serial(`${name}: without a table a change is refused, and a read makes the table`, async (t) => {
    await using bench = await start();
    t.is(await outcome(bench, change(`+ ${WEB}`)), 'refused');
    t.deepEqual(await bench.read(), { elements: [], repaired: '' });
    t.is(await outcome(bench, change(`+ ${WEB}`)), 'done');
  });
}

test.serial('changes at random have the same outcomes in the kernel as in the double', async (t) => {
  await agree(t, 'netlink', 60);
});

test.serial('changes at random have the same outcomes through nft as in the double', async (t) => {
  await agree(t, 'nft', 5);
});

async function agree(t: ExecutionContext, name: string, numRuns: number): Promise<void> {
  const start = benches.find(([known]) => known === name)?.[1];
  if (start === undefined) throw new Error(`no bench ${name}`);
  await using bench = await start();
  const port = fc.integer({ min: 1, max: 6 });
  const range = fc.tuple(port, port).map(([a, b]) => (a === b ? `${a}` : `${Math.min(a, b)}-${Math.max(a, b)}`));
  const any = fc.oneof(
    fc.tuple(port, port).map(([key, value]) => `any4 tcp . ${key} : 10.0.0.${value} . 80 # a/p${value}`),
    fc.tuple(range, port).map(([key, value]) => `anyblock4 udp . ${key} : 10.0.0.${value} # a/p${value}`),
    fc
      .tuple(port, range)
      .map(([key, source]) => `allow4 tcp . ${key} . 10.0.0.${source.replace('-', '-10.0.0.')} # a/p`),
    port.map((key) => `udpany ${key} # a/p`),
  );
  // Ranges of addresses that are prefixes are written as such: only those that cannot be are drawn.
  const drawn = any.filter((text) => !/\.(2-10\.0\.0\.3|4-10\.0\.0\.5|2-10\.0\.0\.2) /.test(text));
  const step = fc.array(fc.tuple(fc.constantFrom('+', '-'), drawn), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const double = new DatapathDouble();
      await double.read();
      await bench.apply({ remove: (await bench.read()).elements, add: [] });
      for (const texts of steps) {
        const wanted = change(...texts.map(([sign, text]) => `${sign} ${text}`));
        t.is(await outcome(bench, wanted), await outcome(double, wanted));
      }
      t.deepEqual(await installed(bench), await installed(double));
    }),
    { numRuns },
  );
}

test('a nft that is nowhere is unavailable, with the remedy', async (t) => {
  const error = await t.throwsAsync(Nft.find(['/nowhere/nft']), { instanceOf: BerthError });
  t.like(error, { code: 'NFT_UNAVAILABLE' });
  t.regex(error.message, /install nftables/);
});

test('a program that is no nft is unavailable, and its answer is shown escaped', async (t) => {
  const error = await t.throwsAsync(Nft.find(['/bin/echo']), { instanceOf: BerthError });
  t.like(error, { code: 'NFT_UNAVAILABLE' });
});

test('a nft that does not answer is killed and unavailable', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'berth-nft-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const silent = join(directory, 'nft');
  writeFileSync(silent, '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 });
  const error = await t.throwsAsync(Nft.find([silent], 50), { instanceOf: BerthError });
  t.like(error, { code: 'NFT_UNAVAILABLE' });
  t.regex(error.message, /no answer within 50 ms/);
});

test('what nft refuses is said in its own words, cut', async (t) => {
  const nft = await Nft.find();
  t.regex(nft.description, /^nft \d+\.\d+\.\d+ \(\//);
  const error = await t.throwsAsync(nft.run('text', `${'nonsense '.repeat(200)}\n`), { instanceOf: BerthError });
  t.like(error, { code: 'NFT_REFUSED' });
  t.regex(error.message, /^nft: \/dev\/stdin:1:/);
  t.true(error.message.length < 520);
});

test.serial('a refusal over netlink names the guilty element', async (t) => {
  const netlink = benches[1];
  if (netlink === undefined) throw new Error('no netlink');
  await using bench = await netlink[1]();
  await bench.read();
  await bench.apply(change(`+ ${WEB}`));
  const many = Array.from({ length: 2000 }, (_, index) => `+ any4 tcp . ${19_000 + index} : 10.0.0.2 . 80 # b/web`);
  const error = await t.throwsAsync(bench.apply(change(...many)), { instanceOf: BerthError });
  t.regex(error.message, /EEXIST for any4 tcp \. 20000 /);
});
