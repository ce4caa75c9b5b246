/** Two pods of one claim on one node: the number moves when the next one is ready, and open connections stay where they are. */
import test from 'ava';
import type { Flow } from '../../daemon/core/flow.ts';
import type { NodeAddress, Pod } from '../../daemon/core/vocabulary.ts';
import { type Element, elementId } from '../../rules/element.ts';
import { claimant, HOME, poolOf, Rig, server } from './rig.ts';

const CLAIM = 25_565;
const NODE = '192.0.2.10';

const rule = (index: number) => [`tcp . ${CLAIM} : 10.0.0.${index} . 80`];
const live = (index: number) => [`server-${index}/web TCP ${CLAIM}`];
const ready = (index: number, more: Partial<Pod> = {}) => claimant(index, { ready: true, ...more });

/** A connection of a client to the claim's number that leads to this pod. */
function flowTo(index: number, sourcePort: number, protocol: Flow['protocol'] = 'TCP'): Flow {
  const client = { protocol, source: '198.51.100.1', sourcePort };
  return { ...client, destination: NODE, port: CLAIM, replySource: `10.0.0.${index}`, replyPort: 80 };
}

async function rigOf(
  handover: 'OnReady' | 'OnTerminated' = 'OnReady',
  change: (rig: Rig) => void = () => {},
): Promise<Rig> {
  const rig = new Rig();
  rig.claims.bind('games', 'lobby', CLAIM, { handover, protocols: ['TCP', 'UDP', 'SCTP'] });
  change(rig);
  await rig.start();
  return rig;
}

test('the holder keeps the number until the next pod is ready; then one transaction moves it', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old);
  await rig.set(claimant(2));
  t.deepEqual(rig.rules(), rule(1));
  t.is(rig.reason(old), 'PortsMapped');
  t.is(rig.reason(claimant(2)), 'HandoverPending');
  t.is(rig.told(claimant(2))?.annotations['port.berth.dev/web'], String(CLAIM), 'the number is promised before');
  t.regex(rig.told(claimant(2))?.condition?.message ?? '', /is with pod games\/server-1 until this pod is ready/);

  rig.takeSteps();
  await rig.set(ready(2));
  t.deepEqual(
    rig.takeSteps().filter((step) => !step.startsWith('tell') && step !== 'state file'),
    ['reserve TCP 25565: held', 'unannounce server-1/web', 'rules +1 -1', 'purge 0', 'announce server-2/web'],
  );
  t.deepEqual(rig.rules(), rule(2));
  t.deepEqual(rig.live(), live(2));
  t.is(rig.reason(old), 'HandedOver');
  t.regex(rig.told(old)?.condition?.message ?? '', /leads to pod games\/server-2 now; open connections stay here/);
  t.is(rig.told(old)?.annotations['berth.dev/mappings'], undefined);
  t.deepEqual(rig.said(old), ['PortsMapped', 'HandedOver']);
  t.deepEqual(rig.said(ready(2)), ['PortsMapped']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: CLAIM }]);
});

test('open TCP and UDP connections stay with the old pod until it has ended, and through a restart', async (t) => {
  const rig = await rigOf();
  const ports = [
    { name: 'web', containerPort: 80 },
    { name: 'web-udp', containerPort: 80, protocol: 'UDP' },
  ] as const;
  const annotations = { 'claim.berth.dev/web': 'lobby', 'claim.berth.dev/web-udp': 'lobby' };
  const [old, next] = [1, 2].map((index) => server(index, { annotations, ready: true }, ports)) as [Pod, Pod];
  await rig.set(old);
  const flows = [flowTo(1, 1_000), flowTo(1, 1_001, 'UDP')];
  rig.flows.flows = [...flows];
  await rig.set(next);
  t.deepEqual(rig.live(), [`server-2/web TCP ${CLAIM}`, `server-2/web-udp UDP ${CLAIM}`]);
  rig.flows.flows = [...rig.flows.flows, flowTo(2, 1_002)];
  await rig.advance(120_000);
  t.deepEqual(rig.flows.flows.slice(0, 2), flows);
  await rig.restart();
  t.deepEqual(rig.flows.flows.slice(0, 2), flows);
  await rig.set({ ...old, terminating: true });
  t.deepEqual(rig.flows.flows.slice(0, 2), flows);
  await rig.set({ ...old, terminating: true, ended: true });
  t.deepEqual(rig.flows.flows, [flowTo(2, 1_002)]);
});

