import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { DatapathDouble, RulesetDouble } from '../../daemon/datapath/datapath.double.ts';
import type { Element } from '../../rules/element.ts';
import { elementsOf } from '../../rules/elements.ts';
import { mapping } from '../rules/mappings.ts';

const elements = elementsOf(mapping());
const add = { remove: [], add: elements };

/** A double with a table and elements in it, and a counter of what its watcher is told. */
async function standing() {
  const double = new DatapathDouble();
  await double.read();
  await double.apply(add);
  const told = { times: 0 };
  const ended = new AbortController();
  double.watch(() => told.times++, ended.signal);
  return { double, ruleset: double.ruleset, told, ended };
}

test('own commits are told to nobody, every foreign change is told', async (t) => {
  const { double, ruleset, told, ended } = await standing();
  await double.apply({ remove: elements, add: [] });
  await double.read();
  t.is(told.times, 0);
  ruleset.touch();
  ruleset.put(elements[0] as Element);
  ruleset.damage('rules of chain pre');
  t.is(
    ruleset.remove(() => true),
    1,
  );
  ruleset.flush();
  t.is(told.times, 5);
  ruleset.deaf = true;
  ruleset.touch();
  t.is(told.times, 5);
  ruleset.deaf = false;
  ended.abort();
  ruleset.touch();
  t.is(told.times, 5);
});

test('a read puts right what was damaged, says so once, and keeps the elements', async (t) => {
  const { double, ruleset } = await standing();
  ruleset.damage('changed: rules of chain pre');
  t.deepEqual(await double.read(), { elements, repaired: 'changed: rules of chain pre' });
  t.deepEqual(await double.read(), { elements, repaired: '' });
});

test('after a flush a change is refused until a read has made the table anew', async (t) => {
  const { double, ruleset } = await standing();
  ruleset.flush();
  t.false(ruleset.hasTable);
  t.like(await t.throwsAsync(double.apply(add), { instanceOf: BerthError }), { code: 'NFT_REFUSED' });
  t.deepEqual(await double.read(), { elements: [], repaired: 'the table was deleted' });
  await double.apply(add);
  t.deepEqual(ruleset.elements(), elements);
});

test('the ruleset outlives the agent: another adapter finds the elements, and nothing to put right', async (t) => {
  const { ruleset } = await standing();
  t.deepEqual(await new DatapathDouble(ruleset).read(), { elements, repaired: '' });
});

test('a fault before a commit leaves everything as it was, a fault after it loses only the answer', async (t) => {
  const double = new DatapathDouble(new RulesetDouble());
  await double.read();
  double.failNext('before');
  t.like(await t.throwsAsync(double.apply(add), { instanceOf: BerthError }), { code: 'NFT_UNAVAILABLE' });
  t.deepEqual(double.ruleset.elements(), []);
  double.failNext('after', new Error('lost'));
  await t.throwsAsync(double.apply(add), { message: 'lost' });
  t.deepEqual(double.ruleset.elements(), elements);
  double.failNext('before');
  await t.throwsAsync(double.read());
  t.deepEqual((await double.read()).elements, elements);
});

test('an element can be refused whatever the reason, and takes its transaction with it', async (t) => {
  const double = new DatapathDouble();
  await double.read();
  double.refuses = ({ set }) => set === 'hairpin6';
  t.like(await t.throwsAsync(double.apply(add), { instanceOf: BerthError }), { code: 'NFT_REFUSED' });
  t.deepEqual(double.ruleset.elements(), []);
  t.deepEqual(double.applied, []);
});
