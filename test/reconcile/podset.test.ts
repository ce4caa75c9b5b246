import test from 'ava';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { PodSet } from '../../daemon/reconcile/podset.ts';
import { VirtualTime } from '../simulate/virtualtime.ts';
import { server } from './rig.ts';

function create(): { readonly pods: PodSet; readonly time: VirtualTime } {
  const time = new VirtualTime();
  const clock = { now: () => time.wall, monotonic: () => time.now, after: time.after.bind(time) };
  return { pods: new PodSet(clock), time };
}

const uids = (pods: PodSet) => [...pods.values()].map(({ uid }) => uid);

test('I6: it is complete with the first list, not with an event', (t) => {
  const { pods } = create();
  pods.set(server(1));
  t.false(pods.complete);
  pods.list([]);
  t.true(pods.complete);
  t.deepEqual(uids(pods), ['uid-1'], 'a list that lacks a pod does not drop it');
});

test('I6: pods of an earlier agent that a list lacks are suspects; those that it has are pods', (t) => {
  const { pods } = create();
  pods.inherit([server(1), server(2)]);
  t.deepEqual([...pods.unseenSuspects], []);
  pods.list([server(1)]);
  t.deepEqual([...pods.unseenSuspects], ['uid-2']);
  pods.set(server(2));
  t.deepEqual([...pods.unseenSuspects], []);
});

test('I6: a pod of an earlier agent that is told of without address or request is a suspect: so it was before it had a number', async (t) => {
  const { pods } = create();
  pods.inherit([server(1), server(2), server(3)]);
  const now = server(1);
  pods.list([server(1, { podIPs: [] }), server(2, { annotations: {} }), server(3, { podIPs: [], phase: 'Failed' })]);
  t.deepEqual([...pods.unseenSuspects], ['uid-1', 'uid-2']);
  t.deepEqual(uids(pods), ['uid-3'], 'one that has ended does not come back');
  pods.set(server(2, { podIPs: [] }));
  const source = { watch: async () => {}, get: async (_: string, name: string) => (name === now.name ? now : bare) };
  const bare = server(2, { podIPs: [] });
  const answered = new Promise<void>((resolve) => {
    let left = 2;
    pods.ask(
      source,
      () => --left === 0 && resolve(),
      (error) => t.fail(error.message),
    );
  });
  await answered;
  t.deepEqual([...pods.unseenSuspects], []);
  t.deepEqual([pods.get('uid-1'), pods.get('uid-2')], [now, bare], 'the answer counts, whatever it is');
});

test('an answer about a name tells of all that had it, also of those that only an earlier agent saw', async (t) => {
  const { pods } = create();
  const [first, second, now] = [1, 2, 3].map((index) => server(index, { name: 'server' }));
  pods.inherit([second as Pod, { namespace: '', name: '', uid: 'uid-4' }]);
  pods.list([first as Pod]);
  const never = new Promise<never>(() => {});
  let gets = 0;
  // The question about the one that was inherited is not answered; the one that the new pod of the name gives rise to is.
  const source = {
    watch: async () => {},
    get: () => (++gets === 1 ? never : Promise.resolve(now)),
    list: () => never,
  };
  const answered = new Promise<void>((resolve) => {
    pods.ask(source, resolve, (error) => t.fail(error.message));
    pods.set(now as Pod);
    pods.ask(source, resolve, (error) => t.fail(error.message));
  });
  await answered;
  t.deepEqual([gets, uids(pods)], [2, ['uid-3']]);
  t.deepEqual([...pods.unseenSuspects], ['uid-4'], 'of one whose name nobody knows it tells nothing');
});

test('a suspect that was seen by this agent is no unseen one: what it wants is known', (t) => {
  const { pods } = create();
  pods.list([server(1)]);
  pods.list([]);
  t.deepEqual([...pods.unseenSuspects], []);
});

test('a pod that is deleted is told as gone once, and not when it came back', (t) => {
  const { pods } = create();
  pods.list([server(1), server(2)]);
  pods.delete('uid-1');
  pods.delete('uid-2');
  pods.delete('uid-3');
  pods.set(server(2));
  t.deepEqual(
    pods.takeGone().map(({ uid }) => uid),
    ['uid-1'],
  );
  t.deepEqual(pods.takeGone(), []);
  t.deepEqual(uids(pods), ['uid-2']);
});

test('a pod of an earlier agent that is deleted is told as gone, with the name that was known', (t) => {
  const { pods } = create();
  pods.inherit([{ namespace: 'games', name: 'server-1', uid: 'uid-1' }]);
  pods.delete('uid-1');
  t.deepEqual(pods.takeGone(), [{ namespace: 'games', name: 'server-1', uid: 'uid-1' }]);
});

test('the moment counts at which a pod was first seen with an address, anew when it lost it', (t) => {
  const { pods, time } = create();
  pods.set(server(1, { podIPs: [] }));
  t.is(pods.addressedAt('uid-1'), undefined);
  time.step(100);
  pods.set(server(1));
  time.step(200);
  pods.set(server(1, { podIPs: ['10.0.0.9'] }));
  t.is(pods.addressedAt('uid-1'), 100);
  pods.set(server(1, { podIPs: [] }));
  time.step(300);
  pods.set(server(1));
  t.is(pods.addressedAt('uid-1'), 300);
  pods.delete('uid-1');
  t.is(pods.addressedAt('uid-1'), undefined);
});

test('an event may be repeated, and an older one may come late: the last one heard counts', (t) => {
  const { pods } = create();
  for (const podIPs of [['10.0.0.1'], ['10.0.0.1'], ['10.0.0.2']]) pods.set(server(1, { podIPs }));
  t.deepEqual(pods.get('uid-1')?.podIPs, ['10.0.0.2']);
  t.is(uids(pods).length, 1);
});
