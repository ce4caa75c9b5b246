import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { BatchSocket } from '../../daemon/datapath/batch.ts';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Nft } from '../../daemon/datapath/nft.ts';
import { Table } from '../../daemon/datapath/table.ts';
import type { Transport } from '../../daemon/datapath/transport.ts';
import { AttributeWriter } from '../../daemon/native/attributes.ts';
import { NLM_F_CREATE } from '../../daemon/native/netlink.ts';
import type { Element, ElementChange } from '../../rules/element.ts';
import { elementsOf, nodeElements } from '../../rules/elements.ts';
import { SKELETON } from '../../rules/skeleton.ts';
import { cidrs, line, mapping } from '../rules/mappings.ts';
import { Namespace, until } from './namespace.ts';

const node = Namespace.create('table');
node.stay();
test.after.always(() => node[Symbol.dispose]());

const NFT = '/usr/sbin/nft';
const SCENARIO = fileURLToPath(new URL('table.scenario.ts', import.meta.url));
let nft: Nft;
test.before(async () => {
  nft = await Nft.find();
});

/** What another program does to the ruleset. */
function foreign(commands: string): void {
  execFileSync(NFT, ['-f', '-'], { input: `${commands}\n`, stdio: 'pipe' });
}

/** The table without its elements, its sets and chains in a fixed order. */
function listing(): string {
  const text = execFileSync(NFT, ['-s', '-t', 'list', 'table', 'inet', 'berth'], { encoding: 'utf8' });
  return text
    .split(/\n(?=\t(?:map|set|chain) )|\n}/)
    .map((part) => part.trim())
    .sort()
    .join('\n');
}

foreign(SKELETON);
const REFERENCE = listing();

interface Agent extends AsyncDisposable {
  readonly table: Table;
}

/** One agent's view of the table; `wrap` may put something around its way into the kernel. */
function agent(wrap: (transport: Transport) => Transport = (transport) => transport): Agent {
  const netlink = new NetlinkTransport();
  const table = new Table({ nft, transport: wrap(netlink), gatherMs: 5 });
  return {
    table,
    async [Symbol.asyncDispose]() {
      await table[Symbol.asyncDispose]();
      await netlink[Symbol.asyncDispose]();
    },
  };
}

const ELEMENTS: readonly Element[] = [
  ...elementsOf(mapping({ allowFrom: cidrs('203.0.113.0/24') })),
  ...elementsOf(mapping({ protocol: 'UDP', hostPort: 40_000, containerPort: 40_000, size: 10 })),
  ...nodeElements([{ family: 4, address: '192.0.2.1', device: 'eth0' }]),
];
const LINES = ELEMENTS.map(line).sort();

async function lines(table: Table): Promise<readonly string[]> {
  return (await table.read()).elements.map(line).sort();
}

/** A fresh table with elements in it, read once. */
async function standing(wrap?: (transport: Transport) => Transport): Promise<Agent> {
  foreign('flush ruleset');
  const found = agent(wrap);
  await found.table.read();
  await found.table.apply({ remove: [], add: ELEMENTS });
  return found;
}

test.serial('the first read makes the table, the second finds nothing to put right', async (t) => {
  foreign('flush ruleset');
  await using one = agent();
  t.deepEqual(await one.table.read(), { elements: [], repaired: '' });
  t.is(listing(), REFERENCE);
  t.deepEqual(await one.table.read(), { elements: [], repaired: '' });
});

test.serial('I6: the next agent adopts the table: its elements stay, its rules are declared anew', async (t) => {
  await using first = await standing();
  await first.table.read();
  const handles = () => execFileSync(NFT, ['-a', '-t', 'list', 'table', 'inet', 'berth'], { encoding: 'utf8' });
  const before = handles();
  await using next = agent();
  const { elements, repaired } = await next.table.read();
  t.deepEqual(elements.map(line).sort(), LINES);
  t.is(repaired, '');
  t.not(handles(), before);
  t.is(listing(), REFERENCE);
});

test.serial('I6: a table of another version is brought to this one, with every element', async (t) => {
  await using first = await standing();
  await first.table.read();
  foreign(`flush chain inet berth gate4
    flush chain inet berth near
    add chain inet berth retired
    add set inet berth retired { type ipv4_addr; elements = { 192.0.2.1 }; }
    add rule inet berth pre ip saddr @retired jump retired
    add rule inet berth gate4 goto hostports4`);
  await using next = agent();
  t.deepEqual(await lines(next.table), LINES);
  t.is(listing(), REFERENCE);
});

