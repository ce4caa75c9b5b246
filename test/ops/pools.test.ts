import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { formatRanges, type PoolConfig } from '../../daemon/core/pool.ts';
import { parsePools, parsePoolsFile, parsePoolTexts, refuseNodePorts } from '../../daemon/ops/pools.ts';
import { type WatchPoolsOptions, watchPools } from '../../daemon/ops/poolwatch.ts';

const NODE_PORTS = { first: 30_000, last: 32_767 };

test('a pool has the policy that its keys say', (t) => {
  const text = `
pools:
  - name: games
    ranges: 7000-7999, 8500-8599
    namespaces: [lobby, arena]
    hostIPs: [192.0.2.0/24, "2001:db8::7"]
    nodeSelector: { disk: ssd, berth.dev/edge: "true" }
    maxPortsPerPod: 8
    maxPerNamespace: 100
    quarantine: 2m
`;
  t.deepEqual(parsePoolsFile(text, 'pools.yaml'), [
    {
      name: 'games',
      ranges: [
        { first: 7_000, last: 7_999 },
        { first: 8_500, last: 8_599 },
      ],
      namespaces: ['lobby', 'arena'],
      hostIPs: [
        { family: 4, text: '192.0.2.0/24' },
        { family: 6, text: '2001:db8::7/128' },
      ],
      nodeSelector: { disk: 'ssd', 'berth.dev/edge': 'true' },
      maxPortsPerPod: 8,
      maxPerNamespace: 100,
      quarantineMs: 120_000,
    },
  ]);
});

test('a pool of which only name and ranges are said is for everybody', (t) => {
  const [pool] = parsePools([{ name: 'a', ranges: [8_000, '7000-7099'], namespaces: [], hostIPs: null }]);
  t.deepEqual(pool, {
    name: 'a',
    ranges: [
      { first: 7_000, last: 7_099 },
      { first: 8_000, last: 8_000 },
    ],
    maxPortsPerPod: 64,
    quarantineMs: 60_000,
  });
});

test('a quarantine of zero is allowed', (t) => {
  t.is(parsePools([{ name: 'a', ranges: '7000', quarantine: '0s' }])[0]?.quarantineMs, 0);
});

test('ranges read back as they were written', (t) => {
  const ranges = fc
    .uniqueArray(fc.integer({ min: 1_024, max: 65_535 }), { minLength: 2, maxLength: 40 })
    .map((numbers) => {
      const sorted = numbers.toSorted((a, b) => a - b);
      return sorted.flatMap((first, index) => (index % 2 === 0 ? [{ first, last: sorted[index + 1] ?? first }] : []));
    });
  fc.assert(
    fc.property(ranges, (expected) => {
      t.deepEqual(parsePoolTexts([`a=${formatRanges(expected)}`])[0]?.ranges, expected);
    }),
  );
});

test('no text makes the parser throw anything but CONFIG_INVALID', (t) => {
  const value = fc.oneof(fc.string(), fc.jsonValue(), fc.constantFrom('7000', '7000-7999', '1-2', 7_000, [7_000]));
  const keys = fc.constantFrom(
    'name',
    'ranges',
    'namespaces',
    'hostIPs',
    'nodeSelector',
    'maxPortsPerPod',
    'quarantine',
    '__proto__',
  );
  fc.assert(
    fc.property(fc.array(fc.dictionary(keys, value)), (list) => {
      try {
        parsePools(list);
      } catch (error) {
        t.like(error, { code: 'CONFIG_INVALID' });
      }
    }),
  );
  t.pass();
});

