/** Which number a pod gets: the one it had, else the least recently used free one, or it waits (I1, I7). */
import test from 'ava';
import { poolOf, Rig, server } from './rig.ts';

/** A pool of so many numbers from 20000 on. */
async function withNumbers(count: number): Promise<Rig> {
  const rig = new Rig();
  rig.pools = [poolOf({ ranges: [{ first: 20_000, last: 19_999 + count }] })];
  await rig.start();
  return rig;
}

test('an exhausted pool is told to the pod with the remedy, and heals when another pod ends', async (t) => {
  const rig = await withNumbers(1);
  await rig.set(server(1));

  // Step 1: there is nothing left.
  await rig.set(server(2));
  t.is(rig.reason(server(2)), 'PoolExhausted');
  t.is(
    rig.told(server(2))?.condition?.message,
    'pod games/server-2: port "web" (TCP): no free host port in pool "default" (20000); the pod gets one when another is released, or make the pool larger',
  );
  t.deepEqual(rig.said(server(2)), ['PoolExhausted']);

  // Step 2: the other one ends; its number rests.
  await rig.delete(server(1));
  t.is(rig.reason(server(2)), 'PoolExhausted');
  await rig.advance(59_000);
  t.deepEqual(rig.live(), []);

  // Step 3: the rest is over. No event was needed.
  await rig.advance(1_100);
  t.deepEqual(rig.live(), ['server-2/web TCP 20000']);
  t.is(rig.reason(server(2)), 'PortsMapped');
});

test('an exhausted pool heals at once when it is made larger', async (t) => {
  const rig = await withNumbers(1);
  await rig.set(server(1), server(2));
  rig.loop.setPools([poolOf()]);
  await rig.settle();
  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
});

test('I8: a pod that asks for more than there is takes nothing from one that asks for less', async (t) => {
  const rig = await withNumbers(3);
  const ports = [1, 2, 3, 4].map((containerPort) => ({ containerPort }));
  await rig.set(server(1, {}, ports), server(2));
  t.is(rig.reason(server(1)), 'PoolExhausted');
  t.deepEqual(rig.live(), ['server-2/web TCP 20000']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 20_000 }], 'what was tried for it was let go of');
});

test('I7: a released number rests for the quarantine of its pool before another pod gets it', async (t) => {
  const rig = await withNumbers(2);
  await rig.set(server(1));
  await rig.delete(server(1));
  await rig.set(server(2), server(3));
  t.deepEqual(rig.live(), ['server-2/web TCP 20001']);
  await rig.advance(60_001);
  t.deepEqual(rig.live(), ['server-2/web TCP 20001', 'server-3/web TCP 20000']);
});

test('I7: the least recently used number is given out first', async (t) => {
  const rig = await withNumbers(3);
  rig.loop.setPools([poolOf({ ranges: [{ first: 20_000, last: 20_002 }], quarantineMs: 0 })]);
  await rig.set(server(1), server(2), server(3));
  await rig.delete(server(2));
  await rig.delete(server(1));
  await rig.set(server(4));
  t.is(rig.number(server(4)), 20_001);
  await rig.set(server(5));
  t.is(rig.number(server(5)), 20_000);
});

test('I7: with nothing to remember the numbers begin at a random place of the pool', async (t) => {
  const rig = new Rig();
  rig.random = () => 0.75;
  await rig.start();
  await rig.set(server(1), server(2), server(3), server(4));
  t.deepEqual(
    [1, 2, 3, 4].map((index) => rig.number(server(index))),
    [20_007, 20_008, 20_009, 20_000],
  );
});

test('I7: a pod of the same name and a new uid gets its number back, though it rests', async (t) => {
  const rig = await withNumbers(10);
  await rig.set(server(1), server(2), server(3));
  const successor = server(2, { uid: 'uid-2b', podIPs: ['10.0.0.22'], createdAt: 100 });

  await rig.delete(server(2));
  await rig.set(server(4));
  await rig.set(successor);

  t.is(rig.number(server(4)), 20_003);
  t.is(rig.number(successor), 20_001);
  t.true(rig.rules().includes('tcp . 20001 : 10.0.0.22 . 80'));
});