const damages: readonly (readonly [string, string, RegExp])[] = [
  ['a rule is added', 'add rule inet berth gate4 accept', /rules of chain gate4/],
  ['a rule is inserted', 'insert rule inet berth pre accept', /rules of chain pre/],
  ['the rules of a chain are deleted', 'flush chain inet berth hostports4', /rules of chain hostports4/],
  [
    'a rule is replaced by an equal one',
    'flush chain inet berth near; add rule inet berth near iifname . oifname @samedev masquerade; add rule inet berth near ip saddr 127.0.0.0/8 oifname != "lo" masquerade',
    /rules of chain near/,
  ],
  [
    'a foreign chain with a hook is added',
    'add chain inet berth evil { type filter hook input priority -5; policy drop; }',
    /chain evil/,
  ],
  [
    'foreign chains and a verdict map hold on to each other',
    'add chain inet berth evil; add map inet berth evils { type ipv4_addr : verdict; elements = { 192.0.2.1 : jump evil }; }; add rule inet berth pre ip saddr vmap @evils',
    /chain evil, set evils/,
  ],
  ['the policy of a chain is changed', 'add chain inet berth pre { policy drop; }', /chain pre/],
  ['the table is put to sleep', 'add table inet berth { flags dormant; }', /flags of the table/],
  [
    'a chain is hooked elsewhere',
    'delete chain inet berth post; add chain inet berth post { type nat hook postrouting priority 110; }',
    /chain post/,
  ],
  [
    'a chain without a hook gets one',
    'flush chain inet berth own4; flush chain inet berth own6; flush chain inet berth near; delete chain inet berth near; add chain inet berth near { type filter hook forward priority 0; policy drop; }',
    /chain near/,
  ],
  ['the table is deleted', 'delete table inet berth', /the table was deleted/],
  ['the ruleset is flushed', 'flush ruleset', /the table was deleted/],
  ['the table is deleted and restored by hand', `delete table inet berth; ${SKELETON}`, /deleted and made anew/],
];

for (const [title, commands, expected] of damages) {
  test.serial(`I3: ${title}: the next read puts it right and says so`, async (t) => {
    await using one = await standing();
    await one.table.read();
    foreign(commands);
    const { elements, repaired } = await one.table.read();
    t.regex(repaired, expected);
    t.is(listing(), REFERENCE);
    if (!/delete table|flush ruleset/.test(commands)) t.deepEqual(elements.map(line).sort(), LINES);
    t.is((await one.table.read()).repaired, '');
  });
}

test.serial('I3: a rule that is replaced in its place, and so keeps its handle, is put right', async (t) => {
  await using one = await standing();
  await one.table.read();
  const chain = execFileSync(NFT, ['-a', 'list', 'chain', 'inet', 'berth', 'gate4'], { encoding: 'utf8' });
  const handle = /@limited .* # handle (\d+)/.exec(chain)?.[1];
  foreign(`replace rule inet berth gate4 handle ${handle} goto hostports4`);
  t.regex((await one.table.read()).repaired, /rules of chain gate4/);
  t.is(listing(), REFERENCE);
  t.deepEqual(await lines(one.table), LINES);
});

test.serial('I3: a set of another type is replaced; the elements of the others stay', async (t) => {
  await using one = await standing();
  await one.table.read();
  const flush = ['pre', 'out', 'in', 'post', 'hostports4'].map((chain) => `flush chain inet berth ${chain}`).join('\n');
  foreign(`${flush}
    delete map inet berth any4
    add map inet berth any4 { type inet_service . inet_proto : ipv4_addr . inet_service; }
    add element inet berth any4 { 80 . tcp : 10.0.0.1 . 80 }`);
  const { elements, repaired } = await one.table.read();
  t.regex(repaired, /set any4/);
  t.is(listing(), REFERENCE);
  t.deepEqual(
    elements.map(line).sort(),
    LINES.filter((text) => !text.startsWith('any4 ')),
  );
});

test.serial('V6: when the set of limited ports was lost, no mapping comes back without it', async (t) => {
  await using one = await standing();
  await one.table.read();
  foreign(
    `${['gate4', 'gate6', 'own4', 'own6'].map((chain) => `flush chain inet berth ${chain}`).join('; ')}; delete set inet berth limited`,
  );
  const { elements } = await one.table.read();
  t.false(elements.some(({ value }) => value !== ''));
  t.true(elements.some(({ set }) => set === 'nodeaddr4'));
  t.is(listing(), REFERENCE);
});