const ONE = { name: 'a', ranges: '7000-7999' };
const REFUSED: readonly (readonly [what: string, list: unknown, message: RegExp])[] = [
  ['no list', undefined, /^pools must be a list of at least one pool/],
  ['an empty list', [], /^pools must be a list of at least one pool/],
  ['a text in place of a pool', ['a=7000'], /^pools\[0\] must have keys: name and ranges/],
  ['no name', [{ ranges: '7000' }], /^pools\[0\]: name is required: a pool has a name and ranges/],
  ['no ranges', [{ name: 'a' }], /^pools\[0\] \("a"\): ranges is required: a pool has a name and ranges/],
  [
    'an unknown key',
    [{ ...ONE, namespace: 'b' }],
    /^pools\[0\] \("a"\): the key namespace is not known \(did you mean namespaces\?\)/,
  ],
  ['a name that is no DNS label', [{ ...ONE, name: 'Games' }], /"Games" is not a DNS label/],
  [
    'two pools of one name',
    [ONE, { name: 'a', ranges: '8000' }],
    /^two pools are named a: join their ranges in one, or rename one/,
  ],
  ['the name of static hostPorts', [{ ...ONE, name: 'static' }], /^no pool may be named static: /],
  ['the name of claimed host ports', [{ ...ONE, name: 'claim' }], /^no pool may be named claim: /],
  ['port 0', [{ name: 'a', ranges: '0-10' }], /"0-10" is not a range of ports/],
  ['port 65536', [{ name: 'a', ranges: '65000-65536' }], /is not a range of ports: .* from 1 to 65535/],
  ['a negative port', [{ name: 'a', ranges: [-1] }], /"-1" is not a range of ports/],
  ['a port with an exponent', [{ name: 'a', ranges: '1e5' }], /is not a range of ports/],
  ['a fraction of a port', [{ name: 'a', ranges: [7000.5] }], /is not a range of ports/],
  ['a range that runs backwards', [{ name: 'a', ranges: '8000-7000' }], /is not a range of ports: write FIRST-LAST/],
  ['an empty text of ranges', [{ name: 'a', ranges: '' }], /"" is not a range of ports/],
  ['no range in the list', [{ name: 'a', ranges: [] }], /a pool has from 1 to 64 ranges/],
  [
    'too many ranges',
    [{ name: 'a', ranges: Array.from({ length: 65 }, (_, i) => 2_000 + 2 * i) }],
    /from 1 to 64 ranges/,
  ],
  [
    'a port below 1024',
    [{ name: 'a', ranges: '1000-1100' }],
    /1000-1100 reaches below 1024, .*: choose numbers from 1024 on/,
  ],
  [
    'ranges of one pool that overlap',
    [{ name: 'a', ranges: '7000-7999,7999-8100' }],
    /the ranges 7000-7999 and 7999-8100 overlap: join them/,
  ],
  [
    'pools that overlap',
    [ONE, { name: 'b', ranges: '7500' }],
    /^pools a and b overlap \(7000-7999 and 7500\): a number belongs to one pool/,
  ],
  ['no namespace but a text', [{ ...ONE, namespaces: 'lobby' }], /namespaces must be a list/],
  ['a namespace that cannot be', [{ ...ONE, namespaces: ['Lobby'] }], /"Lobby" is not a DNS label/],
  [
    'an address that is none',
    [{ ...ONE, hostIPs: ['192.0.2.300'] }],
    /"192\.0\.2\.300" is neither an IP address nor a range/,
  ],
  [
    'a selector with a boolean',
    [{ ...ONE, nodeSelector: { edge: true } }],
    /the label edge has no text as its value: write it in quotes, edge: "true"/,
  ],
  ['a selector that is a list', [{ ...ONE, nodeSelector: ['edge'] }], /nodeSelector must hold labels/],
  ['a limit of zero', [{ ...ONE, maxPortsPerPod: 0 }], /maxPortsPerPod must be 1 or more/],
  ['a limit that is a text', [{ ...ONE, maxPerNamespace: '5' }], /maxPerNamespace must be a number/],
  ['a limit that is a fraction', [{ ...ONE, maxPerNamespace: 1.5 }], /maxPerNamespace must be a whole number/],
  ['a quarantine without a unit', [{ ...ONE, quarantine: 60 }], /quarantine must be a duration, such as 60s/],
  ['a quarantine of two days', [{ ...ONE, quarantine: '48h' }], /is not a duration from 0s to 24h/],
  [
    'too many pools',
    Array.from({ length: 65 }, (_, i) => ({ name: `p${i}`, ranges: `${2_000 + i}` })),
    /at most 64 are allowed/,
  ],
];

for (const [what, list, message] of REFUSED) {
  test(`${what} is refused, with what would be right`, (t) => {
    t.throws(() => parsePools(list), { code: 'CONFIG_INVALID', message });
  });
}

test('the pool of a flag is NAME=RANGES', (t) => {
  t.throws(() => parsePoolTexts(['games']), { code: 'CONFIG_INVALID', message: /"games" is not NAME=RANGES/ });
  t.throws(() => parsePoolTexts(['a=7000', 'b=7000']), { message: /pools a and b overlap/ });
});

test('pools whose selectors exclude each other may have the same numbers', (t) => {
  const pool = (name: string, nodeSelector: object) => ({ name, ranges: '7000-7999', nodeSelector });
  t.is(parsePools([pool('a', { disk: 'ssd' }), pool('b', { disk: 'hdd' })]).length, 2);
  t.throws(() => parsePools([pool('a', { disk: 'ssd' }), pool('b', { zone: 'x' })]), { message: /overlap/ });
});

test('a pool in the NodePort range is refused, both ranges are named, and the remedy', (t) => {
  const message =
    /^pool a: 29000-30000 overlaps the NodePorts of Services, 30000-32767: choose numbers outside of it, or set --node-port-range/;
  t.throws(() => refuseNodePorts(parsePoolTexts(['a=29000-30000']), NODE_PORTS), { code: 'CONFIG_INVALID', message });
  t.notThrows(() => refuseNodePorts(parsePoolTexts(['a=29000-29999,32768-33000']), NODE_PORTS));
});

test('a file of pools has no other key', (t) => {
  const message = /^p\.yaml: the key pool is not known \(did you mean pools\?\); known keys: pools$/;
  t.throws(() => parsePoolsFile('pool: []', 'p.yaml'), { code: 'CONFIG_INVALID', message });
  t.throws(() => parsePoolsFile('', 'p.yaml'), { message: /^p\.yaml: pools must be a list/ });
});

