/** Annotations that are edited while the pod is live, by its owner and by others. */
import test from 'ava';
import { poolOf, Rig, server } from './rig.ts';

const PORTS = [
  { name: 'web', containerPort: 80 },
  { name: 'admin', containerPort: 81 },
] as const;

const asking = (ports: string, more: Readonly<Record<string, string>> = {}) =>
  server(1, { annotations: { 'berth.dev/ports': ports, ...more } }, PORTS);

/** The pod, live with what it asks for. */
async function live(ports: string, more: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const rig = new Rig();
  rig.pools = [poolOf(), poolOf({ name: 'games', ranges: [{ first: 7_000, last: 7_009 }] })];
  await rig.start();
  await rig.set(asking(ports, more));
  rig.takeSteps();
  return rig;
}

test('a port that is added gets a number; the one that stood stays untouched', async (t) => {
  const rig = await live('web');
  await rig.set(asking('web, admin'));
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80', 'tcp . 20001 : 10.0.0.1 . 81']);
  const steps = rig.takeSteps();
  t.true(steps.includes('rules +1 -0'));
  t.false(steps.includes('unannounce server-1/web'));
});

test('a port that is taken out of the list is released; the other stays untouched', async (t) => {
  const rig = await live('web, admin');
  await rig.set(asking('admin'));
  t.deepEqual(rig.live(), ['server-1/admin TCP 20001']);
  t.deepEqual(Object.keys(rig.told(server(1))?.annotations ?? {}), ['port.berth.dev/admin', 'berth.dev/mappings']);
  t.false(rig.takeSteps().includes('unannounce server-1/admin'));
});

test('another pool means another number, and the former one is released', async (t) => {
  const rig = await live('web');
  await rig.set(asking('web', { 'berth.dev/pool': 'games' }));
  t.deepEqual(rig.rules(), ['tcp . 7000 : 10.0.0.1 . 80']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 7_000 }]);
  t.deepEqual(rig.grants(), ['server-1/web TCP 7000']);
});

test('another container port under one name is another request, and keeps the number where it can', async (t) => {
  const rig = await live('p2p=same');
  await rig.set(asking('p2p=20000-20000'));
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 20000']);
  t.deepEqual(rig.grants(), ['server-1/p2p TCP 20000']);
});

test('allow-from changes in one transaction, and the number stays', async (t) => {
  const rig = await live('web');
  await rig.set(asking('web', { 'berth.dev/allow-from': '203.0.113.0/24' }));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  const sets = rig.ruleset.elements().map(({ set, key }) => `${set} ${key}`);
  t.true(sets.includes('limited tcp . 20000'));
  t.true(sets.includes('allow4 tcp . 20000 . 203.0.113.0/24'));
  t.is(rig.datapath.applied.filter(({ add }) => add.some(({ set }) => set === 'limited')).length, 1);
});

test('a mistake ends the mappings of that pod alone, says what is right, and heals with the old number', async (t) => {
  const rig = await live('web');
  await rig.set(server(2));

  // Step 1: the mistake.
  await rig.set(asking('wbe'));
  t.deepEqual(rig.live(), ['server-2/web TCP 20001']);
  t.is(rig.reason(server(1)), 'InvalidPortRequest');
  t.deepEqual(rig.said(server(1)), ['PortsMapped', 'InvalidPortRequest', 'PortsReleased']);

  // Step 2: put right.
  await rig.set(asking('web'));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
});

test('a mistake that is edited into another mistake is told anew', async (t) => {
  const rig = await live('wbe');
  await rig.set(asking('wbee'));
  t.deepEqual(rig.said(server(1)), ['InvalidPortRequest', 'InvalidPortRequest']);
});

test('the opt-in that is removed takes everything away from the pod', async (t) => {
  const rig = await live('web');
  await rig.set(server(1, { annotations: {} }, PORTS));
  t.deepEqual([rig.rules(), rig.live(), rig.reserver.held()], [[], [], []]);
  t.deepEqual(rig.told(server(1)), { annotations: {} });
});

test('results on a pod that does not opt in are taken away', async (t) => {
  const rig = new Rig();
  await rig.start();
  const annotations = { 'port.berth.dev/web': '1', 'berth.dev/mappings': '[]' };
  await rig.set(server(1, { annotations }));
  t.deepEqual(rig.told(server(1)), { annotations: {} });
});

test('a pod that never had to do with Berth is never written to', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1, { annotations: {} }), server(2, { annotations: {}, phase: 'Succeeded' }));
  t.is(rig.publisher.writes, 0);
});

test('what somebody else writes over the results is overwritten, and changes no rule', async (t) => {
  const rig = await live('web');
  const right = rig.told(server(1));
  const forged = { annotations: { 'port.berth.dev/web': '1', 'berth.dev/mappings': '[]' } };
  rig.publisher.results.set('uid-1', forged);
  rig.source.annotate(server(1), forged.annotations);
  await rig.settle();
  t.deepEqual(rig.told(server(1)), right);
  t.deepEqual(
    rig.takeSteps().filter((step) => !step.startsWith('tell')),
    [],
  );
});

test('with both annotations there is one set of mappings and both results', async (t) => {
  const rig = await live('web', { 'tkestack.io/portmapping': '' });
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80', 'tcp . 20001 : 10.0.0.1 . 81']);
  const { annotations = {} } = rig.told(server(1)) ?? {};
  t.deepEqual(JSON.parse(annotations['tkestack.io/portmapping'] ?? ''), [
    { hostPort: 20_000, containerPort: 80, protocol: 'TCP', podName: 'server-1', podIP: '10.0.0.1' },
    { hostPort: 20_001, containerPort: 81, protocol: 'TCP', podName: 'server-1', podIP: '10.0.0.1' },
  ]);
  t.is(JSON.parse(annotations['berth.dev/mappings'] ?? '').length, 2);
});
