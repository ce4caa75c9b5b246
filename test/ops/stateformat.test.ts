import test from 'ava';
import fc from 'fast-check';
import { decodeState, encodeState } from '../../daemon/ops/stateformat.ts';
import { grants, stateOf, states } from './states.ts';

test('what was written is read, and nothing is reported', (t) => {
  fc.assert(fc.property(states, (state) => t.deepEqual(decodeState(encodeState(state)), { state })));
});

test('a text that was torn anywhere gives no state', (t) => {
  fc.assert(
    fc.property(states, fc.nat(), (state, place) => {
      const text = encodeState(state).trimEnd();
      const { state: read, problem } = decodeState(text.slice(0, place % text.length));
      t.is(read, undefined);
      t.regex(problem ?? '', /^it is not JSON \(torn/);
    }),
  );
});

test('no text whatever throws, and what gets through can be written and read again', (t) => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((json) => `{"version":1,"grants":[${json}],"resting":[],"settings":[]}`),
  );
  fc.assert(
    fc.property(text, (content) => {
      const { state, problem } = decodeState(content);
      t.true(state !== undefined || problem !== undefined);
      if (state !== undefined) t.deepEqual(decodeState(encodeState(state)), { state });
    }),
    { numRuns: 1000 },
  );
});

test('deep nesting is refused, not followed', (t) => {
  const depth = 1_000_000;
  const { state } = decodeState(
    `{"version":1,"grants":${'['.repeat(depth)}${']'.repeat(depth)},"resting":[],"settings":[]}`,
  );
  t.deepEqual(state?.grants ?? [], []);
});

for (const [title, text, problem] of [
  ['nothing', '', /not JSON/],
  ['another program', '{"podPorts":{}}', /not a state file of Berth \(version\)/],
  ['a list', '[]', /not a state file of Berth/],
  ['null', 'null', /not a state file of Berth \(no object\)/],
  [
    'a later version',
    '{"version":2,"grants":[],"resting":[],"settings":[]}',
    /it has version 2, this agent knows version 1/,
  ],
  [
    'a version that is no number',
    '{"version":"1","grants":[],"resting":[],"settings":[]}',
    /not a state file of Berth \(version\)/,
  ],
  ['a missing list', '{"version":1,"grants":[],"settings":[]}', /not a state file of Berth \(resting\)/],
  [
    'a list that is none',
    '{"version":1,"grants":{},"resting":[],"settings":[]}',
    /not a state file of Berth \(grants\)/,
  ],
] as const) {
  test(`a file of ${title} gives no state and says why`, (t) => {
    const found = decodeState(text);
    t.is(found.state, undefined);
    t.regex(found.problem ?? '', problem);
  });
}

test('keys that this version does not know are ignored, so that a downgrade keeps its state', (t) => {
  const [grant] = stateOf(1).grants;
  const { state, problem } = decodeState(
    JSON.stringify({ version: 1, grants: [{ ...grant, later: true }], resting: [], settings: [], more: [] }),
  );
  t.deepEqual(state?.grants, [grant]);
  t.is(problem, undefined);
});

const HOSTILE = {
  uid: ['', '../../etc', 'a b', 'x'.repeat(65), '-', 7, null, 'u\u001b[2J'],
  namespace: ['', 'Games', '..', 'a/b', 'x'.repeat(64), null, ['games']],
  pod: ['', '../x', 'a_b', 'x'.repeat(254), '\n', {}],
  name: ['', 'a/b', 'x'.repeat(64), '-a', ' '],
  protocol: ['tcp', 'ICMP', '', null, 6],
  pool: ['a b', '../default', 'x'.repeat(64), null],
  hostPort: [0, -1, 65_536, 100_000, 1.5, '20000', null, 2 ** 53, true],
  size: [0, -1, 257, 1.5, '1', null],
  containerPort: [0, -1, 65_536, '80', null],
  hostIP: ['', 'localhost', '1.2.3', '10.0.0.0/8', 'fe80::1%eth0', '0x7f.1', null, 127],
} as const;

for (const [field, values] of Object.entries(HOSTILE)) {
  test(`V22, V23: a grant with a hostile ${field} is left out and named, the others stay`, (t) => {
    const [first, second] = stateOf(2).grants;
    for (const value of values) {
      const text = JSON.stringify({
        version: 1,
        grants: [first, { ...second, [field]: value }],
        resting: [],
        settings: [],
      });
      const { state, problem } = decodeState(text);
      t.deepEqual(state?.grants, [first], JSON.stringify(value));
      t.is(problem, `1 of its entries are not valid and were left out, the first is grants.1.${field}`);
    }
  });
}

test('V23: a block that ends above 65535 is left out', (t) => {
  const [grant] = stateOf(1).grants;
  const text = (size: number) =>
    JSON.stringify({ version: 1, grants: [{ ...grant, hostPort: 65_436, size }], resting: [], settings: [] });
  t.is(decodeState(text(100)).state?.grants.length, 1);
  t.is(decodeState(text(101)).state?.grants.length, 0);
});

test('V22: a setting whose way leads out of net is left out: it would be written as a file at uninstall', (t) => {
  const read = (setting: unknown, before: unknown) =>
    decodeState(JSON.stringify({ version: 1, grants: [], resting: [], settings: [{ setting, before }] })).state
      ?.settings;
  for (const setting of ['net.ipv4.ip_local_reserved_ports', 'net/ipv4/conf/eth0.100/route_localnet']) {
    t.deepEqual(read(setting, '0'), [{ setting, before: '0' }]);
  }
  for (const setting of [
    'kernel.core_pattern',
    'net/../kernel/core_pattern',
    'net..x',
    '/etc/passwd',
    'net/a//b',
    'net.a b',
    'network.x',
    '',
  ]) {
    t.deepEqual(read(setting, '0'), [], setting);
  }
  for (const before of ['1\n2', '\u0000', 'x'.repeat(300_000), 1, null]) t.deepEqual(read('net.ipv4.x', before), []);
});

test('no key of an object reaches the state but those of the format', (t) => {
  fc.assert(
    fc.property(grants, (grant) => {
      const text = JSON.stringify({ version: 1, grants: [grant], resting: [], settings: [] });
      const polluted = text.replace('"uid"', '"__proto__":{"polluted":true},"constructor":1,"uid"');
      const [read] = decodeState(polluted).state?.grants ?? [];
      t.deepEqual(read, grant);
      t.false('polluted' in Object(read));
    }),
  );
});