/** A directory as the kubelet mounts a ConfigMap: `pools.yaml` → `..data/pools.yaml`, `..data` → a directory a version. */
class MountedConfigMap {
  readonly directory = mkdtempSync(join(tmpdir(), 'berth-pools-'));
  readonly path = join(this.directory, 'pools.yaml');
  #version = 0;

  constructor(text: string) {
    this.write(text);
    symlinkSync('..data/pools.yaml', this.path);
  }

  write(text: string): void {
    const version = `..version-${this.#version++}`;
    mkdirSync(join(this.directory, version));
    writeFileSync(join(this.directory, version, 'pools.yaml'), text);
    symlinkSync(version, join(this.directory, '..data_tmp'));
    renameSync(join(this.directory, '..data_tmp'), join(this.directory, '..data'));
  }
}

function textOf(name: string): string {
  return `pools: [{ name: ${name}, ranges: 7000-7999 }]`;
}

/** What the watch of a mounted ConfigMap says, one at a time, in order. */
function watching(t: ExecutionContext, mount: MountedConfigMap, options: WatchPoolsOptions = {}) {
  const said: string[] = [];
  let wake = () => {};
  const say = (text: string) => {
    said.push(text);
    wake();
  };
  const abort = new AbortController();
  t.teardown(() => {
    abort.abort();
    rmSync(mount.directory, { recursive: true, force: true });
  });
  const names = (pools: readonly PoolConfig[]) => pools.map(({ name }) => name).join();
  watchPools(
    mount.path,
    (pools) => say(names(pools)),
    (error) => say(`! ${(error as Error).message}`),
    abort.signal,
    options,
  );
  const next = async (): Promise<string> => {
    for (;;) {
      const first = said.shift();
      if (first !== undefined) return first;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { next, said, abort };
}

test('a ConfigMap that changes is read again without a restart', async (t) => {
  const mount = new MountedConfigMap(textOf('one'));
  const { next } = watching(t, mount);
  t.is(await next(), 'one');
  mount.write(textOf('two'));
  t.is(await next(), 'two');
  mount.write(textOf('three'));
  t.is(await next(), 'three');
});

test('a bad content is reported once and the next good one is used', async (t) => {
  const mount = new MountedConfigMap(textOf('one'));
  const { next, said } = watching(t, mount);
  t.is(await next(), 'one');
  mount.write('pools: [{ name: two, ranges: 1-2 }]');
  t.regex(await next(), /^! .*pools\.yaml: pools\[0\] \("two"\): 1-2 reaches below 1024/);
  mount.write('pools: [{ name: two, ranges: 1-2 }]');
  mount.write(textOf('three'));
  t.is(await next(), 'three');
  t.deepEqual(said, []);
});

test('pools that overlap the NodePorts are reported and not used', async (t) => {
  const mount = new MountedConfigMap(textOf('one'));
  const { next } = watching(t, mount, { accept: (pools) => refuseNodePorts(pools, NODE_PORTS) });
  t.is(await next(), 'one');
  mount.write('pools: [{ name: two, ranges: 30000-30100 }]');
  t.regex(await next(), /^! pool two: 30000-30100 overlaps the NodePorts/);
});

test('a file that is gone is reported once, and seen when it is back', async (t) => {
  const mount = new MountedConfigMap(textOf('one'));
  const { next, said } = watching(t, mount);
  t.is(await next(), 'one');
  rmSync(mount.path);
  t.regex(await next(), /^! .*pools\.yaml cannot be read: ENOENT/);
  writeFileSync(join(mount.directory, 'unrelated'), '');
  symlinkSync('..data/pools.yaml', mount.path);
  t.is(await next(), 'one');
  t.deepEqual(said, []);
});

test('where no events come the file is polled: the directory is replaced as a whole', async (t) => {
  const mount = new MountedConfigMap(textOf('one'));
  const { next } = watching(t, mount, { pollMs: 10 });
  t.is(await next(), 'one');
  renameSync(mount.directory, `${mount.directory}.old`);
  t.teardown(() => rmSync(`${mount.directory}.old`, { recursive: true }));
  mkdirSync(mount.directory);
  writeFileSync(mount.path, textOf('two'));
  let said = await next();
  // It may be looked for while it is not there yet, or still empty.
  while (said.startsWith('!')) said = await next();
  t.is(said, 'two');
});

test('after the signal nothing is read any more', async (t) => {
  const mount = new MountedConfigMap(textOf('one'));
  const { next, said, abort } = watching(t, mount, { pollMs: 1 });
  t.is(await next(), 'one');
  abort.abort();
  mount.write(textOf('two'));
  // A second watch of the same directory has seen it: the first one would have, too.
  const second = watching(t, mount);
  t.is(await second.next(), 'two');
  t.deepEqual(said, []);
});
