/** Whose turn it is: the number of a claim goes forward, and to ready pods only. */
import test from 'ava';
import fc from 'fast-check';
import { isNewer } from '../../daemon/core/podstate.ts';
import { isPast, successorOf } from '../../daemon/core/succession.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { podOf } from './pods.ts';

const pod = (createdAt: number, more: Partial<Pod> = {}) =>
  podOf({}, [], { uid: `uid-${createdAt}`, createdAt, ...more });
const ready = (createdAt: number, more: Partial<Pod> = {}) => pod(createdAt, { ready: true, ...more });
const ending = { terminating: true };

const CASES: readonly (readonly [
  title: string,
  candidates: readonly Pod[],
  holder: Pod | undefined,
  handover: 'OnReady' | 'OnTerminated',
  uid: string | undefined,
])[] = [
  ['nobody wants it', [], undefined, 'OnReady', undefined],
  ['the only one has it, ready or not', [pod(1)], undefined, 'OnReady', 'uid-1'],
  ['the only one has it, even while it is deleted', [pod(1, ending)], undefined, 'OnReady', 'uid-1'],
  ['of several the newest that is ready', [ready(1), ready(2), pod(3)], undefined, 'OnReady', 'uid-2'],
  ['none is ready: the oldest, whom any other can follow', [pod(2), pod(1)], undefined, 'OnReady', 'uid-1'],
  ['none is ready: not one that is being deleted', [pod(2), pod(1, ending)], undefined, 'OnReady', 'uid-2'],
  ['a holder keeps it from pods that are not ready', [pod(1), pod(2)], pod(1), 'OnReady', 'uid-1'],
  ['a newer pod that is ready follows', [pod(1), ready(2)], pod(1), 'OnReady', 'uid-2'],
  ['an older pod that is ready does not', [ready(1), pod(2)], pod(2), 'OnReady', 'uid-2'],
  ['of two newer ones the newest', [ready(2), ready(3)], ready(1), 'OnReady', 'uid-3'],
  ['a pod that is being deleted does not follow', [ready(2, ending)], ready(1), 'OnReady', 'uid-1'],
  ['a holder that is being deleted is followed by an older pod too', [ready(1)], ready(2, ending), 'OnReady', 'uid-1'],
  ['but not by one that is not ready', [pod(1)], ready(2, ending), 'OnReady', 'uid-2'],
  ['OnTerminated: the holder keeps it', [ready(2)], pod(1, ending), 'OnTerminated', 'uid-1'],
  ['OnTerminated: with nobody there it is as ever', [ready(2), pod(1)], undefined, 'OnTerminated', 'uid-2'],
];

for (const [title, candidates, holder, handover, uid] of CASES) {
  test(title, (t) => t.is(successorOf(candidates, holder, handover)?.uid, uid));
}

const pods = fc.uniqueArray(
  fc.record({
    createdAt: fc.nat(5),
    uid: fc.stringMatching(/^[a-d]{1,2}$/),
    ready: fc.boolean(),
    terminating: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6, selector: ({ uid }) => uid },
);

test('the number comes to rest in one step, wherever it was, and goes on to a ready pod only', (t) => {
  fc.assert(
    fc.property(pods, fc.nat(5), (specs, at) => {
      const all = specs.map((spec) => podOf({}, [], spec));
      const holder = all[at];
      const next = successorOf(all, holder, 'OnReady') as Pod;
      t.is(successorOf(all, next, 'OnReady')?.uid, next.uid);
      if (holder === undefined || next.uid === holder.uid) return;
      t.true(next.ready && !next.terminating);
      t.true(isNewer(next, holder) || holder.terminating);
      t.true(isPast(holder, next), 'it does not come back');
    }),
  );
});

test('readiness that comes and goes moves it forward only, and no more often than there are pods', (t) => {
  fc.assert(
    fc.property(pods, fc.array(fc.tuple(fc.nat(5), fc.boolean()), { maxLength: 40 }), (specs, changes) => {
      let all = specs.map((spec) => podOf({}, [], { ...spec, terminating: false }));
      let holder = successorOf(all, undefined, 'OnReady') as Pod;
      let moves = 0;
      for (const [index, isReady] of changes) {
        all = all.map((one, place) => (place === index ? { ...one, ready: isReady } : one));
        const next = successorOf(
          all,
          all.find(({ uid }) => uid === holder.uid),
          'OnReady',
        ) as Pod;
        if (next.uid === holder.uid) continue;
        t.true(isNewer(next, holder));
        holder = next;
        moves++;
      }
      t.true(moves < all.length);
    }),
  );
});