test('connections that the old pod may not have any more are cut', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old);
  rig.flows.flows = [flowTo(1, 1_000)];
  await rig.set(ready(2));
  t.is(rig.flows.flows.length, 1);
  await rig.set({ ...old, annotations: { ...old.annotations, 'berth.dev/allow-from': '203.0.113.0/24' } });
  t.deepEqual(rig.flows.flows, []);
});

test('connections to an address that a newer pod has now are cut', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1));
  rig.flows.flows = [flowTo(1, 1_000)];
  await rig.set(ready(2));
  await rig.set(server(3, { podIPs: ['10.0.0.1'] }));
  t.deepEqual(rig.flows.flows, []);
});

test('OnTerminated: the number waits for the end of the old pod, however ready the next one is', async (t) => {
  const rig = await rigOf('OnTerminated');
  const old = ready(1);
  await rig.set(old);
  await rig.set(ready(2));
  t.deepEqual(rig.live(), live(1));
  t.regex(rig.told(ready(2))?.condition?.message ?? '', /is with pod games\/server-1 until that one has ended/);
  await rig.set({ ...old, terminating: true, ready: false });
  t.deepEqual(rig.live(), live(1));
  await rig.set({ ...old, terminating: true, ready: false, ended: true });
  t.deepEqual(rig.live(), live(2));
});

test('of two ready pods the newer has it, and nothing goes back when it is not ready any more', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old, ready(2));
  t.deepEqual(rig.live(), live(2));
  await rig.set(claimant(2));
  await rig.set({ ...old, ready: false });
  await rig.set(old);
  await rig.advance(120_000);
  t.deepEqual(rig.live(), live(2));
  await rig.restart();
  t.deepEqual(rig.live(), live(2));
});

test('when the newest ends its number goes back to the one that is left', async (t) => {
  const rig = await rigOf();
  const [old, next] = [ready(1), ready(2)];
  await rig.set(old, next);
  await rig.delete(next);
  t.deepEqual(rig.live(), live(1));
  t.is(rig.reason(old), 'PortsMapped');
});

test('a newest pod that is being deleted gives the number to a ready one that stays, as in a rollback', async (t) => {
  const rig = await rigOf();
  const [old, next] = [ready(1), ready(2)];
  await rig.set(old, next);
  rig.flows.flows = [flowTo(2, 1_000)];
  await rig.set({ ...next, terminating: true });
  t.deepEqual(rig.live(), live(1));
  t.is(rig.reason(next), 'HandedOver');
  t.is(rig.flows.flows.length, 1);
  await rig.set({ ...old, ready: false });
  await rig.set({ ...next, terminating: true, ready: true });
  t.deepEqual(rig.live(), live(1));
});

test('a pod that is being deleted takes nothing over', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1), ready(2, { terminating: true }));
  t.deepEqual(rig.live(), live(1));
});

test('a pod without a predecessor has the number before it is ready', async (t) => {
  const rig = await rigOf();
  await rig.set(claimant(1));
  t.deepEqual(rig.live(), live(1));
});

test('when the holder ends and nobody is ready the oldest has it, and whoever becomes ready later takes it over', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old, claimant(2), claimant(3));
  await rig.delete(old);
  t.deepEqual(rig.live(), live(2));
  await rig.set(ready(3));
  t.deepEqual(rig.live(), live(3));
  await rig.set(ready(2));
  t.deepEqual(rig.live(), live(3));
});

test('a pod that is ready and has no address yet takes nothing over', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1), ready(2, { podIPs: [] }));
  t.deepEqual(rig.live(), live(1));
  await rig.set(ready(2));
  t.deepEqual(rig.live(), live(2));
});

