/** A pass over many objects, on a machine on which each takes a millisecond. */
import test from 'ava';
import { ClaimController } from '../../daemon/claims/controller.ts';
import type { ClaimApi, ClaimEvent, ClaimObserver } from '../../daemon/claims/ports.ts';
import type { Claim, HostPortClass } from '../../daemon/core/claims/objects.ts';
import { decode } from '../../daemon/kube/claims/schema.ts';
import { VirtualTime } from '../simulate/virtualtime.ts';

const COUNT = 500;
const metadata = (name: string, more: object = {}) => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
  ...more,
});

function claim(name: string): Claim {
  return decode('claim', { metadata: metadata(name, { namespace: 'shop' }), spec: { hostPortClassName: 'games' } });
}

const games: HostPortClass = decode('class', {
  metadata: metadata('games'),
  spec: { pools: [{ start: 7000, end: 7999 }] },
});

/** Every look at the clock takes a millisecond, and nothing else does. */
function machine() {
  const time = new VirtualTime();
  const turns: number[] = [];
  const clock = {
    now: () => time.wall,
    monotonic: () => ++time.now,
    after: (ms: number, run: () => void) =>
      time.after(ms, () => {
        const began = time.now;
        run();
        turns.push(time.now - began);
      }),
  };
  return { time, clock, turns };
}

test('a pass over many objects leaves the process to its other work in between, and is one pass all the same', async (t) => {
  const { time, clock, turns } = machine();
  const told = Promise.withResolvers<ClaimObserver>();
  const held: string[] = [];
  const events: ClaimEvent[] = [];
  const api = {
    watch: (observer: ClaimObserver, signal: AbortSignal) => {
      told.resolve(observer);
      return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    },
    setFinalizers: async (_: string, { name }: { readonly name: string }) => {
      held.push(name);
      return { kind: 'stale' };
    },
  } as unknown as ClaimApi;
  const controller = new ClaimController({
    clock,
    random: () => 0.5,
    timestamp: () => '2026-01-01T00:00:00Z',
    api,
    recorder: { record: (event) => events.push(event) },
    nodePools: () => [],
  });
  const end = new AbortController();
  const running = controller.run(end.signal);
  const observer = await told.promise;
  const claims = Array.from({ length: COUNT }, (_, index) => claim(`web-${index}`));
  observer.listed('class', [games]);
  for (const kind of ['hostport', 'statefulset', 'namespace'] as const) observer.listed(kind, []);
  observer.listed('claim', claims);
  const passes = () => events.filter(({ kind }) => kind === 'pass').length;
  const step = async () => {
    t.true(time.step(time.now + 60_000));
    await new Promise((resolve) => setImmediate(resolve));
  };
  for (let count = 0; count < 20; count++) await step();
  t.is(passes(), 0, 'it is not through');
  // What is heard meanwhile is for the next one.
  observer.changed('claim', claim('late'));
  while (passes() === 0) await step();
  t.false(held.includes('late'));
  const first = events.find((event) => event.kind === 'pass');
  t.true(first?.kind === 'pass' && first.steps === COUNT + 1 && first.ms > 2 * COUNT, JSON.stringify(first));
  while (passes() === 1) await step();
  const second = events.findLast((event) => event.kind === 'pass');
  t.true(second?.kind === 'pass' && second.steps === COUNT + 2, JSON.stringify(second));
  t.true(Math.max(...turns) < 20, `${Math.max(...turns)} ms in one turn`);
  end.abort();
  await running;
});
