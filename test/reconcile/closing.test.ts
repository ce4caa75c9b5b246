import test from 'ava';
import { Ledger } from '../../daemon/core/ledger.ts';
import { closingOf } from '../../daemon/reconcile/closing.ts';
import type { Demand } from '../../daemon/reconcile/demand.ts';
import { demandOf, grantOf } from './demands.ts';
import { server } from './rig.ts';

const NOBODY: ReadonlySet<string> = new Set();

function demands(...pods: Parameters<typeof demandOf>[0][]): ReadonlyMap<string, Demand> {
  return new Map(pods.map((pod) => [pod.uid, demandOf(pod)]));
}

test('a grant whose pod asks for it is not closing', (t) => {
  const ledger = new Ledger(() => 0);
  ledger.grant(grantOf());
  t.deepEqual([...closingOf(ledger, demands(server(1)), NOBODY)], []);
});

test('a grant whose pod is gone is closing, by itself and under the name of its pod', (t) => {
  const ledger = new Ledger(() => 0);
  const grant = grantOf();
  ledger.grant(grant);
  const closing = closingOf(ledger, demands(), NOBODY);
  t.deepEqual([...closing], [grant]);
  t.true(closing.has(grant));
  t.deepEqual(closing.named('games', 'server-1'), [grant]);
  t.deepEqual(closing.named('games', 'server-2'), []);
  t.deepEqual(closing.named('elsewhere', 'server-1'), []);
});

test('I6: a grant of a pod that may be gone is not closing', (t) => {
  const ledger = new Ledger(() => 0);
  ledger.grant(grantOf());
  t.deepEqual([...closingOf(ledger, demands(), new Set(['uid-1']))], []);
});

test('the suspicion does not protect what the pod, if it is seen, does not ask for any more', (t) => {
  const ledger = new Ledger(() => 0);
  const grant = grantOf({ name: 'other' });
  ledger.grant(grant);
  t.deepEqual([...closingOf(ledger, demands(server(1)), new Set(['uid-1']))], [grant]);
});

for (const [title, fields] of [
  ['of another pool', { pool: 'games' }],
  ['for another container port', { containerPort: 81 }],
  ['for another protocol', { protocol: 'UDP' }],
] as const) {
  test(`a grant ${title} than is asked for is closing`, (t) => {
    const ledger = new Ledger(() => 0);
    const grant = grantOf(fields);
    ledger.grant(grant);
    t.deepEqual([...closingOf(ledger, demands(server(1)), NOBODY)], [grant]);
  });
}

test('a grant that another has replaced is closing, though it answers what is asked', (t) => {
  const ledger = new Ledger(() => 0);
  const former = grantOf();
  const present = grantOf({ hostPort: 20_001 });
  ledger.grant(former);
  ledger.grant(present);
  t.deepEqual([...closingOf(ledger, demands(server(1)), NOBODY)], [former]);
});

test('the same grant is closing when its pod edits the request away, and not when it edits it back', (t) => {
  const ledger = new Ledger(() => 0);
  const grant = grantOf();
  ledger.grant(grant);
  const edited = server(1, { annotations: { 'berth.dev/ports': '9000' } });
  for (const [pod, expected] of [
    [server(1), []],
    [edited, [grant]],
    [server(1), []],
  ] as const) {
    t.deepEqual([...closingOf(ledger, demands(pod), NOBODY)], expected);
  }
});
