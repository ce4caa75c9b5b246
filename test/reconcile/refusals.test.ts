import test from 'ava';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { elementsOnce } from '../../daemon/reconcile/plan.ts';
import { Refusals } from '../../daemon/reconcile/refusals.ts';
import { elementId } from '../../rules/element.ts';
import { mappingFor } from './demands.ts';

const error = new Error('EINVAL');
const [one, two] = [mappingFor(1), mappingFor(2)];
const never = () => false;

function refusing(...mappings: readonly Mapping[]): ReadonlyMap<string, Error> {
  return new Map(mappings.flatMap((mapping) => elementsOnce(mapping).map((element) => [elementId(element), error])));
}

test('only the mapping of which an element was refused waits', (t) => {
  const refusals = new Refusals();
  refusals.note(refusing(one), [one, two], 0);
  t.is(refusals.get(one), error);
  t.is(refusals.get(two), undefined);
  t.deepEqual([refusals.waits(one, 0), refusals.waits(two, 0)], [true, false]);
});

test('I10: the wait is 1 s and doubles up to 60 s', (t) => {
  const refusals = new Refusals();
  const waits: number[] = [];
  let now = 0;
  for (let count = 0; count < 9; count++) {
    refusals.note(refusing(one), [one], now);
    const until = refusals.retryAt ?? 0;
    waits.push(until - now);
    t.true(refusals.waits(one, until - 1));
    t.false(refusals.waits(one, until));
    now = until;
  }
  t.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

test('the earliest of several is the time to try again', (t) => {
  const refusals = new Refusals();
  t.is(refusals.retryAt, undefined);
  refusals.note(refusing(one), [one], 500);
  refusals.note(refusing(two), [one, two], 200);
  t.is(refusals.retryAt, 1_200);
});

test('a mapping in another form is another mapping: it does not wait, and begins with 1 s', (t) => {
  const refusals = new Refusals();
  for (const now of [0, 1_000, 3_000]) refusals.note(refusing(one), [one], now);
  const changed = { ...one, podIPs: ['10.0.0.99'] };
  t.false(refusals.waits(changed, 3_001));
  t.is(refusals.get(changed), undefined);
  refusals.note(refusing(changed), [changed], 3_001);
  t.is(refusals.retryAt, 4_001);
});

test('a mapping that was tried and went through while another was refused is forgotten', (t) => {
  const refusals = new Refusals();
  refusals.note(refusing(one), [one, two], 0);
  refusals.note(refusing(two), [one, two], 1_000);
  t.is(refusals.get(one), undefined);
});

test('a mapping whose time has not come was not tried, and stays refused', (t) => {
  const refusals = new Refusals();
  refusals.note(refusing(one), [one, two], 0);
  refusals.note(refusing(two), [one, two], 999);
  t.is(refusals.get(one), error);
});

test('what is not wanted any more, and what stands after all, is forgotten', (t) => {
  const refusals = new Refusals();
  refusals.note(refusing(one, two), [one, two], 0);
  refusals.forget([one, two], never);
  t.is(refusals.get(one), error);
  refusals.forget([one, two], (mapping) => mapping === two);
  t.deepEqual([refusals.get(one), refusals.get(two)], [error, undefined]);
  refusals.forget([], never);
  t.is(refusals.get(one), undefined);
  t.is(refusals.retryAt, undefined);
});

test('what belongs to no wanted mapping is handed back', (t) => {
  const refusals = new Refusals();
  const others = refusals.note(refusing(one, two), [one], 0);
  t.deepEqual(others, refusing(two));
});
