/** `--static-host-ports`: the hostPorts in the specs of pods, served by Berth itself. */
import test from 'ava';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import type { PortSpec } from '../core/pods.ts';
import { Rig, server } from './rig.ts';

const FIXED: readonly PortSpec[] = [{ name: 'fixed', containerPort: 80, hostPort: 8080 }];

/** A pod that does not opt in. */
const plain = (index: number, more: Partial<Pod> = {}, ports: readonly PortSpec[] = FIXED) =>
  server(index, { annotations: {}, ...more }, ports);

async function rigServing(): Promise<Rig> {
  const rig = new Rig();
  rig.servesStatics = true;
  await rig.start();
  return rig;
}

test('I2: a static hostPort of a pod that does not opt in is served, and nothing is written on the pod', async (t) => {
  const rig = await rigServing();
  const pod = plain(1, {}, [...FIXED, { containerPort: 53, hostPort: 53, protocol: 'UDP' }]);
  rig.takeSteps();
  await rig.set(pod);
  t.deepEqual(rig.rules(), ['tcp . 8080 : 10.0.0.1 . 80', 'udp . 53 : 10.0.0.1 . 53']);
  t.deepEqual(rig.live(), ['server-1/53-udp UDP 53', 'server-1/fixed TCP 8080']);
  t.deepEqual(rig.announced.get('uid-1/fixed/TCP')?.pool, 'static');
  t.deepEqual(
    rig.takeSteps().filter((step) => step !== 'state file'),
    [
      'reserve TCP 8080: held',
      'reserve UDP 53: held',
      'rules +2 -0',
      'purge 0',
      'announce server-1/fixed',
      'announce server-1/53-udp',
    ],
  );
  t.is(rig.told(pod), undefined);
  t.deepEqual(rig.said(pod), []);

  // I7: nothing is left.
  await rig.delete(pod);
  t.deepEqual([rig.rules(), rig.live(), rig.grants(), rig.reserver.held()], [[], [], [], []]);
  t.deepEqual(rig.said(pod), []);
});

test('a pod with hostNetwork is left alone', async (t) => {
  const rig = await rigServing();
  await rig.set(plain(1, { hostNetwork: true }));
  t.deepEqual([rig.grants(), rig.said(plain(1))], [[], []]);
});

test('beside ports that are asked for: listed as mappings, without a promise', async (t) => {
  const rig = await rigServing();
  const pod = server(1, {}, [{ name: 'web', containerPort: 81 }, ...FIXED]);
  await rig.set(pod);
  const { annotations = {}, condition } = rig.told(pod) ?? {};
  t.deepEqual(Object.keys(annotations), ['port.berth.dev/web', 'berth.dev/mappings']);
  t.deepEqual(
    JSON.parse(annotations['berth.dev/mappings'] ?? '').map((one: Record<string, unknown>) => [one.name, one.hostPort]),
    [
      ['web', 20_000],
      ['fixed', 8080],
    ],
  );
  t.is(condition?.message, 'mapped: web 20000/TCP, fixed 8080/TCP');
  t.deepEqual(rig.said(pod), ['PortsMapped']);
});

test("Galaxy's JSON lists static ports in the order of the spec, once all of the pod is live", async (t) => {
  const rig = await rigServing();
  const pod = server(1, { annotations: { 'tkestack.io/portmapping': '' } }, [
    ...FIXED,
    { name: 'web', containerPort: 81 },
  ]);
  await rig.set(pod);
  t.is(
    rig.told(pod)?.annotations['tkestack.io/portmapping'],
    '[{"hostPort":8080,"containerPort":80,"protocol":"TCP","podName":"server-1","podIP":"10.0.0.1"},' +
      '{"hostPort":20000,"containerPort":81,"protocol":"TCP","podName":"server-1","podIP":"10.0.0.1"}]',
  );
});

test('neither a mistake in the annotations nor an empty pool takes a static port away', async (t) => {
  const rig = await rigServing();
  const bad = server(1, { annotations: { 'berth.dev/ports': 'nope' } }, FIXED);
  await rig.set(bad);
  t.deepEqual(rig.live(), ['server-1/fixed TCP 8080']);
  t.is(rig.reason(bad), 'InvalidPortRequest');

  const greedy = server(2, { annotations: { 'berth.dev/ports': 'a=11' } }, [
    { name: 'fixed', containerPort: 80, hostPort: 8081 },
  ]);
  await rig.set(greedy);
  t.is(rig.reason(greedy), 'PoolExhausted');
  t.deepEqual(rig.live(), ['server-1/fixed TCP 8080', 'server-2/fixed TCP 8081']);
});

