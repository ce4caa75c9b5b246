/** Who had which number from when to when: one record when a mapping begins, one when it ends, over restarts too. */
import test from 'ava';
import { Rig, server } from './rig.ts';

const told = (rig: Rig) =>
  rig.recorded('released').map(({ mapping, liveMs, givenAt }) => [mapping.pod.name, mapping.hostPort, liveMs, givenAt]);

test('a mapping that ends is told with how long it was live and since when the pod had the number', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.advance(5_000);
  const since = rig.time.wall;
  await rig.set(server(1));
  await rig.advance(60_000);
  await rig.delete(server(1));
  t.deepEqual(told(rig), [['server-1', 20_000, 60_000, since]]);
});

test('a mapping of an earlier agent is told with the time that the state file has, not with that of the restart', async (t) => {
  const rig = new Rig();
  await rig.start();
  const since = rig.time.wall;
  await rig.set(server(1));
  await rig.advance(600_000);
  await rig.restart();
  await rig.advance(1_000);
  await rig.delete(server(1));
  t.deepEqual(told(rig), [['server-1', 20_000, undefined, since]]);
});

test('a pod that ended while no agent ran is told once by the next agent', async (t) => {
  const rig = new Rig();
  await rig.start();
  const since = rig.time.wall;
  await rig.set(server(1), server(2));
  await rig.stop();
  rig.reserver.crash();
  rig.source.delete('games', 'server-1');
  await rig.start();
  await rig.advance(120_000);
  t.deepEqual(told(rig), [['server-1', 20_000, undefined, since]]);
  t.deepEqual(rig.live(), ['server-2/web TCP 20001']);
});
