/** A disk that is full or slow is told of, and delays nobody for long. */
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { Rig, server } from './rig.ts';

const FULL = new BerthError('STATE_UNUSABLE', 'ENOSPC: no space left on device');

function stateTrouble(rig: Rig): readonly string[] {
  return rig.events.flatMap((event) =>
    (event.kind === 'failure' || event.kind === 'recovered') && event.operation === 'state' ? [event.kind] : [],
  );
}

test('I3: with a full disk pods are served all the same, and the state is written when there is room', async (t) => {
  const rig = new Rig();
  await rig.start();

  // Step 1: the disk is full.
  rig.store.fault = FULL;
  await rig.set(server(1));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.true(stateTrouble(rig).length > 0);
  t.notRegex(rig.store.text ?? '', /20000/);

  // Step 2: it has room again. No event was needed.
  rig.store.fault = undefined;
  await rig.advance(5_001);
  t.regex(rig.store.text ?? '', /"hostPort":20000/);
  t.is(stateTrouble(rig).at(-1), 'recovered');
});

test('I10: a full disk is tried once in five seconds, not without pause', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.store.fault = FULL;
  await rig.set(server(1));
  const { saves } = rig.store;
  await rig.advance(50_000);
  const tries = rig.store.saves - saves;
  t.true(tries >= 9 && tries <= 11, `${tries} tries`);
});

test('a promise waits a second for a disk that does not answer, and the next one does not wait', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.store.stalled = true;

  // Step 1: the promise waits.
  await rig.set(server(1));
  await rig.advance(999);
  t.is(rig.told(server(1)), undefined);

  // Step 2: it has waited long enough.
  await rig.advance(1);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.deepEqual(stateTrouble(rig), ['failure']);

  // Step 3: the disk is known to be slow.
  await rig.set(server(2));
  t.is(rig.live().length, 2);

  // Step 4: it answers, with what is true now.
  rig.store.resume();
  await rig.settle();
  t.regex(rig.store.text ?? '', /"hostPort":20001/);
  t.deepEqual(stateTrouble(rig), ['failure', 'recovered']);

  // Step 5: promises wait again.
  rig.store.stalled = true;
  await rig.set(server(3));
  t.is(rig.told(server(3)), undefined);
});

test('I8: a pod that asks for nothing new does not wait for the disk', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1, { podIPs: [] }));
  rig.store.stalled = true;
  await rig.set(server(1));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('nothing is written while nothing changes', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const { saves } = rig.store;
  await rig.advance(600_000);
  await rig.set(server(1, { podIPs: ['10.0.0.99'] }));
  t.is(rig.store.saves, saves);
});

test('a state file that cannot be read is told of, and the agent starts without it', async (t) => {
  const rig = new Rig();
  rig.store.text = '{"torn';
  await rig.start();
  await rig.set(server(1));
  t.is(stateTrouble(rig)[0], 'failure');
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.regex(rig.store.text ?? '', /"hostPort":20000/);
});

test('a kernel setting that Berth changed is remembered with what stood there first', async (t) => {
  const rig = new Rig();
  rig.network.setRoute({ podIP: '10.0.0.1', device: 'cni0', bridge: false });
  await rig.start();
  await rig.set(server(1));
  const before = { setting: 'net.ipv4.conf.cni0.route_localnet', before: '0' };
  t.deepEqual((await rig.store.load()).state?.settings, [before]);
  // The next agent finds its predecessor's work: that is not what stood there first.
  await rig.restart();
  t.deepEqual((await rig.store.load()).state?.settings, [before]);
});