test('I8: a ready pod whose other ports cannot be had takes nothing over until they can', async (t) => {
  const annotations = { 'claim.berth.dev/web': 'lobby', 'berth.dev/ports': 'web, 9000' };
  const rig = await rigOf('OnReady', (one) => {
    one.pools = [poolOf({ ranges: [{ first: 20_000, last: 20_000 }] })];
  });
  const old = ready(1);
  const greedy = server(9);
  await rig.set(greedy, old);
  const next = ready(2, { annotations });
  await rig.set(next);
  t.is(rig.reason(next), 'PoolExhausted');
  t.deepEqual(
    rig.rules().filter((text) => text.includes(String(CLAIM))),
    rule(1),
  );
  await rig.delete(greedy);
  await rig.advance(61_000);
  t.is(rig.reason(next), 'PortsMapped');
  t.is(rig.reason(old), 'HandedOver');
});

test('I8: where nobody has the number, a pod whose other ports cannot be had keeps it from no other', async (t) => {
  const annotations = { 'claim.berth.dev/web': 'lobby', 'berth.dev/ports': 'web, 9000' };
  const rig = await rigOf('OnReady', (one) => {
    one.pools = [poolOf({ ranges: [{ first: 20_000, last: 20_000 }] })];
  });
  await rig.set(server(9));
  rig.source.hold();
  await rig.set(ready(1), ready(2, { annotations }));
  rig.source.release();
  await rig.advance(100);
  t.is(rig.reason(ready(2)), 'PoolExhausted');
  t.deepEqual(
    rig.rules().filter((text) => text.includes(String(CLAIM))),
    rule(1),
  );
});

for (const [what, prepare] of [
  ['has no number', () => {}],
  ['is for another protocol', ({ claims }: Rig) => claims.bind('games', 'second', 26_000, { protocols: ['UDP'] })],
  [
    'has a number that a process holds',
    ({ claims, reserver }: Rig) => {
      claims.bind('games', 'second', 26_000);
      reserver.occupy({ protocol: 'TCP', port: 26_000 });
    },
  ],
] as const) {
  test(`I8: a pod that names a second claim, which ${what}, keeps the first from no other pod`, async (t) => {
    const annotations = { 'claim.berth.dev/web': 'lobby', 'claim.berth.dev/more': 'second' };
    const ports = [
      { name: 'web', containerPort: 80 },
      { name: 'more', containerPort: 81 },
    ];
    const rig = await rigOf('OnReady', prepare);
    rig.source.hold();
    const broken = server(2, { annotations, ready: true }, ports);
    await rig.set(ready(1), broken);
    rig.source.release();
    await rig.advance(10_000);
    t.deepEqual(rig.rules(), rule(1));
    const before = rig.recorded('pass').length;
    await rig.advance(50_000);
    t.true(rig.recorded('pass').length - before < 30, `${rig.recorded('pass').length - before} passes`);
    await rig.delete(ready(1));
    t.not(rig.reason(broken), 'PortsMapped');
  });
}

test('the other ports of a pod that waits for its turn are mapped: it may need them to become ready', async (t) => {
  const rig = await rigOf();
  const next = claimant(2, { annotations: { 'claim.berth.dev/web': 'lobby', 'berth.dev/ports': 'web, 9000' } });
  await rig.set(ready(1));
  await rig.set(next);
  t.deepEqual(rig.live(), [...live(1), 'server-2/9000-tcp TCP 20000']);
  t.deepEqual(rig.told(next)?.annotations['port.berth.dev/9000-tcp'], '20000');
});

test('an old pod keeps its other ports when a claim is handed over', async (t) => {
  const rig = await rigOf();
  const old = ready(1, { annotations: { 'claim.berth.dev/web': 'lobby', 'berth.dev/ports': 'web, 9000' } });
  await rig.set(old);
  await rig.set(ready(2));
  t.deepEqual(rig.live(), ['server-1/9000-tcp TCP 20000', ...live(2)]);
  t.regex(rig.told(old)?.annotations['berth.dev/mappings'] ?? '', /9000-tcp/);
  t.is(rig.reason(old), 'HandedOver');
});

test('an old pod of more protocols gives up all of the claim', async (t) => {
  const rig = await rigOf();
  const old = server(1, {
    annotations: { 'claim.berth.dev/play': 'lobby', 'berth.dev/ports': 'play=same/tcp+udp' },
    ready: true,
  });
  await rig.set(old);
  t.is(rig.live().length, 2);
  await rig.set(ready(2));
  t.deepEqual(rig.live(), live(2));
  t.deepEqual(rig.rules(), rule(2));
});

