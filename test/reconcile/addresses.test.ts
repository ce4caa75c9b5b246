/** Addresses of pods and of the node: whose they are, which are refused, and what heals when they change. */
import test from 'ava';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { HOME, Rig, server } from './rig.ts';

test('a dual-stack pod has one number for both families', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1, { podIPs: ['10.0.0.1', 'fd00::1'] }));
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80', 'tcp . 20000 : fd00::1 . 80']);
});

test('an address that shows up on a newer pod is the newer one’s; the older is told, and heals with another', async (t) => {
  const rig = new Rig();
  await rig.start();
  const old = server(1, { terminating: true });
  await rig.set(old);

  // Step 1: the address is used again while the old pod is still there.
  const fresh = server(2, { podIPs: ['10.0.0.1'] });
  await rig.set(fresh);
  t.deepEqual(rig.rules(), ['tcp . 20001 : 10.0.0.1 . 80']);
  t.deepEqual(rig.live(), ['server-2/web TCP 20001']);
  t.is(rig.reason(old), 'InvalidPodIP');
  t.regex(rig.told(old)?.condition?.message ?? '', /now belongs to the newer pod games\/server-2/);
  t.is(rig.number(old), 20_000, 'its number stays its own');

  // Step 2: it gets an address of its own.
  await rig.set(server(1, { podIPs: ['10.0.0.77'] }));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
});

test('an address is also lost to a newer pod that asks for no ports', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1), server(2, { podIPs: ['10.0.0.1'], annotations: {} }));
  t.deepEqual(rig.rules(), []);
  t.is(rig.reason(server(1)), 'InvalidPodIP');
});

const harmless: readonly (readonly [title: string, Partial<Pod>])[] = [
  ['an older pod', { createdAt: 0 }],
  ['a newer pod that has ended', { phase: 'Succeeded' }],
  ['a newer pod on the host network', { hostNetwork: true, annotations: {} }],
];

for (const [title, fields] of harmless) {
  test(`an address is not lost to ${title}`, async (t) => {
    const rig = new Rig();
    await rig.start();
    await rig.set(server(1), server(2, { podIPs: ['10.0.0.1'], ...fields }));
    t.true(rig.rules().includes('tcp . 20000 : 10.0.0.1 . 80'));
    t.is(rig.reason(server(1)), 'PortsMapped');
  });
}

test('a pod on the host network is refused with a message, and nothing is reserved for it', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1, { hostNetwork: true, podIPs: ['192.0.2.10'] }));
  t.is(rig.reason(server(1)), 'HostNetwork');
  t.regex(rig.told(server(1))?.condition?.message ?? '', /remove the annotation or hostNetwork$/);
  t.deepEqual([rig.rules(), rig.reserver.held(), rig.said(server(1))], [[], [], ['InvalidPortRequest']]);
});

for (const address of ['127.0.0.1', '169.254.169.254', '224.0.0.1', '0.0.0.0', '192.0.2.10', '::1', 'fe80::1', 'x']) {
  test(`a pod with the address ${address} is refused, keeps its number, and heals`, async (t) => {
    const rig = new Rig();
    await rig.start();

    // Step 1: a rule to it would lead into the node or to everybody.
    await rig.set(server(1, { podIPs: [address] }));
    t.deepEqual(rig.rules(), []);
    t.is(rig.reason(server(1)), 'InvalidPodIP');

    // Step 2: a sane one.
    await rig.set(server(1));
    t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
    t.is(rig.reason(server(1)), 'PortsMapped');
  });
}

test('an address of the node that it lacks is a problem that heals when it appears', async (t) => {
  const rig = new Rig();
  await rig.start();
  const annotations = { 'berth.dev/ports': '', 'berth.dev/host-ip': '192.0.2.77' };

  // Step 1: the node has no such address.
  await rig.set(server(1, { annotations }));
  t.is(rig.reason(server(1)), 'HostIPNotFound');
  t.regex(rig.told(server(1))?.condition?.message ?? '', /has no address 192\.0\.2\.77; it has 192\.0\.2\.10/);

  // Step 2: it gets it.
  rig.network.setAddresses([...HOME, { family: 4, address: '192.0.2.77', device: 'eth0' }]);
  await rig.settle();
  t.deepEqual(rig.rules(), ['192.0.2.77 . tcp . 20000 : 10.0.0.1 . 80']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 20_000, hostIP: '192.0.2.77' }]);

  // Step 3: it loses it: the number stays the pod's.
  rig.network.setAddresses(HOME);
  await rig.settle();
  t.deepEqual(rig.rules(), []);
  t.is(rig.reason(server(1)), 'HostIPNotFound');
  t.is(rig.number(server(1)), 20_000);
});

test('addresses of the node come and go in the table, and in what pods are told', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.network.setAddresses([...HOME, { family: 4, address: '198.51.100.7', device: 'eth1' }]);
  await rig.settle();
  const addresses = rig.ruleset.elements().filter(({ set }) => set.startsWith('nodeaddr'));
  t.deepEqual(addresses.map(({ key }) => key).sort(), ['192.0.2.10', '198.51.100.7', '2001:db8::10']);
  t.regex(rig.told(server(1))?.annotations['berth.dev/mappings'] ?? '', /"nodeIPs":\["192.0.2.10","198.51.100.7"\]/);
});

test('when the addresses cannot be read the last known ones count, and they are read again a second later', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));

  // Step 1: netlink fails.
  rig.network.fault = (operation) => {
    if (operation === 'addresses') throw new Error('ENOBUFS');
  };
  rig.network.setAddresses([...HOME, { family: 4, address: '198.51.100.7', device: 'eth1' }]);
  await rig.settle();
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);

  // Step 2: it works again.
  rig.network.fault = () => {};
  await rig.advance(1_001);
  t.true(rig.ruleset.elements().some(({ key }) => key === '198.51.100.7'));
});

test('a bridge port that is not known yet is asked for again, and holds nothing up', async (t) => {
  const rig = new Rig();
  rig.network.setRoute({ podIP: '10.0.0.1', device: 'cni0', bridge: true });
  rig.network.unlearnt.add('10.0.0.1');
  await rig.start();
  await rig.set(server(1));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.false(rig.network.hairpins.has('10.0.0.1'));
  rig.network.unlearnt.clear();
  await rig.advance(1_001);
  t.true(rig.network.hairpins.has('10.0.0.1'));
});

test('route_localnet that somebody resets is set again', async (t) => {
  const rig = new Rig();
  rig.network.setRoute({ podIP: '10.0.0.1', device: 'cni0', bridge: false });
  await rig.start();
  await rig.set(server(1));
  rig.network.closeLoopback('cni0');
  await rig.settle();
  t.true(rig.network.loopbacks.has('cni0'));
});
