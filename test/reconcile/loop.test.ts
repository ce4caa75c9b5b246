/** When passes run: at once for a lone event, one at a time, together for what waits, and again after a failure. */
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import type { World } from '../../daemon/reconcile/ports.ts';
import { Rig, server } from './rig.ts';

/** A gate at the kernel's table: transactions wait at it while it is closed. */
class Gate {
  waiting = 0;
  /** The most that waited at a time. */
  most = 0;
  #open: PromiseWithResolvers<void> | undefined;

  close(): void {
    this.#open = Promise.withResolvers();
  }

  open(): void {
    this.#open?.resolve();
    this.#open = undefined;
  }

  readonly wrap = (world: World): World => ({
    ...world,
    datapath: {
      ...world.datapath,
      apply: async (change) => {
        this.waiting++;
        this.most = Math.max(this.most, this.waiting);
        await this.#open?.promise;
        this.waiting--;
        await world.datapath.apply(change);
      },
    },
  });
}

function gated(): { readonly rig: Rig; readonly gate: Gate } {
  const rig = new Rig();
  const gate = new Gate();
  rig.wrap = gate.wrap;
  rig.echoes = false;
  return { rig, gate };
}

const passes = (rig: Rig) => rig.recorded('pass').length;
const fullPasses = (rig: Rig) => rig.recorded('pass').filter(({ full }) => full).length;

test('a lone event starts a pass at once, without any timer', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  t.is(rig.time.now, 0);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('one pass at a time: what comes while one runs waits for it, together', async (t) => {
  const { rig, gate } = gated();
  await rig.start();

  // Step 1: a pass is stuck in the kernel.
  gate.close();
  await rig.set(server(1));
  const before = passes(rig);
  for (const index of [2, 3, 4, 5]) await rig.set(server(index));
  t.is(gate.waiting, 1);

  // Step 2: the kernel answers. One pass for the first event, one for the other four.
  gate.open();
  await rig.settle();
  t.is(rig.live().length, 5);
  t.is(passes(rig), before + 2);
  t.is(gate.most, 1);
});

test('an idle agent runs no pass but the full one, once a minute, jittered by a tenth', async (t) => {
  for (const [random, least, most] of [
    [0, 57_000, 57_100],
    [0.999, 62_900, 63_000],
  ] as const) {
    const rig = new Rig();
    rig.random = () => random;
    await rig.start();
    const [before, full] = [passes(rig), fullPasses(rig)];
    await rig.advance(least - 1);
    t.is(passes(rig), before);
    await rig.advance(most - least + 1);
    t.is(passes(rig), before + 1);
    t.is(fullPasses(rig), full + 1);
    await rig.advance(600_000);
    t.is(fullPasses(rig), full + 1 + Math.floor((600_000 + most - least) / least));
  }
});

test('an event does not read the table again; a foreign change does', async (t) => {
  const rig = new Rig();
  await rig.start();
  const { reads } = rig.datapath;
  await rig.set(server(1), server(2));
  await rig.delete(server(2));
  t.is(rig.datapath.reads, reads);
  rig.ruleset.touch();
  await rig.settle();
  t.is(rig.datapath.reads, reads + 1);
});

test('a foreign change that comes while a pass runs is looked at by the next one', async (t) => {
  const { rig, gate } = gated();
  await rig.start();
  await rig.set(server(1));
  gate.close();
  await rig.set(server(2));
  rig.ruleset.flush();
  gate.open();
  await rig.settle();
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80', 'tcp . 20001 : 10.0.0.2 . 80']);
});

test('I10: after a failure the loop waits longer and longer, up to a second, whatever events come', async (t) => {
  const rig = new Rig();
  rig.random = () => 0.999_999;
  const tries: number[] = [];
  rig.wrap = (world) => ({
    ...world,
    datapath: {
      ...world.datapath,
      apply: async () => {
        tries.push(Math.round(rig.time.now));
        throw new BerthError('NFT_UNAVAILABLE', 'away');
      },
    },
  });
  await rig.start();
  for (let second = 0; second < 50; second++) {
    await rig.set(server(1, { createdAt: second }));
    await rig.advance(100);
  }
  t.deepEqual(tries, [0, 100, 300, 700, 1_500, 2_500, 3_500, 4_500]);
  t.is(rig.loop.lastFailure, 'away');
});

test('a kernel that cannot be asked at start is asked again, and nobody is watched before', async (t) => {
  const rig = new Rig();
  rig.source.set(server(1));
  rig.wrap = (world) => {
    for (let count = 0; count < 5; count++) rig.datapath.failNext('before');
    return world;
  };

  // Step 1: it cannot.
  await rig.start();
  await rig.advance(500);
  t.is(rig.network.watchers, 0);
  t.deepEqual(new Set(rig.recorded('failure').map(({ operation }) => operation)), new Set(['start']));

  // Step 2: it can.
  await rig.advance(2_000);
  t.is(rig.network.watchers, 1);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.is(rig.recorded('recovered').length, 1);
});

test('an agent that is stopped while it waits for the kernel ends', async (t) => {
  const rig = new Rig();
  rig.wrap = (world) => ({
    ...world,
    datapath: { ...world.datapath, read: () => Promise.reject(new BerthError('NFT_UNAVAILABLE', 'away')) },
  });
  await rig.start();
  t.false(rig.ended);
  await rig.stop();
  t.true(rig.ended);
});

test('I6: stop waits for the pass at hand, begins no other, and leaves rules and sockets as they are', async (t) => {
  const { rig, gate } = gated();
  await rig.start();
  await rig.set(server(1));

  // Step 1: a pass is under way when the agent is stopped, and more is to be done.
  gate.close();
  await rig.set(server(2));
  await rig.set(server(3));
  await rig.stop();
  t.false(rig.ended);

  // Step 2: it comes to its end.
  gate.open();
  await rig.settle();
  t.true(rig.ended);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80', 'tcp . 20001 : 10.0.0.2 . 80']);
  t.is(rig.reserver.held().length, 2);

  // Step 3: nothing that happens now has any effect.
  const steps = rig.takeSteps();
  rig.ruleset.touch();
  rig.network.changed();
  await rig.set(server(4));
  t.true(steps.length > 0);
  t.deepEqual(rig.takeSteps(), []);
});

test('nothing is left running when an idle agent has stopped', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  await rig.stop();
  t.true(rig.ended);
  t.is(rig.network.watchers, 0);
  t.false(rig.time.step(Number.MAX_SAFE_INTEGER), 'no timer is left');
});

test('nothing is left running when the agent was stopped in a full pass, or in one that has to come again', async (t) => {
  const { rig, gate } = gated();
  await rig.start();
  gate.close();
  rig.flows.fault = () => {
    throw new Error('ENOBUFS');
  };
  await rig.set(server(1));
  rig.ruleset.touch();
  await rig.stop();
  t.false(rig.ended);
  gate.open();
  await rig.settle();
  t.true(rig.ended);
  t.false(rig.time.step(Number.POSITIVE_INFINITY), 'a timer is left');
});
