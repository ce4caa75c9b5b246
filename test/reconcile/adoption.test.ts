/** What a new agent goes by: the rule, then the state file, then the pod's own annotation, then a fresh number (I6). */
import test from 'ava';
import type { Grant } from '../../daemon/core/state.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { encodeState } from '../../daemon/ops/stateformat.ts';
import type { Element } from '../../rules/element.ts';
import { poolOf, Rig, server } from './rig.ts';

/** What may tell of the number of port web of server-1. */
interface Traces {
  readonly rule?: number;
  readonly state?: number;
  readonly annotation?: number;
}

function grantOf(hostPort: number, fields: Partial<Grant> = {}): Grant {
  const named = { uid: 'uid-1', namespace: 'games', pod: 'server-1', name: 'web' };
  return { ...named, protocol: 'TCP', pool: 'default', hostPort, size: 1, containerPort: 80, ...fields };
}

function ruleOf(hostPort: number): Element {
  return { set: 'any4', key: `tcp . ${hostPort}`, value: '10.0.0.1 . 80', comment: 'uid-1/web' };
}

/** `berth.dev/mappings` as the agent writes it. */
function claim(hostPort: number, podUID = 'uid-1'): string {
  return JSON.stringify([{ name: 'web', hostPort, containerPort: 80, protocol: 'TCP', podUID }]);
}

function claiming(mappings: string, more: Partial<Pod> = {}): Pod {
  return server(1, { annotations: { 'berth.dev/ports': '', 'berth.dev/mappings': mappings }, ...more });
}

function left({ rule, state, annotation }: Traces): Rig {
  const rig = new Rig();
  if (rule !== undefined) rig.ruleset.put(ruleOf(rule));
  if (state !== undefined) rig.store.text = encodeState({ grants: [grantOf(state)], resting: [], settings: [] });
  rig.source.set(annotation === undefined ? server(1) : claiming(claim(annotation)));
  return rig;
}

const cases: readonly (readonly [title: string, Traces, expected: number])[] = [
  ['the rule before the state file', { rule: 20_003, state: 20_004, annotation: 20_005 }, 20_003],
  ['the rule before the annotation', { rule: 20_003, annotation: 20_005 }, 20_003],
  ['the state file before the annotation', { state: 20_004, annotation: 20_005 }, 20_004],
  ['the annotation before a fresh number', { annotation: 20_005 }, 20_005],
  ['a fresh number when nothing tells', {}, 20_000],
];

for (const [title, traces, expected] of cases) {
  test(`I6: a new agent goes by ${title}`, async (t) => {
    const rig = left(traces);
    await rig.start();
    t.deepEqual(rig.live(), [`server-1/web TCP ${expected}`]);
    t.deepEqual(rig.rules(), [`tcp . ${expected} : 10.0.0.1 . 80`]);
    t.deepEqual(rig.grants(), [`server-1/web TCP ${expected}`]);
    t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: expected }]);
  });
}

test('I6: a restart takes no rule away, moves nothing, and tells the pod nothing new', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1), server(2, { annotations: { 'berth.dev/ports': 'media=4/udp' } }));
  const { applied } = rig.datapath;
  t.true(applied.length > 0);
  const writes = rig.publisher.writes;
  const grants = rig.grants();

  await rig.restart();

  t.deepEqual(rig.datapath.applied, []);
  t.deepEqual(rig.grants(), grants);
  t.is(rig.live().length, 2);
  t.is(rig.publisher.writes, writes);
  t.deepEqual(
    rig
      .recorded('mapped')
      .slice(-2)
      .map(({ adopted }) => adopted),
    [true, true],
  );
  t.deepEqual(
    rig.recorded('adopted').map(({ mappings }) => mappings),
    [2],
  );
});

test('I6: a rule outlives the state file: it gets its pod’s name when the pod is seen, and is written down', async (t) => {
  const rig = left({ rule: 20_003 });
  await rig.start();
  const [grant] = (await rig.store.load()).state?.grants ?? [];
  t.deepEqual(grant, grantOf(20_003));
});

test('I6: a rule whose pool no longer holds its number stays until its pod ends', async (t) => {
  const rig = left({ rule: 20_003 });
  rig.pools = [poolOf({ ranges: [{ first: 30_000, last: 30_009 }] })];

  // Step 1: the live mapping stays.
  await rig.start();
  t.deepEqual(rig.live(), ['server-1/web TCP 20003']);

  // Step 2: the pod’s successor gets a number of the pool as it is now.
  await rig.delete(server(1));
  await rig.set(server(1, { uid: 'uid-1b', createdAt: 9 }));
  t.deepEqual(rig.live(), ['server-1/web TCP 30000']);
});

test('I3: an element that leads elsewhere than to its pod is put right, with the number kept', async (t) => {
  const rig = left({ state: 20_003 });
  rig.ruleset.put({ ...ruleOf(20_003), value: '10.0.0.66 . 80' });
  await rig.start();
  t.deepEqual(rig.rules(), ['tcp . 20003 : 10.0.0.1 . 80']);
});

test('I3: rules that are no pod’s are gone after the first pass', async (t) => {
  const rig = left({});
  rig.ruleset.put({ ...ruleOf(20_003), comment: '' });
  rig.ruleset.put({ ...ruleOf(20_004), comment: 'not/a/comment' });
  await rig.start();
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
});

const forgeries: readonly (readonly [title: string, Pod])[] = [
  ['another pod’s uid', claiming(claim(20_005, 'uid-2'))],
  ['a number outside of the pool', claiming(claim(22))],
  ['a number of a pool that the pod may not use', claiming(claim(7_000))],
  ['garbage', claiming('[{"name":"web","hostPort":"20005"')],
  ['a number with a name of the prototype', claiming(claim(20_005).replace('"web"', '"__proto__"'))],
  ['a promise alone', server(1, { annotations: { 'berth.dev/ports': '', 'port.berth.dev/web': '20005' } })],
];

for (const [title, pod] of forgeries) {
  test(`an annotation forged with ${title} gains nothing`, async (t) => {
    const rig = new Rig();
    rig.pools = [poolOf(), poolOf({ name: 'games', ranges: [{ first: 7_000, last: 7_009 }], namespaces: ['vip'] })];
    await rig.start();
    await rig.set(pod);
    t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
    t.is(rig.told(pod)?.annotations['port.berth.dev/web'], '20000');
  });
}

test('an annotation that names another pod’s number gains nothing, and takes nothing from it', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(2));
  await rig.set(claiming(claim(20_000)));
  t.deepEqual(rig.live(), ['server-1/web TCP 20001', 'server-2/web TCP 20000']);
});

test('an annotation that names a resting number gains nothing: the rest is for everybody', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(2), server(3));
  await rig.delete(server(3));
  await rig.set(claiming(claim(20_001)));
  t.is(rig.number(server(1)), 20_002);
});

test('an annotation that names a static hostPort, or what a process holds, gains nothing', async (t) => {
  const rig = new Rig();
  rig.reserver.occupy({ protocol: 'TCP', port: 20_005 });
  await rig.start();
  await rig.set(server(2, { annotations: {} }, [{ containerPort: 80, hostPort: 20_006 }]));
  const other = { name: 'server-4', uid: 'uid-4', podIPs: ['10.0.0.4'] };
  await rig.set(claiming(claim(20_005)), claiming(claim(20_006, 'uid-4'), other));
  t.deepEqual(
    rig.rules().map((rule) => rule.slice(6, 11)),
    ['20000', '20001'],
  );
});
