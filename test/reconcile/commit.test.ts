import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { DatapathDouble } from '../../daemon/datapath/datapath.double.ts';
import { attempt, batches, commit } from '../../daemon/reconcile/commit.ts';
import { elementsOnce } from '../../daemon/reconcile/plan.ts';
import { type Element, elementId } from '../../rules/element.ts';
import { mappingFor } from './demands.ts';

const [one, two] = [mappingFor(1), mappingFor(2)];
const [ofOne, ofTwo] = [elementsOnce(one), elementsOnce(two)];
const NODE: Element = { set: 'nodeaddr4', key: '192.0.2.10', value: '', comment: '' };
const ALL = { remove: [], add: [NODE, ...ofOne, ...ofTwo] };

async function table(): Promise<DatapathDouble> {
  const datapath = new DatapathDouble();
  await datapath.read();
  return datapath;
}

test('a change that is accepted is one transaction', async (t) => {
  const datapath = await table();
  const done = await commit(datapath, ALL, [one, two], () => Promise.reject(new Error('not needed')));
  t.deepEqual(done, { change: ALL, reread: false, refused: new Map() });
  t.deepEqual(datapath.applied, [ALL]);
});

test('refused once, the difference is made anew and carried out whole', async (t) => {
  const datapath = await table();
  const [obstacle = NODE] = ofOne;
  datapath.ruleset.put({ ...obstacle, value: '10.6.6.6 . 1' });
  const again = { remove: [obstacle], add: [...ALL.add] };
  const done = await commit(datapath, ALL, [one, two], () => Promise.resolve(again));
  t.deepEqual(done, { change: again, reread: true, refused: new Map() });
  t.deepEqual(datapath.applied, [again]);
});

test('I8: refused twice, each pod has a transaction of its own and only the guilty one is left out', async (t) => {
  const datapath = await table();
  datapath.refuses = ({ comment }) => comment.startsWith('uid-1/');
  const done = await commit(datapath, ALL, [one, two], () => Promise.resolve(ALL));
  t.deepEqual(done.change, { remove: [], add: [NODE, ...ofTwo] });
  t.deepEqual([...done.refused.keys()], ofOne.map(elementId));
  t.deepEqual(datapath.ruleset.elements().map(elementId).sort(), [NODE, ...ofTwo].map(elementId).sort());
});

test('what is not the fault of an element stops everything', async (t) => {
  const datapath = await table();
  datapath.failNext('before', new BerthError('NFT_UNAVAILABLE', 'nft: Killed'));
  await t.throwsAsync(
    commit(datapath, ALL, [one, two], () => Promise.resolve(ALL)),
    { code: 'NFT_UNAVAILABLE' },
  );
  t.deepEqual(datapath.applied, []);
});

test('an empty change is no transaction', async (t) => {
  const datapath = await table();
  datapath.failNext('before');
  t.is(await attempt(datapath, { remove: [], add: [] }), undefined);
});

test('I8: batches: what belongs to no pod goes first, then one batch a pod', (t) => {
  t.deepEqual(batches({ remove: [], add: [...ofOne, NODE, ...ofTwo] }, [one, two]), [
    { remove: [], add: [NODE] },
    { remove: [], add: ofOne },
    { remove: [], add: ofTwo },
  ]);
});

test('I8: batches: a mapping is removed as a whole with the addition that takes its place, whoever\u2019s it was', (t) => {
  const mine = { ...two, hostPort: one.hostPort };
  const other = { ...one, name: 'other', hostPort: one.hostPort + 10 };
  t.deepEqual(batches({ remove: [...ofOne, ...elementsOnce(other)], add: elementsOnce(mine) }, [mine]), [
    { remove: [], add: [] },
    { remove: ofOne, add: elementsOnce(mine) },
    { remove: elementsOnce(other), add: [] },
  ]);
});

test('batches: removals of pods that are gone are one batch a pod, of strangers one a comment', (t) => {
  const stray: Element = { set: 'any4', key: 'tcp . 22', value: '10.6.6.6 . 22', comment: 'by hand' };
  t.deepEqual(batches({ remove: [...ofOne, stray, ...ofTwo], add: [] }, []), [
    { remove: [], add: [] },
    { remove: ofOne, add: [] },
    { remove: [stray], add: [] },
    { remove: ofTwo, add: [] },
  ]);
});