test('I1: of two pods with one static port the second gets it when the first has ended', async (t) => {
  const rig = await rigServing();
  const [old, next] = [plain(1), plain(2)];
  await rig.set(old);
  await rig.set({ ...old, terminating: true }, next);
  t.deepEqual(rig.rules(), ['tcp . 8080 : 10.0.0.1 . 80']);
  t.deepEqual(rig.said(next), ['PortConflict']);
  t.regex(
    rig.publisher.events.get('uid-2')?.[0]?.message ?? '',
    /^pod games\/server-2: hostPort 8080\/TCP of its spec is served for pod games\/server-1 \(port "fixed"\): /,
  );

  rig.takeSteps();
  await rig.set({ ...old, terminating: true, ended: true });
  t.deepEqual(rig.rules(), ['tcp . 8080 : 10.0.0.2 . 80']);
  t.deepEqual(rig.live(), ['server-2/fixed TCP 8080']);
  t.true(rig.takeSteps().includes('rules +1 -1'), 'in one transaction');
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 8080 }]);
});

test('I1: a number that a mapping from a pool has stays with it; both pods are told; it is served afterwards', async (t) => {
  const rig = await rigServing();
  await rig.set(server(1));
  const fixed = plain(2, {}, [{ name: 'fixed', containerPort: 80, hostPort: 20_000 }]);
  await rig.set(fixed);
  t.deepEqual(rig.said(server(1)), ['PortsMapped', 'PortConflict']);
  t.deepEqual(rig.said(fixed), ['PortConflict']);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  await rig.advance(120_000);
  t.is(rig.said(fixed).length, 1);

  await rig.delete(server(1));
  t.deepEqual(rig.live(), ['server-2/fixed TCP 20000']);

  // The other way round: what is served is never given out, and rests when it is released, as it lies in a pool.
  await rig.set(server(3));
  t.is(rig.number(server(3)), 20_001);
  await rig.delete(fixed);
  await rig.set(server(4));
  t.is(rig.number(server(4)), 20_002);
});

test('a hostIP: that address alone, also beside another pod with the same number on another one', async (t) => {
  const rig = await rigServing();
  rig.network.setAddresses([
    { family: 4, address: '192.0.2.10', device: 'eth0' },
    { family: 4, address: '192.0.2.11', device: 'eth0' },
  ]);
  const at = (index: number, hostIP: string) => plain(index, {}, [{ containerPort: 80, hostPort: 8080, hostIP }]);
  await rig.set(at(1, '192.0.2.10'), at(2, '192.0.2.11'), at(3, '127.0.0.1'));
  t.deepEqual(rig.rules(), [
    '127.0.0.1 . tcp . 8080 : 10.0.0.3 . 80',
    '192.0.2.10 . tcp . 8080 : 10.0.0.1 . 80',
    '192.0.2.11 . tcp . 8080 : 10.0.0.2 . 80',
  ]);
  await rig.set(at(4, '0.0.0.0'));
  t.deepEqual(rig.said(at(4, '0.0.0.0')), ['PortConflict']);

  // One goes: the others stay, also over a restart without a state file.
  await rig.delete(at(1, '192.0.2.10'));
  await rig.stop();
  rig.store.text = undefined;
  rig.reserver.crash();
  await rig.start();
  t.deepEqual(rig.live(), ['server-2/80-tcp TCP 8080', 'server-3/80-tcp TCP 8080']);
});

test('one pod with one number on two addresses', async (t) => {
  const rig = await rigServing();
  rig.network.setAddresses([
    { family: 4, address: '192.0.2.10', device: 'eth0' },
    { family: 4, address: '192.0.2.11', device: 'eth0' },
  ]);
  const ports = ['192.0.2.10', '192.0.2.11'].map((hostIP) => ({ containerPort: 80, hostPort: 8080, hostIP }));
  await rig.set(plain(1, {}, ports));
  t.is(rig.rules().length, 2);
  rig.takeSteps();
  await rig.advance(180_000);
  t.deepEqual(rig.takeSteps(), [], 'it is at rest');
  t.deepEqual(rig.recorded('violation'), []);

  // Step 2: one of the addresses goes; what the two had in common stays.
  rig.network.setAddresses([{ family: 4, address: '192.0.2.10', device: 'eth0' }]);
  await rig.settle();
  t.deepEqual(rig.rules(), ['192.0.2.10 . tcp . 8080 : 10.0.0.1 . 80']);
  t.is(rig.ruleset.elements().filter(({ set }) => set === 'hairpin4').length, 1);
  t.deepEqual(rig.said(plain(1)), ['InvalidPortRequest']);
});

