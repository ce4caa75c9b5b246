/** A pod of the same name and a new uid inherits the number of its predecessor, however it is heard of (I6, I7). */
import test from 'ava';
import type { Grant } from '../../daemon/core/state.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { encodeState } from '../../daemon/ops/stateformat.ts';
import { Rig, server } from './rig.ts';

const heir = (more: Partial<Pod> = {}) => server(1, { uid: 'uid-1b', createdAt: 50, podIPs: ['10.0.0.50'], ...more });

function grantOf(uid: string, hostPort: number, size = 1): Grant {
  const port = { name: 'web', protocol: 'TCP', pool: 'default', containerPort: 80 } as const;
  return { uid, namespace: 'games', pod: 'server-1', ...port, hostPort, size };
}

/** Every GET takes so many ms. */
function slowGets(rig: Rig, ms: number): void {
  rig.wrap = (world) => ({
    ...world,
    source: {
      watch: (observer, signal) => world.source.watch(observer, signal),
      get: async (namespace, name) => {
        await new Promise<void>((resolve) => rig.time.after(ms, resolve));
        return world.source.get(namespace, name);
      },
    },
  });
}

test('I7: nobody told of the end of the predecessor: its name is enough', async (t) => {
  const rig = new Rig();
  rig.source.set(server(2));
  rig.source.set(server(1));
  await rig.start();
  const number = rig.number(server(1));

  // Step 1: the watch breaks off, the pod is replaced, the next list holds the new one alone.
  rig.source.fail(new Error('away'));
  rig.source.set(heir());
  rig.source.recover();
  await rig.settle();
  t.is(rig.number(heir()), number);
  t.is(rig.live().length, 2);
});

test('I7: the pod was replaced while no agent ran, and the API server takes its time to say so', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1), server(2));
  await rig.stop();
  rig.reserver.crash();
  rig.source.set(heir());
  slowGets(rig, 200);
  await rig.start();
  t.is(rig.number(heir()), undefined);
  // What it is told meanwhile comes back as an event, so that it is asked for again.
  await rig.advance(400);
  t.is(rig.number(heir()), 20_000);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.50 . 80', 'tcp . 20001 : 10.0.0.2 . 80']);
});

test('I6: a crash between promise and rule: the heir keeps what it was promised, though the rule of the other stands', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1), server(2));

  // Step 1: the number is promised to the heir, and the kernel does not answer any more.
  let stuck = false;
  const { apply } = rig.datapath;
  rig.datapath.apply = (change) => (stuck ? new Promise(() => {}) : apply.call(rig.datapath, change));
  stuck = true;
  await rig.delete(server(1));
  await rig.set(heir());
  const text = encodeState({
    grants: [grantOf('uid-1', 20_000), grantOf('uid-1b', 20_000)],
    resting: [],
    settings: [],
  });
  rig.store.text = text;
  rig.reserver.crash();

  // Step 2: the next agent does not hear for long that the first pod is gone.
  slowGets(rig, 60_000);
  await rig.start();
  t.is(rig.number(heir()), 20_000);
  t.true(rig.rules().includes('tcp . 20000 : 10.0.0.50 . 80'));
});

test('I6: without any rule the file alone tells that a part of a block went to the heir', async (t) => {
  const rig = new Rig();
  rig.store.text = encodeState({
    grants: [grantOf('uid-1', 20_000, 4), grantOf('uid-1b', 20_000)],
    resting: [],
    settings: [],
  });
  rig.source.set(heir());
  slowGets(rig, 60_000);
  await rig.start();
  t.is(rig.number(heir()), 20_000);
});

test('I1: a pod of another name inherits nothing, whatever the order of the file', async (t) => {
  const rig = new Rig();
  const stranger = { ...grantOf('uid-2', 20_000), pod: 'server-2' };
  rig.store.text = encodeState({ grants: [grantOf('uid-1', 20_000), stranger], resting: [], settings: [] });
  rig.source.set(server(1));
  rig.source.set(server(2));
  await rig.start();
  t.is(rig.number(server(1)), 20_000);
  t.not(rig.number(server(2)), 20_000);
});
