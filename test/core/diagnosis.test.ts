import test from 'ava';
import { type FindingStatus, finding, firstBreak, HOPS, inOrder, seen, unseen } from '../../daemon/core/diagnosis.ts';

const ofStatus = (code: keyof typeof HOPS, status: FindingStatus) => finding(code, status, 'says', 'command');

test('a finding has the hop of its code, and names its port only when it has one', (t) => {
  t.deepEqual(finding('BD301', 'ok', 'the rule stands', 'nft list table inet berth'), {
    code: 'BD301',
    hop: 'rule',
    status: 'ok',
    says: 'the rule stands',
    command: 'nft list table inet berth',
  });
  t.is(finding('BD301', 'ok', '', '', 'web').port, 'web');
});

test('whatever a name holds, a finding cannot obey or mislead a terminal, and is bounded', (t) => {
  const { says, command, port } = finding(
    'BD102',
    'fail',
    '\u001b[2J\u202e',
    `x\n${'y'.repeat(5_000)}`,
    '\r'.repeat(99),
  );
  t.is(says, '\\x1b[2J\\u202e');
  t.true(command.startsWith('x\\ny'));
  t.is(command.length, 1_024);
  t.true((port?.length ?? 0) <= 64);
});

test('the way breaks at the first hop that fails, in the order of the codes', (t) => {
  const findings = [
    ofStatus('BD601', 'fail'),
    ofStatus('BD301', 'fail'),
    ofStatus('BD101', 'warn'),
    ofStatus('BD201', 'unknown'),
  ];
  t.is(firstBreak(findings)?.code, 'BD301');
  t.is(firstBreak([ofStatus('BD101', 'warn'), ofStatus('BD102', 'skipped'), ofStatus('BD103', 'ok')]), undefined);
  t.is(firstBreak([]), undefined);
});

test('findings are ordered by code; those of one code stay in their order', (t) => {
  const web = finding('BD301', 'ok', '', '', 'web');
  const admin = finding('BD301', 'ok', '', '', 'admin');
  const first = ofStatus('BD101', 'ok');
  t.deepEqual(inOrder([web, admin, first]), [first, web, admin]);
});

test('the codes are unique, ascending, and each names a hop of its own', (t) => {
  const codes = Object.keys(HOPS);
  t.deepEqual(codes, codes.toSorted());
  t.is(new Set(Object.values(HOPS)).size, codes.length);
  t.true(codes.every((code) => /^BD[1-7]\d\d$/.test(code)));
});

test('what could not be seen says why', (t) => {
  t.deepEqual(seen(undefined), { kind: 'seen', value: undefined });
  t.deepEqual(unseen('EPERM'), { kind: 'unseen', why: 'EPERM' });
});