test('the next pod of a StatefulSet has the number of its predecessor as soon as that is gone', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old);
  await rig.set(claimant(1, { uid: 'uid-1b', createdAt: 100, podIPs: ['10.0.0.9'] }));
  t.deepEqual(rig.rules(), [`tcp . ${CLAIM} : 10.0.0.9 . 80`]);
});

test('I6: a hand-over that a crash cut off before its transaction is judged anew', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1), claimant(2));
  rig.datapath.failNext('before');
  await rig.set(ready(2));
  await rig.stop();
  t.deepEqual(rig.rules(), rule(1));
  rig.source.set(claimant(2));
  await rig.restart();
  t.deepEqual(rig.live(), live(1), 'the next pod is not ready any more');
  await rig.set(ready(2));
  t.deepEqual(rig.live(), live(2));
});

test('I6: after a reboot the pod has the number that had it last', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1), ready(2));
  rig.source.set(claimant(1));
  rig.source.set(claimant(2));
  rig.ruleset.flush();
  rig.claims.fail();
  await rig.restart();
  t.deepEqual(rig.live(), live(2));
});

test('I6: a pod of which it is not known whether it is gone keeps the number from the next', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old);
  await rig.stop();
  rig.source.delete(old.namespace, old.name);
  rig.source.set(ready(2));
  rig.source.getFault = new Error('the API server is away');
  await rig.restart();
  t.deepEqual(rig.rules(), rule(1));
  t.is(rig.reason(ready(2)), 'HandoverPending');
  rig.source.getFault = undefined;
  await rig.advance(5_000);
  t.deepEqual(rig.live(), live(2));
});

/** Refuses what is to be added for this pod. */
function refuse(rig: Rig, index: number): void {
  rig.datapath.refuses = ({ comment }) => comment.startsWith(`uid-${index}/`);
}

test('I8: when the kernel refuses the next pod\u2019s rule the holder keeps its own, until a later try succeeds', async (t) => {
  const rig = await rigOf();
  const [old, next] = [ready(1), ready(2)];
  await rig.set(old);
  const elements = rig.ruleset.elements();
  rig.flows.flows = [flowTo(1, 1_000)];
  refuse(rig, 2);
  await rig.set(next);
  t.deepEqual(rig.ruleset.elements(), elements);
  t.deepEqual(rig.live(), live(1));
  t.is(rig.reason(old), 'PortsMapped');
  t.is(rig.reason(next), 'DatapathFailed');
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: CLAIM }]);
  rig.flows.flows = [...rig.flows.flows, flowTo(1, 1_001)];
  await rig.advance(120_000);
  t.deepEqual(rig.ruleset.elements(), elements);
  t.is(rig.flows.flows.length, 2);
  t.deepEqual(rig.said(old), ['PortsMapped'], 'who keeps the number hears nothing');
  t.deepEqual(rig.said(next), ['DatapathFailed'], 'and who does not get it is told once');
  rig.datapath.refuses = () => false;
  await rig.advance(61_000);
  t.deepEqual(rig.live(), live(2));
  t.deepEqual(rig.rules(), rule(2));
  t.is(rig.reason(next), 'PortsMapped');
  t.is(rig.reason(old), 'HandedOver');
});

test('I10: what the kernel refuses of a hand-over is tried again after 1 s, doubling up to 60 s', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1));
  const tries = new Set<number>();
  rig.datapath.refuses = ({ comment }) => {
    const isGuilty = comment.startsWith('uid-2/');
    if (isGuilty) tries.add(Math.round(rig.time.now / 1_000));
    return isGuilty;
  };
  await rig.set(ready(2));
  const began = rig.time.now / 1_000;
  await rig.advance(250_000);
  t.deepEqual(
    [...tries].map((at) => Math.round(at - began)),
    [0, 1, 3, 7, 15, 31, 63, 123, 183, 243],
  );
});