test.serial('I3: a table with a name that nft cannot write is made anew', async (t) => {
  await using one = await standing();
  await one.table.read();
  using socket = new BatchSocket();
  const body = new AttributeWriter(Uint8Array.of(1, 0, 0, 0)).text(1, 'berth').text(3, 'a b').body();
  t.is(await socket.run([{ type: (10 << 8) | 3 /* NFT_MSG_NEWCHAIN */, flags: NLM_F_CREATE, body }]), undefined);
  t.regex((await one.table.read()).repaired, /cannot write/);
  t.is(listing(), REFERENCE);
});

test.serial('foreign elements are read, whatever they are, and can be removed', async (t) => {
  await using one = await standing();
  foreign(`add element inet berth any4 { * : 10.0.0.1 . 80 }
    add element inet berth any4 { icmp . 1 comment "by hand" : 10.0.0.1 . 80 }
    add element inet berth samedev { "a b" . "c:d" }
    add element inet berth allow4 { 6-17 . 1-2 . 10.0.0.1-10.0.0.9 }`);
  const found = (await one.table.read()).elements.filter((element) => !LINES.includes(line(element)));
  t.deepEqual(found.map(line).sort(), [
    'allow4 tcp-udp . 1-2 . 10.0.0.1-10.0.0.9',
    'any4 * : 10.0.0.1 . 80',
    'any4 1 . 1 : 10.0.0.1 . 80 # ?',
    'samedev hex:612062 . hex:633a64',
  ]);
  await one.table.apply({ remove: found, add: [] });
  t.deepEqual(await lines(one.table), LINES);
});

test.serial('I3: a foreign change is reported once, own commits and own repairs never', async (t) => {
  await using one = await standing();
  const { table } = one;
  await table.read();
  let reported = 0;
  const ended = new AbortController();
  t.teardown(() => ended.abort());
  table.watch(() => reported++, ended.signal);
  for (let round = 0; round < 20; round++) {
    await table.apply({ remove: ELEMENTS, add: [] });
    await table.apply({ remove: [], add: ELEMENTS });
    await t.throwsAsync(table.apply({ remove: [], add: elementsOf(mapping({ podIPs: ['10.9.9.9'] })) }));
  }
  t.is(reported, 0);
  foreign('add table inet other');
  await until(() => reported === 1, 'the foreign change is reported');
  foreign('flush chain inet berth near');
  await until(() => reported === 2, 'the damage is reported');
  await table.read();
  foreign('delete table inet other');
  await until(() => reported === 3, 'the third change is reported');
  ended.abort();
  foreign('add table inet other');
  const again = new AbortController();
  t.teardown(() => again.abort());
  let seen = 0;
  table.watch(() => seen++, again.signal);
  await until(() => seen === 1, 'a watch tells of what happened before it began');
  t.is(reported, 3);
});

test.serial('a watch whose signal has aborted already never calls', async (t) => {
  await using one = await standing();
  let reported = 0;
  one.table.watch(() => reported++, AbortSignal.abort());
  await one.table.apply({ remove: ELEMENTS, add: [] });
  t.is(reported, 0);
});

const moments: readonly (readonly [string, (inner: Transport) => Transport['commit']])[] = [
  [
    'right before an own commit',
    (inner) => async (change, generation) => {
      foreign('add table inet other; delete table inet other');
      return inner.commit(change, generation);
    },
  ],
  [
    'right before an own commit by a way that cannot compare generations',
    (inner) => async (change) => {
      foreign('add table inet other; delete table inet other');
      return inner.commit(change);
    },
  ],
  [
    'right after an own commit',
    (inner) => async (change, generation) => {
      const done = await inner.commit(change, generation);
      foreign('add table inet other; delete table inet other');
      return done;
    },
  ],
];

for (const [title, around] of moments) {
  test.serial(`I3: a foreign change ${title} is not lost, and the own commit stands`, async (t) => {
    let armed = false;
    await using one = await standing((inner) => {
      const commit = around(inner);
      return {
        description: '',
        commit(change, generation) {
          if (!armed) return inner.commit(change, generation);
          armed = false;
          return commit(change, generation);
        },
      };
    });
    let reported = 0;
    const ended = new AbortController();
    t.teardown(() => ended.abort());
    await one.table.read();
    one.table.watch(() => reported++, ended.signal);
    armed = true;
    await one.table.apply({ remove: ELEMENTS, add: [] });
    await until(() => reported > 0, 'the foreign change is reported');
    t.deepEqual(await lines(one.table), []);
  });
}

