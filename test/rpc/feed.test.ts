import test from 'ava';
import fc from 'fast-check';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { ChangeFeed } from '../../daemon/rpc/feed.ts';
import { computedTime } from './clock.ts';
import { mapping } from './fixture.ts';

const INTERVAL_MS = 50;

function scene() {
  const registry = new MappingRegistry(100_000);
  const { clock, pass } = computedTime();
  const feed = new ChangeFeed(registry, clock, INTERVAL_MS);
  let made = 0;
  return {
    registry,
    feed,
    /** How many batches were made. */
    get made() {
      return made;
    },
    /** So many changes, and the interval in which they are told of. */
    pass: (changes: number) => {
      for (let count = 0; count < changes; count += 1) {
        registry.set('n1', { ...mapping('cart-0'), hostPort: 1 + (registry.revision % 60_000) }, 0);
      }
      pass(INTERVAL_MS);
    },
    /** One step of a watcher that has come to the revision. */
    step: (from: number) => {
      const to = feed.next(from);
      feed.batch('{}', from, to, () => {
        made += 1;
        return [Buffer.from(`${from} ${to}`)];
      });
      return to;
    },
  };
}

test('however late each of many watchers is, what they are sent is made about once an interval', (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(7), { minLength: 40, maxLength: 40 }), { maxLength: 30 }), (lateness) => {
      const stage = scene();
      stage.pass(1);
      const watchers = lateness.map((late) => ({ at: stage.feed.revision, late, due: 0 }));
      for (let interval = 0; interval < 40; interval += 1) {
        stage.pass(3);
        for (const watcher of watchers) {
          // Its connection takes so many intervals to take what it was sent.
          if (watcher.due > interval) continue;
          watcher.due = interval + (watcher.late[interval] ?? 0);
          while (watcher.at < stage.feed.revision) watcher.at = stage.step(watcher.at);
        }
      }
      t.true(stage.made <= 40, `${stage.made} for ${watchers.length} watchers`);
    }),
    { numRuns: 50 },
  );
});

test('also of those that lag by thousands of changes all go by the same steps, and each is made once', (t) => {
  const stage = scene();
  const began = Array.from({ length: 100 }, () => {
    stage.pass(3);
    return stage.feed.revision;
  });
  for (let interval = 0; interval < 20; interval += 1) stage.pass(1_000);
  for (let from of began) {
    let steps = 0;
    for (; from < stage.feed.revision; steps += 1) from = stage.step(from);
    t.true(steps <= 8, `${steps} steps`);
  }
  // The first step of each, and seven that all have in common.
  t.is(stage.made, began.length + 7);
});

test('I10: what is kept of steps is bounded, and forgotten when nobody goes them any more', (t) => {
  const stage = scene();
  stage.pass(1);
  const large = () =>
    stage.feed.batch('large', stage.feed.revision - 1, stage.feed.revision, () => [Buffer.alloc(3 << 20)]);
  const [kept] = large();
  t.is(large()[0], kept);
  for (let interval = 0; interval < 8; interval += 1) {
    stage.pass(1);
    large();
    t.true(stage.feed.bytes <= 16 << 20);
  }
  t.true(stage.feed.bytes > 12 << 20);
  for (let interval = 0; interval < 9; interval += 1) stage.pass(1);
  t.is(stage.feed.bytes, 0);
});

test('who comes from a revision between two steps goes to the next one', (t) => {
  const stage = scene();
  stage.pass(4);
  stage.pass(4);
  stage.pass(4);
  t.is(stage.feed.revision, 12);
  t.is(stage.feed.next(6), 8);
  t.is(stage.feed.next(8), 12);
});