test('I8: a holder that is open to few stays so when the next pod, open to all, is refused', async (t) => {
  const rig = await rigOf();
  const annotations = { 'claim.berth.dev/web': 'lobby', 'berth.dev/allow-from': '203.0.113.0/24' };
  await rig.set(ready(1, { annotations }));
  const elements = rig.ruleset.elements();
  t.true(elements.some(({ set }) => set === 'limited'));
  refuse(rig, 2);
  await rig.set(ready(2));
  await rig.advance(10_000);
  t.deepEqual(rig.ruleset.elements(), elements);
  t.deepEqual(rig.live(), live(1));
});

test('a holder that has ended leaves no rule behind, also when the next pod\u2019s is refused', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old);
  refuse(rig, 2);
  await rig.set(ready(2));
  await rig.set({ ...old, terminating: true, ended: true });
  await rig.advance(10_000);
  t.deepEqual(rig.rules(), []);
  t.is(rig.reason(ready(2)), 'DatapathFailed');
  rig.datapath.refuses = () => false;
  await rig.advance(61_000);
  t.deepEqual(rig.live(), live(2));
});

test('another pod of the claim has the number where the kernel refuses the newest', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1), ready(2));
  refuse(rig, 3);
  await rig.set(ready(3));
  t.deepEqual(rig.live(), live(2));
  await rig.delete(ready(2));
  t.deepEqual(rig.live(), live(1));
});

test('of two pods of one moment the uid decides', async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1, { createdAt: 7 }));
  await rig.set(ready(2, { createdAt: 7 }));
  t.deepEqual(rig.live(), live(2));
  await rig.set(ready(0, { createdAt: 7 }));
  t.deepEqual(rig.live(), live(2));
});

test('I6: a hand-over that the kernel did not carry out is judged anew', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old, claimant(2));
  await rig.set(old);
  for (let failures = 0; failures < 3; failures++) rig.datapath.failNext('before');
  await rig.set(ready(2));
  t.deepEqual(rig.rules(), rule(1));
  await rig.set(claimant(2));
  await rig.advance(10_000);
  t.deepEqual(rig.live(), live(1), 'the next pod is not ready any more');
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: CLAIM }]);
  await rig.set(ready(2));
  t.deepEqual(rig.live(), live(2));
});

test('the connections of an old pod stay when the claim is being deleted', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old);
  rig.flows.flows = [flowTo(1, 1_000)];
  await rig.set(ready(2));
  rig.claims.unbind('games', 'lobby', 'it is being deleted');
  await rig.advance(600_000);
  await rig.restart();
  await rig.advance(60_000);
  t.is(rig.flows.flows.length, 1);
  t.is(rig.reason(old), 'HandedOver');
  t.deepEqual(rig.live(), live(2));
  await rig.set(claimant(3));
  t.is(rig.reason(claimant(3)), 'ClaimPending');
});

test('I10: where no pod of a claim can be served, passes come to rest', async (t) => {
  const rig = await rigOf('OnReady', (one) => {
    one.pools = [poolOf({ ranges: [{ first: 20_000, last: 20_000 }] })];
  });
  await rig.set(server(9));
  const asks = { 'claim.berth.dev/web': 'lobby', 'berth.dev/ports': 'web, 9000' };
  await rig.set(ready(1, { annotations: { ...asks, 'berth.dev/pool': 'none' } }), ready(2, { annotations: asks }));
  await rig.advance(1_000);
  const before = rig.recorded('pass').length;
  await rig.advance(50_000);
  t.true(rig.recorded('pass').length - before < 30, `${rig.recorded('pass').length - before} passes`);
  t.deepEqual([rig.reason(ready(1)), rig.reason(ready(2))], ['InvalidPortRequest', 'PoolExhausted']);
});

test('connections of an old pod stay when the holder is being deleted too, and the old one is not ready', async (t) => {
  const rig = await rigOf();
  const old = ready(1);
  await rig.set(old);
  rig.flows.flows = [flowTo(1, 1_000)];
  await rig.set(ready(2));
  await rig.set({ ...old, ready: false });
  await rig.set(ready(2, { terminating: true }));
  t.deepEqual(rig.live(), live(2));
  t.is(rig.reason(old), 'HandoverPending');
  t.is(rig.flows.flows.length, 1);
  rig.claims.unbind('games', 'lobby', 'it is being deleted');
  await rig.advance(600_000);
  t.is(rig.reason(old), 'ClaimPending');
  t.is(rig.flows.flows.length, 1);
});

