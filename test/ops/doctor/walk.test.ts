import test from 'ava';
import { finding, firstBreak, HOPS, type HopCode, inOrder } from '../../../daemon/core/diagnosis.ts';
import { examineNode, examinePod } from '../../../daemon/ops/doctor/walk.ts';
import { NODE, podFacts, troubles } from './patients.ts';

test('where nothing is wrong every hop is in order, and every code is asked about', (t) => {
  const findings = examinePod(podFacts(), NODE);
  t.deepEqual(troubles(findings), []);
  t.deepEqual(
    findings.map(({ code }) => code),
    Object.keys(HOPS) as HopCode[],
  );
  t.is(firstBreak(findings), undefined);
  t.deepEqual(troubles(examineNode(NODE)), []);
});

test('the first break is the first on the way, whatever the order of finding', (t) => {
  const fail = (code: HopCode) => finding(code, 'fail', code, '');
  const found = [fail('BD701'), finding('BD101', 'ok', '', ''), fail('BD401'), fail('BD202')];
  t.is(firstBreak(found)?.code, 'BD202');
  t.deepEqual(
    inOrder(found).map(({ code }) => code),
    ['BD101', 'BD202', 'BD401', 'BD701'],
  );
});
