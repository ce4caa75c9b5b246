import test from 'ava';
import { Ledger } from '../../daemon/core/ledger.ts';
import type { Mapping, Pod, Problem } from '../../daemon/core/vocabulary.ts';
import { mappingKey } from '../../daemon/reconcile/plan.ts';
import { standingsOf, withRefusal } from '../../daemon/reconcile/standing.ts';
import { demandOf, grantOf } from './demands.ts';
import { server } from './rig.ts';

const NONE: ReadonlyMap<string, Mapping> = new Map();

function ledgerOf(...pods: readonly Pod[]): Ledger {
  const ledger = new Ledger(() => 0);
  for (const [index, pod] of pods.entries()) {
    ledger.grant(grantOf({ uid: pod.uid, pod: pod.name, hostPort: 20_000 + index }));
  }
  return ledger;
}

function standings(pods: readonly Pod[], problems: ReadonlyMap<string, Problem> = new Map()) {
  const demands = new Map(
    pods.filter((pod) => Object.keys(pod.annotations).length > 0).map((pod) => [pod.uid, demandOf(pod)]),
  );
  return standingsOf(pods, demands, problems, ledgerOf(...pods), NONE);
}

test('a pod that wants nothing has no promise and no problem', (t) => {
  const pod = server(1, { annotations: {} });
  t.deepEqual(standings([pod]), [{ pod, demand: undefined, promised: [], problem: undefined, draining: [] }]);
});

test('a pod is promised what it was granted, also without an address', (t) => {
  const [standing] = standings([server(1, { podIPs: [] })]);
  t.like(standing?.promised[0], { hostPort: 20_000, podIPs: [] });
  t.is(standing?.problem, undefined);
});

test('of two active pods with one address the newer has it; the older keeps its number and is told', (t) => {
  const [old, fresh] = standings([server(1), server(2, { podIPs: ['10.0.0.1'] })]);
  t.like(old?.promised[0], { hostPort: 20_000, podIPs: [] });
  t.is(old?.problem?.reason, 'InvalidPodIP');
  t.like(fresh?.promised[0], { hostPort: 20_001, podIPs: ['10.0.0.1'] });
  t.is(fresh?.problem, undefined);
});

test('an address is the same however it is spelt: the newer pod has it', (t) => {
  const [old, fresh] = standings([server(1, { podIPs: ['fd00::1'] }), server(2, { podIPs: ['FD00:0::1'] })]);
  t.deepEqual(old?.promised[0]?.podIPs, []);
  t.deepEqual(fresh?.promised[0]?.podIPs, ['fd00::1']);
});

test('a pod of which one family has gone to a newer pod loses both: its address is not its own any more', (t) => {
  const [old] = standings([server(1, { podIPs: ['10.0.0.1', 'fd00::1'] }), server(2, { podIPs: ['fd00::1'] })]);
  t.deepEqual(old?.promised[0]?.podIPs, []);
});

test('a problem that the pod has already comes before the loss of its address', (t) => {
  const problem: Problem = { reason: 'PoolExhausted', message: 'nothing left' };
  const pods = [server(1), server(2, { podIPs: ['10.0.0.1'] })];
  t.is(standings(pods, new Map([['uid-1', problem]]))[0]?.problem, problem);
});

test('two pods of one age: the uid decides, the same whichever is looked at first', (t) => {
  const pods = [server(1, { createdAt: 5 }), server(2, { createdAt: 5, podIPs: ['10.0.0.1'] })];
  for (const order of [pods, pods.toReversed()]) {
    const losers = standings(order).filter(({ problem }) => problem !== undefined);
    t.deepEqual(
      losers.map(({ pod }) => pod.uid),
      ['uid-1'],
    );
  }
});

test('a mapping that has not changed since the last pass is the same object', (t) => {
  const ledger = ledgerOf(server(1));
  const promised = (pod: Pod, before: ReadonlyMap<string, Mapping>) =>
    standingsOf([pod], new Map([[pod.uid, demandOf(pod)]]), new Map(), ledger, before).flatMap((one) => one.promised);
  const [mapping] = promised(server(1), NONE) as [Mapping];
  const before = new Map([[mappingKey(mapping), mapping]]);
  t.is(promised(server(1, { terminating: true }), before)[0], mapping);
  t.not(promised(server(1, { podIPs: ['10.0.0.9'] }), before)[0], mapping);
});

test('a refused rule is the problem of its pod, unless it has another', (t) => {
  const [standing] = standings([server(1)]);
  if (standing === undefined) throw new Error('no standing');
  const refused = withRefusal(standing, () => new Error('EINVAL'));
  t.deepEqual(refused.problem, {
    reason: 'DatapathFailed',
    message: 'pod games/server-1: the kernel refused the rule of port "web": EINVAL; it is tried again',
  });
  t.is(
    withRefusal(standing, () => undefined),
    standing,
  );
  const troubled = { ...standing, problem: { reason: 'PortConflict', message: 'x' } } as const;
  t.is(
    withRefusal(troubled, () => new Error('EINVAL')),
    troubled,
  );
});
