/** Of several addresses of the node that a pod may have, which one it gets, and that it keeps it (I6). */
import test from 'ava';
import type { Cidr, NodeAddress } from '../../daemon/core/vocabulary.ts';
import { HOME, poolOf, Rig, server } from './rig.ts';

const range: readonly Cidr[] = [{ family: 4, text: '192.0.2.0/24' }];
const both: readonly Cidr[] = [{ family: 6, text: '2001:db8::/64' }, ...range];
const VIP: NodeAddress = { family: 4, address: '192.0.2.5', device: 'eth0' };

test('I6: an address that comes before the pod’s own takes nothing away from it', async (t) => {
  for (const pools of [[poolOf({ hostIPs: range })], [poolOf()]]) {
    const rig = new Rig();
    rig.pools = pools;
    const annotations = {
      'berth.dev/ports': '',
      ...(pools[0]?.hostIPs ? {} : { 'berth.dev/host-ip': '192.0.2.0/24' }),
    };
    await rig.start();
    await rig.set(server(1, { annotations }));
    t.deepEqual(rig.rules(), ['192.0.2.10 . tcp . 20000 : 10.0.0.1 . 80']);

    // Step 1: another address appears in front of it.
    rig.network.setAddresses([VIP, ...HOME]);
    await rig.settle();
    t.deepEqual(rig.rules(), ['192.0.2.10 . tcp . 20000 : 10.0.0.1 . 80']);

    // Step 2: a restart, which reads everything anew.
    await rig.restart();
    t.deepEqual(rig.rules(), ['192.0.2.10 . tcp . 20000 : 10.0.0.1 . 80']);

    // Step 3: its own address leaves the node.
    rig.network.setAddresses([VIP]);
    await rig.settle();
    t.deepEqual(rig.rules(), ['192.0.2.5 . tcp . 20000 : 10.0.0.1 . 80']);
  }
});

test('a pool with addresses of both families gives a pod one of a family that the pod has', async (t) => {
  for (const [podIPs, address] of [
    [['10.0.0.1'], '192.0.2.10'],
    [['fd00::1'], '2001:db8::10'],
    [['10.0.0.1', 'fd00::1'], '2001:db8::10'],
  ] as const) {
    const rig = new Rig();
    rig.pools = [poolOf({ hostIPs: both })];
    await rig.start();
    await rig.set(server(1, { podIPs }));
    t.is(rig.reason(server(1)), 'PortsMapped');
    t.true(rig.rules()[0]?.startsWith(`${address} . tcp . 20000`), rig.rules().join());
  }
});

test('I6: a pod that gets its address late keeps the number that it was promised, at an address of its family', async (t) => {
  const rig = new Rig();
  rig.pools = [poolOf({ hostIPs: both })];
  await rig.start();
  await rig.set(server(2, { podIPs: ['fd00::2'] }), server(1, { podIPs: [] }));
  t.is(rig.number(server(1)), 20_001);
  await rig.set(server(1, { podIPs: ['10.0.0.1'] }));
  t.deepEqual(
    rig.rules().filter((rule) => rule.includes('10.0.0.1')),
    ['192.0.2.10 . tcp . 20001 : 10.0.0.1 . 80'],
  );
});
