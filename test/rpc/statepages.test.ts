import test from 'ava';
import type { LiveMapping } from '../../daemon/core/livemapping.ts';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { approximateBytes, toMessage } from '../../daemon/rpc/convert.ts';
import { ChangeFeed } from '../../daemon/rpc/feed.ts';
import { StatePages } from '../../daemon/rpc/statepages.ts';
import { Watcher } from '../../daemon/rpc/watcher.ts';
import { MappingService } from '../../proto/service.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that passes when it is told to; what is due at once comes in the next turn by itself. */
function time() {
  let now = 0;
  const timers = new Set<Timer>();
  return {
    timers,
    monotonic: () => now,
    after: (ms: number, callback: () => void) => {
      if (ms === 0) {
        const immediate = setImmediate(callback);
        return () => clearImmediate(immediate);
      }
      const timer = { at: now + ms, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    pass: (ms: number) => {
      now += ms;
      for (const timer of timers) {
        if (timer.at > now) continue;
        timers.delete(timer);
        timer.callback();
      }
    },
  };
}

const format = {
  message: (live: LiveMapping) => toMessage(live, []),
  bytes: (live: LiveMapping) => approximateBytes(live, []),
};

function scene(mappings: number, history?: number) {
  const clock = time();
  const registry = new MappingRegistry(history);
  const set = (pod: string, hostPort = 20_000) => {
    const ref = { namespace: 'shop', name: pod, uid: `uid-of-${pod}` };
    const target = { pool: 'default', hostPort, size: 1, containerPort: 80, podIPs: ['10.0.0.5'] };
    registry.set('n1', { pod: ref, name: 'web', protocol: 'TCP', ...target }, 1_000);
  };
  for (let index = 0; index < mappings; index += 1) set(podName(index));
  return { clock, registry, set, pages: new StatePages({ registry, clock, format }) };
}

function podName(index: number): string {
  return `cart-${String(index).padStart(6, '0')}`;
}

async function podsOf(pages: StatePages): Promise<string[]> {
  const pods: string[] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const { changes, last } = await pages.page({}, after);
    pods.push(...MappingService.watch.responseDeserialize(changes).changes.map(({ set }) => set?.pod ?? ''));
    after = last;
  }
  return pods;
}

test('page by page it is the whole state', async (t) => {
  const { pages } = scene(2_000);
  t.true((await pages.page({}, '')).last !== undefined);
  t.deepEqual(
    await podsOf(pages),
    Array.from({ length: 2_000 }, (_, index) => podName(index)),
  );
});

test('a page is made once for all who ask for it within seconds, by the same filter', async (t) => {
  const { clock, set, pages } = scene(3);
  const [first, second] = await Promise.all([pages.page({}, ''), pages.page({}, '')]);
  t.is(first, second);
  set('later');
  clock.pass(4_999);
  t.is(await pages.page({}, ''), first);
  t.not(await pages.page({ namespace: 'shop' }, ''), first);
});

test('a page that is older is made anew, and nothing is kept of it', async (t) => {
  const { clock, registry, set, pages } = scene(3);
  const first = await pages.page({}, '');
  set('later');
  clock.pass(5_000);
  t.is(pages.bytes, 0);
  t.is(clock.timers.size, 0);
  const second = await pages.page({}, '');
  t.is(second.revision, registry.revision);
  t.true(second.changes.length > first.changes.length);
});

test('a page is used only as long as it is known what changed since', async (t) => {
  const { registry, set, pages } = scene(3, 10);
  for (let port = 1; port <= 10; port += 1) set('warm', port);
  const first = await pages.page({}, '');
  for (let port = 1; port <= 5; port += 1) set('later', port);
  t.is(await pages.page({}, ''), first);
  set('later', 6);
  t.is((await pages.page({}, '')).revision, registry.revision);
});

test('I10: what is kept is bounded, whatever is asked for', async (t) => {
  const { pages } = scene(2_000);
  for (let index = 0; index < 400; index += 1) await pages.page({}, `shop\0${podName(index)}`);
  t.true(pages.bytes > 8 * 1024 * 1024);
  t.true(pages.bytes <= 16 * 1024 * 1024);
});

test('at the end whoever waits for a page gets it, and nothing is kept or left running', async (t) => {
  const { clock, pages } = scene(3);
  const asked = ['', 'a', 'b'].map((after) => pages.page({}, after));
  pages[Symbol.dispose]();
  t.is((await Promise.all(asked)).length, 3);
  t.is(pages.bytes, 0);
  t.is(clock.timers.size, 0);
});

test('whoever begins to watch while pages are shared and the state changes knows the state when it is synced', async (t) => {
  const { clock, registry, set, pages } = scene(2_000);
  using feed = new ChangeFeed(registry, clock, 50);
  const begin = async () => {
    const known = new Map<string, number>();
    const told = Promise.withResolvers<ReadonlyMap<string, number>>();
    const write = (answer: Buffer, written: () => void) => {
      const { changes, synced } = MappingService.watch.responseDeserialize(answer.subarray(5));
      for (const { set: live, deleted } of changes) {
        if (live) known.set(live.pod ?? '', live.hostPort ?? 0);
        if (deleted) known.delete(deleted.pod ?? '');
      }
      if (synced) {
        told.resolve(new Map(registry.all({}).map(({ mapping }) => [mapping.pod.name, mapping.hostPort])));
        return;
      }
      // In pages that were told and in pages that were not.
      set(podName(known.size - 1), 30_000 + known.size);
      set(podName(Math.max(8, 1_900 - known.size)), 40_000 + known.size);
      registry.delete('n1', { namespace: 'shop', name: podName(7), uid: `uid-of-${podName(7)}` }, 'web', 'TCP');
      setImmediate(written);
    };
    const watched = { feed, pages, filter: {}, format: () => ({ ...format, token: String, freshness: {} }) };
    const watcher = new Watcher({ write }, watched);
    const run = watcher.run(undefined);
    const expected = await told.promise;
    const toldThen = new Map(known);
    watcher.end();
    await run;
    return { known: toldThen, expected };
  };
  const first = begin();
  await new Promise(setImmediate);
  for (const { known, expected } of await Promise.all([first, begin(), begin()])) {
    t.is(known.size, 1_999);
    t.deepEqual([...known].sort(), [...expected].sort());
  }
});