test("a ready pod whose address is a newer pod's by now takes nothing over", async (t) => {
  const rig = await rigOf();
  await rig.set(ready(1));
  await rig.set(claimant(2));
  await rig.set(server(3, { podIPs: ['10.0.0.2'] }));
  await rig.set(ready(2));
  t.deepEqual(
    rig.live().filter((text) => text.endsWith(String(CLAIM))),
    live(1),
  );
});

const ADDRESSES = { none: undefined, first: '192.0.2.10', second: '192.0.2.11' } as const;
const LISTS = { none: undefined, offices: '203.0.113.0/24', homes: '198.51.100.0/24, 203.0.113.7' } as const;
const SECOND: NodeAddress = { family: 4, address: ADDRESSES.second, device: 'eth0' };

/** With what the pod asks for beside its claim. */
function asking(
  index: number,
  protocol: Flow['protocol'],
  { hostIP, allowFrom }: { readonly hostIP: string | undefined; readonly allowFrom: string | undefined },
): Pod {
  const annotations = {
    'claim.berth.dev/web': 'lobby',
    ...(hostIP === undefined ? {} : { 'berth.dev/host-ip': hostIP }),
    ...(allowFrom === undefined ? {} : { 'berth.dev/allow-from': allowFrom }),
  };
  return server(index, { annotations, ready: true }, [{ name: 'web', containerPort: 80, protocol }]);
}

/** What stands in the table for this pod alone. */
async function alone(pod: Pod): Promise<readonly Element[]> {
  const rig = await rigOf('OnReady', (one) => one.network.setAddresses([...HOME, SECOND]));
  await rig.set(pod);
  return sorted(rig.ruleset.elements());
}

const sorted = (elements: readonly Element[]) =>
  elements.toSorted((one, other) => (elementId(one) < elementId(other) ? -1 : 1));

for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
  test(`${protocol}: whatever addresses and lists two pods name, the whole rule is of one of them, and moves when it can in one step`, async (t) => {
    const kinds = Object.values(ADDRESSES).flatMap((hostIP) => {
      return Object.values(LISTS).map((allowFrom) => ({ hostIP, allowFrom }));
    });
    const rules = [1, 2].map((index) => kinds.map((kind) => alone(asking(index, protocol, kind))));
    for (const [at, before] of kinds.entries()) {
      for (const [to, after] of kinds.entries()) {
        const rig = await rigOf('OnReady', (one) => one.network.setAddresses([...HOME, SECOND]));
        const [old, next] = [asking(1, protocol, before), asking(2, protocol, after)];
        const what = JSON.stringify({ before, after });
        await rig.set(old);
        const flow = { ...flowTo(1, 1_000, protocol), destination: before.hostIP ?? NODE };
        const allowed = before.allowFrom !== LISTS.offices;
        rig.flows.flows = [flow];
        await rig.set(next);
        const moves = before.hostIP === after.hostIP;
        const [ofOld, ofNext] = await Promise.all([rules[0]?.[at], rules[1]?.[to]]);
        t.deepEqual(sorted(rig.ruleset.elements()), moves ? ofNext : ofOld, what);
        t.is(rig.reason(old), moves ? 'HandedOver' : 'PortsMapped', what);
        t.is(rig.reason(next), moves ? 'PortsMapped' : 'HandoverPending', what);
        // An open connection is the old pod's by its own list.
        if (allowed) t.deepEqual(rig.flows.flows, [flow], what);
        if (!moves) {
          t.regex(
            rig.told(next)?.condition?.message ?? '',
            /is with pod games\/server-1, at other addresses of the node \(host-ip\), until that one has ended$/,
          );
        }
        await rig.set({ ...old, terminating: true, ended: true });
        t.deepEqual(sorted(rig.ruleset.elements()), ofNext, what);
        t.deepEqual(rig.flows.flows, [], what);
      }
    }
  });
}
