import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BerthError } from '../../daemon/core/errors.ts';
import { StateFileDouble } from '../../daemon/ops/statefile.double.ts';
import { StateFile } from '../../daemon/ops/statefile.ts';
import type { StateStore } from '../../daemon/reconcile/ports.ts';
import { directory } from './disk.ts';
import { markOf, stateOf, states } from './states.ts';

const contract: readonly (readonly [string, (t: ExecutionContext, start: () => StateStore) => Promise<void>])[] = [
  [
    'nothing was saved: no state, no problem',
    async (t, start) => {
      t.deepEqual(await start().load(), { state: undefined });
    },
  ],
  [
    'what was saved is loaded, again and again',
    async (t, start) => {
      const store = start();
      await fc.assert(
        fc.asyncProperty(states, async (state) => {
          await store.save(state);
          t.deepEqual(await store.load(), { state });
          t.deepEqual(await store.load(), { state });
        }),
        { numRuns: 20 },
      );
    },
  ],
  [
    'of saves at the same time the newest is what stands there, and each has resolved',
    async (t, start) => {
      const store = start();
      await Promise.all([1, 2, 3, 4].map((mark) => store.save(stateOf(1, mark))));
      t.is(markOf((await store.load()).state), 4);
    },
  ],
];

for (const [title, run] of contract) {
  test(`double: ${title}`, (t) => run(t, () => new StateFileDouble()));
  test(`disk: ${title}`, (t) => run(t, () => new StateFile(directory(t))));
}

test('double: a save does not end in the call that began it', async (t) => {
  const store = new StateFileDouble();
  const saved = store.save(stateOf(1));
  t.true(store.unfinished);
  t.is(store.text, undefined);
  await saved;
  t.false(store.unfinished);
});

test('double: saves during a save are one write', async (t) => {
  const store = new StateFileDouble();
  await Promise.all([1, 2, 3, 4].map((mark) => store.save(stateOf(1, mark))));
  t.is(store.saves, 4);
  t.is(store.writes, 2);
});

test('double: a full disk refuses saves and changes nothing, until it is not full', async (t) => {
  const store = new StateFileDouble(stateOf(1, 1));
  store.fault = new BerthError('STATE_UNUSABLE', 'no space is left');
  await t.throwsAsync(store.save(stateOf(1, 2)), { code: 'STATE_UNUSABLE' });
  t.is(markOf((await store.load()).state), 1);
  store.fault = undefined;
  await store.save(stateOf(1, 3));
  t.is(markOf((await store.load()).state), 3);
});

for (const [survives, mark] of [
  ['old', 1],
  ['new', 2],
] as const) {
  test(`double: after a crash in a save the ${survives} state stands there, and a save that waited is lost`, async (t) => {
    const store = new StateFileDouble(stateOf(1, 1));
    store.stalled = true;
    void store.save(stateOf(1, 2));
    void store.save(stateOf(1, 3));
    store.crash(survives);
    t.is(markOf((await store.load()).state), mark);
    await store.save(stateOf(1, 4));
    t.is(markOf((await store.load()).state), 4);
  });
}

test('double: a slow disk ends its saves in order when it answers again', async (t) => {
  const store = new StateFileDouble();
  store.stalled = true;
  const saves = [1, 2].map((mark) => store.save(stateOf(1, mark)));
  t.true(store.unfinished);
  store.resume();
  await Promise.all(saves);
  t.is(markOf((await store.load()).state), 2);
});

test('double: a torn text is a problem once, as a file that is kept aside', async (t) => {
  const store = new StateFileDouble(stateOf(1));
  store.text = store.text?.slice(0, 50);
  t.regex((await store.load()).problem ?? '', /not JSON/);
  t.deepEqual(await store.load(), { state: undefined });
});
