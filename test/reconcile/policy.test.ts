/** What a pool allows to whom. What is live already outlives a change of the policy. */
import test from 'ava';
import type { PoolConfig } from '../../daemon/core/pool.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { cidrs } from '../rules/mappings.ts';
import { HOME, poolOf, Rig, server } from './rig.ts';

const PORTS = [{ containerPort: 80 }, { containerPort: 81 }, { containerPort: 81, protocol: 'UDP' }] as const;
const asking = (annotations: Readonly<Record<string, string>>) =>
  server(1, { annotations: { 'berth.dev/ports': '', ...annotations } });

const refusals: readonly (readonly [title: string, Partial<PoolConfig>, Pod, reason: string, says: RegExp])[] = [
  [
    'a namespace that is not among its own',
    { namespaces: ['vip'] },
    server(1),
    'InvalidPortRequest',
    /pool "default" may not be used by namespace "games"; add it to the pool's namespaces or choose another/,
  ],
  [
    'a node without its label',
    { nodeSelector: { zone: 'edge' } },
    server(1),
    'InvalidPortRequest',
    /does not exist on this node: its nodeSelector does not match/,
  ],
  [
    'more ports than one pod may have, each protocol counted',
    { maxPortsPerPod: 2 },
    server(1, {}, PORTS),
    'InvalidPortRequest',
    /asks for 3 host ports, pool "default" allows 2 a pod/,
  ],
  [
    'a block larger than one pod may have',
    { maxPortsPerPod: 4 },
    asking({ 'berth.dev/ports': 'media=5/udp' }),
    'InvalidPortRequest',
    /asks for 5 host ports, pool "default" allows 4 a pod/,
  ],
  [
    'a pool that there is not',
    {},
    asking({ 'berth.dev/pool': 'gamez' }),
    'InvalidPortRequest',
    /there is no pool "gamez" on this node; set berth.dev\/pool to one of: default/,
  ],
  [
    'an address of the node that is not among its own',
    { hostIPs: cidrs('198.51.100.0/24') },
    asking({ 'berth.dev/host-ip': '192.0.2.10' }),
    'HostIPNotFound',
    /192.0.2.10 is not among the hostIPs of pool "default"/,
  ],
  [
    'a node without an address of the pool',
    { hostIPs: cidrs('198.51.100.0/24') },
    server(1),
    'HostIPNotFound',
    /the node has no address in the hostIPs of pool "default"/,
  ],
];

for (const [title, policy, pod, reason, says] of refusals) {
  test(`a pod is refused, and told the remedy, for ${title}`, async (t) => {
    const rig = new Rig();
    rig.pools = [poolOf(policy)];
    await rig.start();
    await rig.set(pod);
    t.is(rig.reason(pod), reason);
    t.regex(rig.told(pod)?.condition?.message ?? '', says);
    t.deepEqual([rig.rules(), rig.reserver.held(), rig.grants()], [[], [], []]);
  });
}

test('a node with the label has the pool', async (t) => {
  const rig = new Rig();
  rig.pools = [poolOf({ nodeSelector: { zone: 'edge' } })];
  rig.labels = { zone: 'edge' };
  await rig.start();
  await rig.set(server(1));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('the address that a pool prescribes is the one of the mapping', async (t) => {
  const rig = new Rig();
  rig.network.setAddresses([...HOME, { family: 4, address: '198.51.100.7', device: 'eth1' }]);
  rig.pools = [poolOf({ hostIPs: cidrs('198.51.100.0/24') })];
  await rig.start();
  await rig.set(server(1));
  t.deepEqual(rig.rules(), ['198.51.100.7 . tcp . 20000 : 10.0.0.1 . 80']);
});

test('a namespace that has all it may have waits until one of its pods ends; other namespaces do not', async (t) => {
  const rig = new Rig();
  rig.pools = [poolOf({ maxPerNamespace: 2 })];
  await rig.start();

  // Step 1: the third of the namespace waits.
  const other = server(4, { namespace: 'shop' });
  await rig.set(server(1), server(2), server(3), other);
  t.is(rig.reason(server(3)), 'PoolExhausted');
  t.regex(
    rig.told(server(3))?.condition?.message ?? '',
    /has 2 host ports of pool "default" on this node and may have 2/,
  );
  t.is(rig.reason(other), 'PortsMapped');

  // Step 2: one ends. Its number rests, but it counts no more.
  await rig.delete(server(1));
  await rig.advance(1);
  t.is(rig.reason(server(3)), 'PortsMapped');
  t.is(rig.number(server(3)), 20_003);
});

test('a pod that has its numbers counts for itself, and not twice, when it asks for one more', async (t) => {
  const rig = new Rig();
  rig.pools = [poolOf({ maxPerNamespace: 2 })];
  await rig.start();
  await rig.set(asking({ 'berth.dev/ports': '9000' }));
  await rig.set(asking({ 'berth.dev/ports': '9000, 9001' }));
  t.is(rig.live().length, 2);
  await rig.set(asking({ 'berth.dev/ports': '9000, 9001, 9002' }));
  t.is(rig.reason(server(1)), 'PoolExhausted');
  t.is(rig.live().length, 2, 'what it has it keeps');
});

const changes: readonly (readonly [title: string, PoolConfig])[] = [
  ['has other ranges', poolOf({ ranges: [{ first: 30_000, last: 30_009 }] })],
  ['is closed to the namespace', poolOf({ namespaces: ['vip'] })],
  ['allows fewer ports', poolOf({ maxPortsPerPod: 1, maxPerNamespace: 1 })],
  ['is gone', poolOf({ name: 'other', ranges: [{ first: 30_000, last: 30_009 }] })],
];

for (const [title, pool] of changes) {
  test(`a live mapping stays until its pod ends when its pool ${title}`, async (t) => {
    const rig = new Rig();
    await rig.start();
    await rig.set(server(1), server(2));
    const rules = rig.rules();
    rig.takeSteps();

    rig.loop.setPools([pool]);
    await rig.settle();

    t.deepEqual(rig.rules(), rules);
    t.is(rig.live().length, 2);
    t.deepEqual(rig.takeSteps(), []);
  });
}
