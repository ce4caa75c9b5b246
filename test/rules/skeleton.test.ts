import test from 'ava';
import { SETS } from '../../rules/element.ts';
import { type FieldType, LAYOUTS } from '../../rules/layout.ts';
import { CHAINS, RECREATION, RULE_COUNTS, redeclaration, SKELETON, SKELETON_VERSION } from '../../rules/skeleton.ts';

const NFT_TYPES: Readonly<Record<FieldType, string>> = {
  protocol: 'inet_proto',
  port: 'inet_service',
  address4: 'ipv4_addr',
  address6: 'ipv6_addr',
  device: 'ifname',
};

test('the text declares exactly the known sets, each with the fields that elements are written with', (t) => {
  const declared = [
    ...SKELETON.matchAll(/^\t(map|set) (\w+) \{ type ([^:;]+?)(?: : ([^;]+))?; (flags interval; )?\}$/gm),
  ];
  t.deepEqual(
    declared.map(([, kind, name, key, value, interval]) => ({
      kind,
      name,
      key,
      value,
      interval: interval !== undefined,
    })),
    declared.map(([, , name]) => {
      const layout = LAYOUTS[name as 'any4'];
      const type = (fields: readonly FieldType[]) => fields.map((field) => NFT_TYPES[field]).join(' . ');
      const map = layout.value.length > 0;
      return {
        kind: map ? 'map' : 'set',
        name,
        key: type(layout.key),
        value: map ? type(layout.value) : undefined,
        interval: layout.interval,
      };
    }),
  );
  t.deepEqual(declared.map(([, , name]) => name).sort(), [...SETS].sort());
});

test('every chain of the text is known, and every known chain has rules', (t) => {
  t.deepEqual([...RULE_COUNTS.keys()].sort(), Object.keys(CHAINS).sort());
  for (const count of RULE_COUNTS.values()) t.true(count > 0);
});

test('every set is used by a rule, and every chain without a hook is reached from another', (t) => {
  for (const set of SETS) t.regex(SKELETON, new RegExp(`@${set}\\b`), set);
  for (const [chain, base] of Object.entries(CHAINS)) {
    if (base === undefined) t.regex(SKELETON, new RegExp(`goto ${chain}\\n`), chain);
  }
});

test('the version stands in a rule, where a redeclaration changes it', (t) => {
  t.regex(SKELETON, new RegExp(`drop comment "berth skeleton ${SKELETON_VERSION}"\n`));
});

test('I4: no rule touches a mark, tracks nothing away, and drops nothing but foreign packets to 127.0.0.0/8 and what an allow-list forbids', (t) => {
  t.notRegex(SKELETON, /\bmark\b|notrack|\bqueue\b|\btproxy\b|\bredirect\b/);
  const drops = SKELETON.match(/.*\bdrop\b.*/g) ?? [];
  t.is(drops.filter((rule) => !/@limited(host[46])? .* saddr != @allow(host)?[46] drop$/.test(rule)).length, 1);
  t.notRegex(SKELETON, /policy drop/);
});

test('I4: every way to a translation asks whether the packet is for the node itself', (t) => {
  const chainOf = (name: string) => new RegExp(`\tchain ${name} \\{\n((?:\t\t.*\n)*)\t\\}`).exec(SKELETON)?.[1] ?? '';
  const jumps = `${chainOf('pre')}${chainOf('out')}`.split('\n').filter((text) => text.includes('goto'));
  t.is(jumps.length, 5);
  for (const jump of jumps) t.regex(jump, /127\.0\.0\.0\/8|@nodeaddr[46] fib daddr type local/);
});

const PRESENT = { chains: Object.keys(CHAINS), wrongChains: [], sets: SETS, wrongSets: [] };

test('I6: a redeclaration flushes the rules of every chain and deletes nothing that is right', (t) => {
  const text = redeclaration(PRESENT) ?? '';
  for (const chain of Object.keys(CHAINS)) t.regex(text, new RegExp(`^flush chain inet berth ${chain}$`, 'm'));
  t.true(text.endsWith(SKELETON));
  t.notRegex(text, /^(delete|flush (map|set|table|ruleset))/m);
});

test('what is wrong or foreign is deleted before the skeleton is declared', (t) => {
  const text =
    redeclaration({
      ...PRESENT,
      chains: [...PRESENT.chains, 'evil'],
      wrongChains: ['evil', 'pre'],
      sets: SETS.filter((set) => set !== 'any4'),
      wrongSets: ['any4', 'junk'],
    }) ?? '';
  t.deepEqual(text.match(/^(flush chain inet berth evil|delete .*)$/gm), [
    'flush chain inet berth evil',
    'delete set inet berth any4',
    'delete set inet berth junk',
    'delete chain inet berth evil',
    'delete chain inet berth pre',
  ]);
});

test('V6: where a set of limited ports is lost, the mappings are taken away in the same transaction', (t) => {
  const text = redeclaration({ ...PRESENT, sets: SETS.filter((set) => set !== 'limitedhost6') }) ?? '';
  const maps = SETS.filter((set) => LAYOUTS[set].value.length > 0);
  t.deepEqual(
    text.match(/^flush map .*$/gm),
    maps.map((map) => `flush map inet berth ${map}`),
  );
});

for (const name of ['a b', 'a;flush ruleset', 'a"', '1a', '', 'é', 'a'.repeat(200)]) {
  test(`V21: a foreign chain named ${JSON.stringify(name)} is never written into nft text`, (t) => {
    t.is(redeclaration({ ...PRESENT, chains: [name] }), undefined);
    t.is(redeclaration({ ...PRESENT, wrongSets: [name] }), undefined);
  });
}

test('the table can be made anew whether or not it is there', (t) => {
  t.true(RECREATION.startsWith('table inet berth\ndelete table inet berth\ntable inet berth {'));
});
