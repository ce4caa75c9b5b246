/** Label selectors, as Kubernetes has them. */
import test from 'ava';
import { isSelected, type LabelSelector, selectorFault } from '../../../daemon/core/claims/selector.ts';

const term = (key: string, operator: string, ...values: readonly string[]) => ({ key, operator, values });
const by = (...matchExpressions: readonly ReturnType<typeof term>[]): LabelSelector => ({
  matchLabels: {},
  matchExpressions,
});

const CASES: readonly (readonly [string, LabelSelector, Readonly<Record<string, string>>, boolean])[] = [
  ['an empty one selects everything', by(), {}, true],
  ['a label that is there', { matchLabels: { a: '1' }, matchExpressions: [] }, { a: '1', b: '2' }, true],
  ['a label of another value', { matchLabels: { a: '1' }, matchExpressions: [] }, { a: '2' }, false],
  ['a label that is not there', { matchLabels: { a: '1' }, matchExpressions: [] }, {}, false],
  ['In', by(term('a', 'In', '1', '2')), { a: '2' }, true],
  ['In, of another value', by(term('a', 'In', '1', '2')), { a: '3' }, false],
  ['In, without the label', by(term('a', 'In', '1')), {}, false],
  ['NotIn', by(term('a', 'NotIn', '1')), { a: '2' }, true],
  ['NotIn, without the label', by(term('a', 'NotIn', '1')), {}, true],
  ['NotIn, of that value', by(term('a', 'NotIn', '1')), { a: '1' }, false],
  ['Exists', by(term('a', 'Exists')), { a: '' }, true],
  ['Exists, without the label', by(term('a', 'Exists')), {}, false],
  ['DoesNotExist', by(term('a', 'DoesNotExist')), {}, true],
  ['DoesNotExist, with the label', by(term('a', 'DoesNotExist')), { a: '1' }, false],
  ['all of them count', by(term('a', 'Exists'), term('b', 'Exists')), { a: '1' }, false],
  ['what every object inherits is no label', by(term('constructor', 'Exists')), {}, false],
];
for (const [what, selector, labels, selected] of CASES) {
  test(what, (t) => {
    t.is(selectorFault(selector), undefined);
    t.is(isSelected(selector, labels), selected);
  });
}

for (const [what, selector] of [
  ['an operator that is none', by(term('a', 'Like', '1'))],
  ['In without values', by(term('a', 'In'))],
  ['Exists with values', by(term('a', 'Exists', '1'))],
] as const) {
  test(`${what} selects nothing, and is said`, (t) => {
    t.is(typeof selectorFault(selector), 'string');
    t.false(isSelected(selector, { a: '1' }));
  });
}
