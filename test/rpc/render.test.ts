import test from 'ava';
import { parseAllDocuments, parse as parseYaml } from 'yaml';
import { addressesOf } from '../../daemon/rpc/reachable.ts';
import { FORMATS, renderAnswer, watchRenderer } from '../../daemon/rpc/render.ts';
import type { FreshnessView, MappingView } from '../../daemon/rpc/views.ts';
import { NOW } from './fixture.ts';

const freshness: FreshnessView = { lastHeard: NOW, nodesHeard: 1, nodesKnown: 1 };

function view(fields: Partial<MappingView> = {}): MappingView {
  return {
    namespace: 'shop',
    pod: 'cart-0',
    podUID: '11111111-2222-3333-4444-555555555555',
    name: 'web',
    protocol: 'TCP',
    hostPort: 20_000,
    endPort: 20_000,
    containerPort: 8080,
    node: 'node-a',
    nodeAddresses: ['192.0.2.10', '2001:db8::10'],
    podIPs: ['10.0.0.5', 'fd00::5'],
    pool: 'default',
    since: NOW - 90_000,
    ...fields,
  };
}

const block = view({
  pod: 'conference-12',
  name: 'rtp',
  protocol: 'UDP',
  hostPort: 40_000,
  endPort: 40_099,
  containerPort: 40_000,
  nodeAddresses: ['192.0.2.7'],
  hostIP: '192.0.2.7',
  allowFrom: ['203.0.113.0/24', '2001:db8::/32'],
  since: NOW - 3 * 86_400_000,
});

test('a table shows where to connect, aligned, with ages as kubectl writes them', (t) => {
  t.is(
    renderAnswer({ mappings: [view(), block], freshness }, 'table', NOW),
    `NAMESPACE  POD            PORT  PROTOCOL  ADDRESS                POD-PORT     NODE    AGE  STATE
shop       cart-0         web   TCP       192.0.2.10:20000       8080         node-a  90s  live
shop       conference-12  rtp   UDP       192.0.2.7:40000-40099  40000-40099  node-a  3d   live
`,
  );
});

test('wide adds every address, the pool, the addresses of the pod, who may connect, and the uid', (t) => {
  t.is(
    renderAnswer({ mappings: [view(), block], freshness }, 'wide', NOW),
    `NAMESPACE  POD            PORT  PROTOCOL  ADDRESS                                POD-PORT     NODE    AGE  STATE  POOL     POD-IPS           ALLOW-FROM                    UID
shop       cart-0         web   TCP       192.0.2.10:20000,[2001:db8::10]:20000  8080         node-a  90s  live   default  10.0.0.5,fd00::5  any                           11111111-2222-3333-4444-555555555555
shop       conference-12  rtp   UDP       192.0.2.7:40000-40099                  40000-40099  node-a  3d   live   default  10.0.0.5,fd00::5  203.0.113.0/24,2001:db8::/32  11111111-2222-3333-4444-555555555555
`,
  );
});

test('json is the answer with times as RFC 3339', (t) => {
  const { since: _, ...rest } = block;
  t.deepEqual(JSON.parse(renderAnswer({ mappings: [block], freshness }, 'json', NOW)), {
    mappings: [{ ...rest, since: '2025-12-30T03:04:05.678Z' }],
    freshness: { lastHeard: '2026-01-02T03:04:05.678Z', nodesHeard: 1, nodesKnown: 1 },
  });
});

test('yaml says the same as json', (t) => {
  const answer = { mappings: [view(), block], freshness };
  const yaml = renderAnswer(answer, 'yaml', NOW);
  t.deepEqual(parseYaml(yaml), JSON.parse(renderAnswer(answer, 'json', NOW)));
  t.true(yaml.startsWith('mappings:\n  - namespace: shop\n    pod: cart-0\n'));
});

test('an empty table is empty; empty json and yaml still say how fresh they are', (t) => {
  const nothing = { mappings: [], freshness: { nodesHeard: 0, nodesKnown: 2 } };
  t.is(renderAnswer(nothing, 'table', NOW), '');
  t.deepEqual(JSON.parse(renderAnswer(nothing, 'json', NOW)), nothing);
  t.deepEqual(parseYaml(renderAnswer(nothing, 'yaml', NOW)), nothing);
});

const HOSTILE = 'a\x1b[2J\r\nb\u202ec\u2066d\x7fe\x9bf\u200bg\ud800h\u{e0041}i"\'\\: #';

