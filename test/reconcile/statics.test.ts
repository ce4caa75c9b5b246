import test from 'ava';
import { Ledger } from '../../daemon/core/ledger.ts';
import { conflictMessage, conflictsOf, staticsOf } from '../../daemon/reconcile/statics.ts';
import { grantOf } from './demands.ts';
import { server } from './rig.ts';

const fixed = server(2, {}, [
  { containerPort: 80, hostPort: 20_000 },
  { containerPort: 53, hostPort: 20_001, protocol: 'UDP' },
  { containerPort: 81 },
]);

test('the static hostPorts are those of all active pods, by protocol', (t) => {
  const { has, ports } = staticsOf([fixed, server(3)]);
  t.deepEqual([has('TCP', 20_000), has('UDP', 20_000), has('UDP', 20_001), has('TCP', 81)], [true, false, true, false]);
  t.deepEqual(
    [...ports].map(({ protocol, port, pod }) => [protocol, port, pod]),
    [
      ['TCP', 20_000, fixed],
      ['UDP', 20_001, fixed],
    ],
  );
});

test('a pod that has ended has no static hostPorts any more', (t) => {
  t.false(staticsOf([{ ...fixed, phase: 'Failed' }]).has('TCP', 20_000));
  t.false(staticsOf([{ ...fixed, terminating: true, ended: true }]).has('TCP', 20_000));
  t.true(staticsOf([{ ...fixed, terminating: true }]).has('TCP', 20_000));
});

test('a static hostPort on a number that was given is a conflict, also inside a block', (t) => {
  const ledger = new Ledger(() => 0);
  const block = grantOf({ hostPort: 19_995, size: 10, containerPort: 19_995 });
  ledger.grant(block);
  const [conflict, ...others] = conflictsOf(staticsOf([fixed]), ledger);
  t.deepEqual(conflict, { pod: fixed, protocol: 'TCP', port: 20_000, grant: block });
  t.deepEqual(others, []);
  t.is(
    conflict && conflictMessage(conflict),
    'host port 20000/TCP is given to pod games/server-1 (port "web") and pod games/server-2 names it as a static hostPort: the mapping of games/server-1 stays; keep static hostPorts out of the pools',
  );
});

test('without a grant on its numbers there is no conflict', (t) => {
  const ledger = new Ledger(() => 0);
  ledger.grant(grantOf({ hostPort: 20_001 }));
  t.deepEqual(conflictsOf(staticsOf([fixed]), ledger), []);
});
