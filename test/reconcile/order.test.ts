/** In which order a mapping is set up, changed and taken down (I2). */
import test from 'ava';
import { Rig, server } from './rig.ts';

test('I2: reserve, state file, promise, rule, conntrack, announce: a mapping is set up in this order', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.takeSteps();

  await rig.set(server(1));

  t.deepEqual(rig.takeSteps(), [
    'reserve TCP 20000: held',
    'state file',
    'tell server-1: RulesPending web=20000',
    'rules +1 -0',
    'purge 0',
    'announce server-1/web',
    'tell server-1: PortsMapped web=20000',
  ]);
});

test('I2: a pod that is gone is un-announced, then loses rule, flows and socket, and its number rests', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.takeSteps();

  await rig.delete(server(1));

  t.deepEqual(rig.takeSteps(), [
    'unannounce server-1/web',
    'rules +0 -1',
    'purge 0',
    'release TCP 20000',
    'state file',
  ]);
  t.regex(rig.store.text ?? '', /"resting":\[\{[^\]]*"hostPort":20000/);
});

test('I2: a pod that lives on is told that its mapping ends before the rule goes', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.takeSteps();

  await rig.set(server(1, { phase: 'Succeeded' }));

  t.deepEqual(rig.takeSteps(), [
    'unannounce server-1/web',
    'tell server-1: nothing',
    'rules +0 -1',
    'purge 0',
    'release TCP 20000',
    'state file',
  ]);
  t.deepEqual(rig.said(server(1)), ['PortsMapped', 'PortsReleased']);
});

test('I2: the number is promised while the pod has no address, and announced when it has one', async (t) => {
  const rig = new Rig();
  await rig.start();

  // Step 1: the pod is created; containers can read the promise from the downward API.
  await rig.set(server(1, { podIPs: [] }));
  t.is(rig.told(server(1))?.annotations['port.berth.dev/web'], '20000');
  t.is(rig.reason(server(1)), 'PodIPPending');
  t.deepEqual(rig.live(), []);
  rig.takeSteps();

  // Step 2: it gets its address. The state file is not in this path.
  await rig.set(server(1));
  t.deepEqual(rig.takeSteps(), [
    'rules +1 -0',
    'purge 0',
    'announce server-1/web',
    'tell server-1: PortsMapped web=20000',
  ]);
});

test('I2: a pod whose address changes is un-announced, moved in one transaction, and announced again', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.takeSteps();

  await rig.set(server(1, { podIPs: ['10.0.0.99'] }));

  t.deepEqual(rig.takeSteps(), [
    'unannounce server-1/web',
    'tell server-1: RulesPending web=20000',
    'rules +1 -1',
    'purge 0',
    'announce server-1/web',
    'tell server-1: PortsMapped web=20000',
  ]);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.99 . 80']);
});

test('I7: a released mapping leaves nothing behind: no rule, no flow, no socket, no annotation', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const flow = { protocol: 'UDP', source: '198.51.100.1', sourcePort: 5000, destination: '192.0.2.10' } as const;
  rig.flows.flows = [
    { ...flow, protocol: 'TCP', port: 20_000, replySource: '10.0.0.1', replyPort: 80 },
    { ...flow, port: 20_000, replySource: '10.0.0.1', replyPort: 80 },
  ];

  await rig.set(server(1, { annotations: {} }));

  t.deepEqual(rig.rules(), []);
  t.deepEqual(
    rig.ruleset.elements().filter(({ comment }) => comment !== ''),
    [],
  );
  // The other one is of another protocol: no flow of Berth's.
  t.deepEqual(
    rig.flows.flows.map(({ protocol }) => protocol),
    ['UDP'],
  );
  t.deepEqual(rig.reserver.held(), []);
  t.deepEqual(rig.told(server(1)), { annotations: {} });
});

test('a terminating pod serves until all its containers have ended', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));

  // Step 1: it is being deleted, and drains.
  await rig.set(server(1, { terminating: true }));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);

  // Step 2: its containers have ended; the object is still there.
  await rig.set(server(1, { terminating: true, ended: true }));
  t.deepEqual(rig.live(), []);
  t.deepEqual(rig.rules(), []);
});

for (const phase of ['Succeeded', 'Failed'] as const) {
  test(`a pod that is ${phase} loses its mappings at once`, async (t) => {
    const rig = new Rig();
    await rig.start();
    await rig.set(server(1));
    await rig.set(server(1, { phase }));
    t.deepEqual([rig.live(), rig.rules()], [[], []]);
  });
}

test('events of one moment are dealt with in one transaction', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.takeSteps();

  await rig.set(server(1), server(2), server(3));

  const rules = rig.takeSteps().filter((step) => step.startsWith('rules'));
  t.deepEqual(rules, ['rules +3 -0']);
  t.is(rig.live().length, 3);
});

test('a bridge is opened to the loopback address when the state file remembers that it was not, and not before', async (t) => {
  const rig = new Rig();
  rig.network.setRoute({ podIP: '10.0.0.1', device: 'cni0', bridge: true });
  const remembered: boolean[] = [];
  rig.network.fault = (operation) => {
    if (operation === 'openLoopback') remembered.push(/cni0\.route_localnet/.test(rig.store.text ?? ''));
  };
  await rig.start();
  await rig.set(server(1));
  t.deepEqual(remembered, [true]);
  t.true(rig.network.loopbacks.has('cni0'));
});