for (const format of FORMATS) {
  test(`V19: control, bidi and invisible characters of names reach no terminal as ${format}`, (t) => {
    const texts = { pod: HOSTILE, namespace: HOSTILE, name: HOSTILE, node: HOSTILE, pool: HOSTILE, podUID: HOSTILE };
    const lists = {
      nodeAddresses: [HOSTILE],
      podIPs: [HOSTILE],
      allowFrom: [HOSTILE],
      protocol: HOSTILE,
      hostIP: HOSTILE,
    };
    const hostile = view({ ...texts, ...lists });
    const answer = renderAnswer({ mappings: [hostile], freshness }, format, NOW);
    const event = watchRenderer(format, () => NOW);
    const watched = event({ kind: 'live', mapping: hostile }) + event({ kind: 'synced', freshness });
    for (const text of [answer, watched]) {
      t.notRegex(text, /[^\P{C}\n]|[\u2028\u2029]/u);
      t.true(text.includes('[2J'));
    }
    if (format === 'table' || format === 'wide') t.is(answer.split('\n').length, 3);
  });
}

test('V19: escaped names read back as they were, from json and from yaml', (t) => {
  const answer = { mappings: [view({ pod: HOSTILE })], freshness };
  t.is(JSON.parse(renderAnswer(answer, 'json', NOW)).mappings[0].pod, HOSTILE);
  const [document] = parseAllDocuments(renderAnswer(answer, 'yaml', NOW));
  t.is(document?.toJS().mappings[0].pod, HOSTILE);
});

const ages: readonly (readonly [number | undefined, string])[] = [
  [undefined, '<unknown>'],
  [NOW + 5_000, '0s'],
  [NOW, '0s'],
  [NOW - 119_999, '119s'],
  [NOW - 120_000, '2m'],
  [NOW - 7_200_000, '2h'],
  [NOW - 172_800_000, '2d'],
];
for (const [since, age] of ages) {
  test(`an age of ${since === undefined ? 'unknown' : NOW - since} ms is written ${age}`, (t) => {
    const { since: _, ...rest } = view();
    const mappings = [since === undefined ? rest : { ...rest, since }];
    t.regex(renderAnswer({ mappings, freshness }, 'table', NOW), new RegExp(` ${age} +live\\n$`));
  });
}

test('a mapping of a node that is not heard is marked stale, in every format', (t) => {
  for (const format of FORMATS) {
    t.notRegex(renderAnswer({ mappings: [view()], freshness }, format, NOW), /stale/, format);
    t.regex(renderAnswer({ mappings: [view({ stale: true })], freshness }, format, NOW), /stale/, format);
  }
});

test('a time that no date can hold is left out', (t) => {
  const text = renderAnswer({ mappings: [view({ since: 1e20 })], freshness }, 'json', NOW);
  t.false('since' in JSON.parse(text).mappings[0]);
});

test('addresses are ready to copy: IPv6 in brackets, a block with its last port', (t) => {
  t.deepEqual(addressesOf(view()), ['192.0.2.10:20000', '[2001:db8::10]:20000']);
  t.deepEqual(addressesOf(block), ['192.0.2.7:40000-40099']);
  t.deepEqual(addressesOf(view({ nodeAddresses: [] })), ['<unknown>:20000']);
});

test('a watched table waits for the whole state, then prints a line for each change', (t) => {
  const render = watchRenderer('table', () => NOW);
  t.is(render({ kind: 'live', mapping: view() }), '');
  t.is(render({ kind: 'live', mapping: block }), '');
  t.is(
    render({ kind: 'synced', freshness }),
    `EVENT  NAMESPACE  POD            PORT  PROTOCOL  ADDRESS                POD-PORT     NODE    AGE  STATE
live   shop       cart-0         web   TCP       192.0.2.10:20000       8080         node-a  90s  live
live   shop       conference-12  rtp   UDP       192.0.2.7:40000-40099  40000-40099  node-a  3d   live
`,
  );
  t.is(
    render({ kind: 'gone', mapping: view() }),
    'gone   shop       cart-0         web   TCP       192.0.2.10:20000       8080         node-a  90s  live\n',
  );
  t.is(render({ kind: 'lost', error: new Error('x') }), '');
  t.is(render({ kind: 'synced', freshness }), '');
});

test('a watch as json is one object a line, as yaml one document each', (t) => {
  const json = watchRenderer('json', () => NOW);
  const line = json({ kind: 'changed', mapping: view() });
  t.is(line.split('\n').length, 2);
  t.like(JSON.parse(line), { event: 'changed', mapping: { pod: 'cart-0' } });
  t.deepEqual(JSON.parse(json({ kind: 'synced', freshness: { nodesHeard: 1, nodesKnown: 1 } })), {
    event: 'synced',
    freshness: { nodesHeard: 1, nodesKnown: 1 },
  });
  const yaml = watchRenderer('yaml', () => NOW);
  const text = yaml({ kind: 'gone', mapping: view() }) + yaml({ kind: 'synced', freshness });
  t.deepEqual(
    parseAllDocuments(text).map((document) => document.toJS().event),
    ['gone', 'synced'],
  );
});
