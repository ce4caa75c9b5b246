/** Others who have a number: static hostPorts of pods, and processes of the node. */
import test from 'ava';
import { Rig, server } from './rig.ts';

const fixed = (index: number, hostPort: number) =>
  server(index, { annotations: {} }, [{ name: 'fixed', containerPort: 80, hostPort }]);

test('a static hostPort is never given out while its pod lives', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(fixed(1, 20_000));
  await rig.set(server(2));
  t.is(rig.number(server(2)), 20_001);
  await rig.set(fixed(1, 20_000), { ...fixed(1, 20_000), phase: 'Succeeded' });
  await rig.set(server(3));
  t.is(rig.number(server(3)), 20_000);
});

test('a static hostPort on a number that was given already is told to both pods, once; the mapping stays', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));

  // Step 1: the scheduler knew nothing of the number.
  await rig.set(fixed(2, 20_000));
  t.deepEqual(rig.said(server(1)), ['PortsMapped', 'PortConflict']);
  t.deepEqual(rig.said(fixed(2, 20_000)), ['PortConflict']);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);

  // Step 2: passes come and go.
  await rig.advance(200_000);
  t.is(rig.said(server(1)).length, 2);

  // Step 3: it goes, and comes again: that is a new conflict.
  await rig.delete(fixed(2, 20_000));
  await rig.set(fixed(3, 20_000));
  t.deepEqual(rig.said(server(1)), ['PortsMapped', 'PortConflict', 'PortConflict']);
});

test('a static hostPort of another protocol is no conflict', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(2, { annotations: {} }, [{ containerPort: 80, hostPort: 20_000, protocol: 'UDP' }]));
  await rig.set(server(1));
  t.is(rig.number(server(1)), 20_000);
  t.deepEqual(rig.said(server(1)), ['PortsMapped']);
});

test('I6: a number that another process took while no agent ran keeps its mapping; the socket is tried again', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const taken = { protocol: 'TCP', port: 20_000 } as const;

  // Step 1: it is taken while no agent runs.
  await rig.stop();
  rig.reserver.crash();
  rig.reserver.occupy(taken);
  await rig.start();
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
  t.deepEqual(rig.said(server(1)), ['PortsMapped', 'PortConflict']);
  t.deepEqual(
    rig.recorded('conflict').map(({ reservation, pod }) => [reservation, pod.name]),
    [[taken, 'server-1']],
  );

  // Step 2: it is not told again and again.
  await rig.advance(120_000);
  t.is(rig.said(server(1)).length, 2);
  t.is(rig.recorded('conflict').length, 1);

  // Step 3: the process ends.
  rig.reserver.vacate(taken);
  await rig.advance(5_001);
  t.deepEqual(rig.reserver.held(), [taken]);
});

test('I1: the number of a pod that ends is not given out while another process holds it', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  await rig.delete(server(1));
  rig.reserver.occupy({ protocol: 'TCP', port: 20_000 });
  const successor = server(1, { uid: 'uid-1b', createdAt: 9 });
  await rig.set(successor);
  t.is(rig.number(successor), 20_001);
});