test.serial('a ruleset that never rests is read, and changed, all the same', async (t) => {
  await using one = await standing();
  const busy = node.node(SCENARIO, ['churn']);
  t.teardown(() => busy.kill('SIGKILL'));
  await until(() => /table inet churn/.test(execFileSync(NFT, ['list', 'tables'], { encoding: 'utf8' })), 'it churns');
  for (let round = 0; round < 10; round++) {
    t.deepEqual(await lines(one.table), LINES);
    await one.table.apply({ remove: ELEMENTS, add: [] });
    await one.table.apply({ remove: [], add: ELEMENTS });
  }
  await using next = agent();
  t.deepEqual(await lines(next.table), LINES);
});

test.serial('calls at the same time are carried out one after the other', async (t) => {
  await using one = await standing();
  const changes: ElementChange[] = [
    { remove: ELEMENTS, add: [] },
    { remove: [], add: ELEMENTS },
  ];
  const reads = changes.flatMap((change) => [one.table.apply(change), one.table.read()]);
  const [, empty, , full] = await Promise.all(reads);
  t.deepEqual(empty?.elements, []);
  t.is(full?.elements.length, ELEMENTS.length);
});

test.serial('no descriptor is left behind', async (t) => {
  const open = () => readdirSync('/proc/self/fd').length;
  for (let round = 0; round < 3; round++) await (await standing())[Symbol.asyncDispose]();
  const before = open();
  for (let round = 0; round < 5; round++) {
    await using one = await standing();
    await one.table.read();
  }
  t.is(open(), before);
});

test.serial('without the privilege the table is unavailable, and the message says what is needed', async (t) => {
  const args = ['--reuid=65534', '--clear-groups', process.execPath, SCENARIO, 'refused'];
  const answers = node.run('setpriv', args).trim().split('\n');
  t.is(answers.length, 4);
  for (const answer of answers) t.regex(answer, /^NFT_UNAVAILABLE .*NET_ADMIN/);
});

test.serial('a read that fails is followed by one that works', async (t) => {
  foreign('flush ruleset');
  let broken = true;
  const netlink = new NetlinkTransport();
  await using table = new Table({
    nft: {
      run: (kind, commands) =>
        broken ? Promise.reject(new BerthError('NFT_UNAVAILABLE', 'gone')) : nft.run(kind, commands),
    },
    transport: netlink,
  });
  await t.throwsAsync(table.read(), { message: 'gone' });
  broken = false;
  t.deepEqual(await table.read(), { elements: [], repaired: '' });
  await netlink[Symbol.asyncDispose]();
});

function median(values: readonly number[]): string {
  return ([...values].sort((one, other) => one - other)[values.length >> 1] ?? 0).toFixed(3);
}

test.serial('one change costs the same however many mappings are installed (times are only logged)', async (t) => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) =>
      elementsOf(mapping({ hostPort: 1000 + index, podIPs: [`10.244.${index >> 8}.${index & 255}`] })),
    ).flat();
  const one = elementsOf(mapping({ hostPort: 60_000, podIPs: ['10.9.9.9'] }));
  for (const [name, rounds] of [
    ['netlink', 200],
    ['nft', 9],
  ] as const) {
    for (const count of [10, 1000, 10_000]) {
      foreign('flush ruleset');
      await using found = agent((netlink) => (name === 'nft' ? nft : netlink));
      await found.table.read();
      await found.table.apply({ remove: [], add: many(count) });
      const times: { add: number[]; remove: number[]; read: number[] } = { add: [], remove: [], read: [] };
      const timed = async (list: number[], action: () => Promise<unknown>) => {
        const start = performance.now();
        await action();
        list.push(performance.now() - start);
      };
      for (let round = 0; round < rounds; round++) {
        await timed(times.add, () => found.table.apply({ remove: [], add: one }));
        await timed(times.remove, () => found.table.apply({ remove: one, add: [] }));
      }
      for (let round = 0; round < 3; round++) await timed(times.read, () => found.table.read());
      t.log(
        `${name}, ${count} installed: add ${median(times.add)} ms, remove ${median(times.remove)} ms, read ${median(times.read)} ms`,
      );
      t.is((await found.table.read()).elements.length, 2 * count);
    }
  }
});