test('I7: a former number is remembered over a restart, long after its rest', async (t) => {
  const rig = await withNumbers(10);
  await rig.set(server(1), server(2));
  await rig.delete(server(2));
  await rig.advance(600_000);
  await rig.restart();
  await rig.set(server(3));
  const successor = server(2, { uid: 'uid-2b', createdAt: 100 });
  await rig.set(successor);
  t.is(rig.number(server(3)), 20_002);
  t.is(rig.number(successor), 20_001);
});

test('a pod of the same name in another namespace has no claim to the number', async (t) => {
  const rig = await withNumbers(2);
  await rig.set(server(1), server(2));
  await rig.delete(server(2));
  const other = server(2, { uid: 'uid-other', namespace: 'elsewhere' });
  await rig.set(other);
  t.is(rig.reason(other), 'PoolExhausted');
});

test('I1: a number that another process holds is passed over, and tried again when it may be free', async (t) => {
  const rig = await withNumbers(1);
  const occupied = { protocol: 'TCP', port: 20_000 } as const;
  rig.reserver.occupy(occupied);

  // Step 1: the only number is taken.
  await rig.set(server(1));
  t.is(rig.reason(server(1)), 'PoolExhausted');
  rig.takeSteps();
  await rig.advance(20_000);
  const tries = rig.takeSteps().filter((step) => step === 'reserve TCP 20000: taken');
  t.is(tries.length, 4, 'once in five seconds');

  // Step 2: the other process ends.
  rig.reserver.vacate(occupied);
  await rig.advance(5_001);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('I1: a TCP and a UDP port of one container port get one number that is free for both', async (t) => {
  const rig = await withNumbers(3);
  rig.reserver.occupy({ protocol: 'UDP', port: 20_000 });
  const ports = [
    { name: 'dns', containerPort: 53 },
    { name: 'dns-udp', containerPort: 53, protocol: 'UDP' },
  ] as const;
  await rig.set(server(1, {}, ports));
  t.deepEqual(rig.grants(), ['server-1/dns TCP 20001', 'server-1/dns-udp UDP 20001']);
  t.deepEqual(
    rig.reserver.held().map(({ port }) => port),
    [20_001, 20_001],
  );
});

test('a block gets contiguous numbers, past one that another process holds', async (t) => {
  const rig = await withNumbers(10);
  rig.reserver.occupy({ protocol: 'UDP', port: 20_002 });
  await rig.set(server(1, { annotations: { 'berth.dev/ports': 'media=5/udp' } }));
  t.deepEqual(rig.grants(), ['server-1/media UDP 20003-20007']);
  t.deepEqual(rig.rules(), ['udp . 20003-20007 : 10.0.0.1']);
  t.is(rig.told(server(1))?.annotations['port.berth.dev/media'], '20003-20007');
});

test('numbers named exactly wait for their holder, and come when it is gone and its rest over', async (t) => {
  const rig = await withNumbers(10);
  const exact = (index: number) => server(index, { annotations: { 'berth.dev/ports': 'rtp=20003-20004/udp' } });
  await rig.set(exact(1), exact(2));
  t.is(rig.reason(exact(2)), 'PortConflict');
  await rig.delete(exact(1));
  await rig.advance(60_002);
  t.deepEqual(rig.live(), ['server-2/rtp UDP 20003-20004']);
});

test('numbers outside of the pool are a mistake in the request, not a shortage', async (t) => {
  const rig = await withNumbers(10);
  const pod = server(1, { annotations: { 'berth.dev/ports': 'rtp=9000-9001/udp' } });
  await rig.set(pod);
  t.is(rig.reason(pod), 'InvalidPortRequest');
  t.regex(rig.told(pod)?.condition?.message ?? '', /9000-9001 does not lie in pool "default" \(20000-20009\)/);
});

test('a port with the target "same" is sent to its own number', async (t) => {
  const rig = await withNumbers(10);
  await rig.set(server(1, { annotations: { 'berth.dev/ports': 'p2p=same/tcp+udp' } }));
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 20000', 'udp . 20000 : 10.0.0.1 . 20000']);
});

test('I8: when no socket can be had the pod is told why, and served when one can', async (t) => {
  const rig = await withNumbers(10);
  rig.reserver.exhausted = 'too many open files';
  await rig.set(server(1));
  t.regex(rig.told(server(1))?.condition?.message ?? '', /no host port can be reserved: too many open files/);
  rig.reserver.exhausted = undefined;
  await rig.advance(5_001);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});