test('I6: the address of a static port is none at which the pod has what it asks for', async (t) => {
  const rig = await rigServing();
  const away = { family: 4, address: '192.0.2.11', device: 'eth0' } as const;
  rig.network.setAddresses([{ family: 4, address: '192.0.2.10', device: 'eth0' }, away]);
  const ports = [
    { name: 'fixed', containerPort: 81, hostPort: 8080, hostIP: away.address },
    { name: 'web', containerPort: 80 },
  ];
  await rig.set(server(1, { annotations: {} }, ports));
  const asking = { annotations: { 'berth.dev/ports': '', 'berth.dev/host-ip': '192.0.2.0/24' } };
  await rig.set(server(1, asking, ports));
  const rules = ['192.0.2.10 . tcp . 20000 : 10.0.0.1 . 80', '192.0.2.11 . tcp . 8080 : 10.0.0.1 . 81'];
  t.deepEqual(rig.rules(), rules);
  await rig.stop();
  rig.store.text = undefined;
  rig.reserver.crash();
  await rig.start();
  t.deepEqual(rig.rules(), rules);
});

test('a hostIP that the node lacks is a problem that heals', async (t) => {
  const rig = await rigServing();
  const pod = plain(1, {}, [{ containerPort: 80, hostPort: 8080, hostIP: '192.0.2.99' }]);
  await rig.set(pod);
  t.deepEqual(rig.rules(), []);
  t.regex(rig.publisher.events.get('uid-1')?.[0]?.message ?? '', /the node has no address 192\.0\.2\.99; it has /);
  rig.network.setAddresses([{ family: 4, address: '192.0.2.99', device: 'eth0' }]);
  await rig.settle();
  t.deepEqual(rig.rules(), ['192.0.2.99 . tcp . 8080 : 10.0.0.1 . 80']);
});

test('a number that another process holds: told, nothing is installed, and it is tried again', async (t) => {
  const rig = await rigServing();
  const taken = { protocol: 'TCP', port: 8080 } as const;
  rig.reserver.occupy(taken);
  await rig.set(plain(1));
  t.deepEqual([rig.rules(), rig.said(plain(1))], [[], ['PortConflict']]);
  await rig.advance(60_000);
  t.is(rig.said(plain(1)).length, 1);
  rig.reserver.vacate(taken);
  await rig.advance(5_001);
  t.deepEqual(rig.live(), ['server-1/fixed TCP 8080']);
  t.is(rig.recorded('solved').length, 1);
});

test('a number that cannot be bound at all: the reason and its remedy are told', async (t) => {
  const rig = await rigServing();
  rig.reserver.exhausted = 'ports below 1024 need the capability NET_BIND_SERVICE: add it to the agent';
  await rig.set(plain(1, {}, [{ containerPort: 80, hostPort: 80 }]));
  t.regex(rig.publisher.events.get('uid-1')?.[0]?.message ?? '', /hostPort 80\/TCP .*NET_BIND_SERVICE: add it/);
});

test('berth.dev/allow-from counts for static ports as well; a mistake in it leaves them closed', async (t) => {
  const rig = await rigServing();
  const limited = (value: string) => plain(1, { annotations: { 'berth.dev/allow-from': value } });
  await rig.set(limited('203.0.113.0/24'));
  t.deepEqual(rig.announced.get('uid-1/fixed/TCP')?.allowFrom, [{ family: 4, text: '203.0.113.0/24' }]);
  await rig.set(limited('203.0.113.1/24'));
  t.deepEqual([rig.rules(), rig.said(plain(1))], [[], ['InvalidPortRequest']]);
  t.is(rig.told(plain(1)), undefined);
});

test('I6: a restart changes nothing, with the state file or by the rules alone', async (t) => {
  const rig = await rigServing();
  await rig.set(plain(1), server(2));
  const before = [rig.rules(), rig.live()];
  for (const loses of [false, true]) {
    rig.takeSteps();
    await rig.stop();
    if (loses) rig.store.text = undefined;
    rig.reserver.crash();
    await rig.start();
    t.deepEqual([rig.rules(), rig.live()], before);
    t.deepEqual(
      rig.takeSteps().filter((step) => step.startsWith('rules')),
      [],
    );
    t.deepEqual([...rig.loop.reconciler.ledger.grants()].map(({ pool }) => pool).sort(), ['default', 'static']);
  }
});

test('switched off again, the static mappings go and the others stay', async (t) => {
  const rig = await rigServing();
  await rig.set(plain(1), server(2));
  rig.servesStatics = false;
  await rig.restart();
  t.deepEqual(rig.live(), ['server-2/web TCP 20000']);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.2 . 80']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 20_000 }]);
});

test('a static port among the NodePorts is served, and warned of once', async (t) => {
  const rig = await rigServing();
  await rig.set(plain(1, {}, [{ containerPort: 80, hostPort: 30_080 }]));
  await rig.advance(180_000);
  t.deepEqual(rig.live(), ['server-1/80-tcp TCP 30080']);
  t.deepEqual(rig.said(plain(1)), ['PortConflict']);
  t.regex(rig.publisher.events.get('uid-1')?.[0]?.message ?? '', /30080 .* NodePorts of Services \(30000-32767\)/);
});
