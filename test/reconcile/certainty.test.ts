/** Nothing is removed before it is certain that nobody needs it (I6). */
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { Rig, server } from './rig.ts';

async function running(): Promise<Rig> {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1), server(2));
  return rig;
}

test('I6: nothing is removed, reserved or told before the first full list of pods is known', async (t) => {
  const rig = await running();
  await rig.stop();
  const rules = rig.rules();
  rig.reserver.crash();

  // Step 1: the next agent starts while the API server is away.
  rig.source.fail();
  rig.takeSteps();
  await rig.start();
  await rig.advance(300_000);
  t.deepEqual(rig.rules(), rules);
  // What stood is held again: no other process may take it meanwhile.
  t.deepEqual(rig.takeSteps(), ['reserve TCP 20000: held', 'reserve TCP 20001: held']);

  // Step 2: an event without a list is not enough to know who is gone.
  rig.loop.changed(server(1));
  await rig.settle();
  t.deepEqual(rig.rules(), rules);

  // Step 3: the list comes.
  rig.source.recover();
  await rig.settle();
  t.deepEqual(rig.rules(), rules);
  t.is(rig.live().length, 2);
});

test('I6: a known pod that a list lacks is asked for by name, and stays when it is still there', async (t) => {
  const rig = await running();
  rig.takeSteps();

  rig.source.relist([server(1)]);
  await rig.settle();

  t.deepEqual(rig.source.gets, ['games/server-2']);
  t.is(rig.live().length, 2);
  t.deepEqual(rig.takeSteps(), []);
});

test('I6: a pod whose deletion nobody told is removed when the GET answers that there is none', async (t) => {
  const rig = await running();
  rig.source.hold();
  rig.source.delete('games', 'server-2');
  rig.source.release(() => []);
  await rig.settle();
  t.is(rig.live().length, 2, 'nobody has heard of it');

  rig.source.relist();
  await rig.settle();

  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.deepEqual(rig.publisher.forgotten, ['uid-2']);
});

test('I6: a pod is removed when the GET answers another uid, and its successor keeps the number', async (t) => {
  const rig = await running();
  const successor = server(2, { uid: 'uid-2b', createdAt: 9, podIPs: ['10.0.0.12'] });
  rig.source.hold();
  rig.source.set(successor);
  rig.source.release(() => []);

  rig.source.relist([server(1)]);
  await rig.settle();

  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80', 'tcp . 20001 : 10.0.0.12 . 80']);
});

test('I6: while the API server does not answer, the pod stays; it is asked for again until it does', async (t) => {
  const rig = await running();
  rig.source.hold();
  rig.source.delete('games', 'server-2');
  rig.source.release(() => []);

  // Step 1: GET is away.
  rig.source.getFault = new BerthError('PODS_UNREADABLE', 'the API server does not answer');
  rig.source.relist();
  await rig.advance(10_000);
  t.is(rig.live().length, 2);
  t.true(rig.source.gets.length > 5, 'asked about once a second');
  t.true(rig.source.gets.length < 15);
  t.true(rig.recorded('failure').every(({ operation }) => operation === 'pods'));

  // Step 2: it is back.
  rig.source.getFault = undefined;
  await rig.advance(1_000);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('I6: pods of the last agent that the first list lacks are asked for by name before they lose anything', async (t) => {
  const rig = await running();
  await rig.stop();
  rig.reserver.crash();
  const old = [server(1)];

  // Step 1: the first list is old: it lacks a pod that lives.
  rig.source.hold();
  rig.source.getFault = new BerthError('PODS_UNREADABLE', 'away');
  await rig.start();
  rig.source.release(() => []);
  rig.source.relist(old);
  await rig.advance(5_000);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80', 'tcp . 20001 : 10.0.0.2 . 80']);

  // Step 2: the answer: it lives, and is announced again.
  rig.source.getFault = undefined;
  await rig.advance(1_000);
  t.is(rig.live().length, 2);
  t.deepEqual(rig.grants(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
});

test('I6: rules of pods that nobody knows by name wait for a list that is not from a cache', async (t) => {
  const rig = await running();
  await rig.stop();
  rig.reserver.crash();
  rig.store.text = undefined;
  rig.source.delete('games', 'server-2');

  // Step 1: no list can be had.
  rig.source.getFault = new BerthError('PODS_UNREADABLE', 'away');
  await rig.start();
  await rig.advance(5_000);
  t.is(rig.rules().length, 2);

  // Step 2: the list lacks the uid.
  rig.source.getFault = undefined;
  await rig.advance(1_000);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 20_000 }]);
});

test('I6: the API server is away for an hour, and everything stays as it is', async (t) => {
  const rig = await running();
  const rules = rig.rules();
  rig.takeSteps();
  rig.source.fail();
  await rig.advance(3_600_000);
  t.deepEqual(rig.rules(), rules);
  t.is(rig.live().length, 2);
  t.deepEqual(rig.takeSteps(), []);
});

test('a deletion event of a former life does not touch the present one', async (t) => {
  const rig = await running();
  rig.loop.deleted({ namespace: 'games', name: 'server-2', uid: 'uid-of-before' });
  await rig.settle();
  t.is(rig.live().length, 2);
});
