import test from 'ava';
import { ClusterRegistry } from '../../daemon/core/cluster.ts';
import type { Change } from '../../daemon/core/registry.ts';
import type { EndReason, ReportSession } from '../../daemon/core/reportsession.ts';
import { agentOf, at, opened, reported, STATUS, shownCluster, snapshotOf } from './reports.ts';

/** As `+a`, `-b`, `~c?`: came, went, changed; with `?` when it is stale now. */
function changesSince(cluster: ClusterRegistry, revision: number): string[] {
  const sign = ({ before, after }: Change) => (before === undefined ? '+' : after === undefined ? '-' : '~');
  return (cluster.mappings.changesSince(revision) ?? []).map((change) => {
    const live = change.after ?? change.before;
    return `${sign(change)}${live?.mapping.pod.name}${change.after?.stale ? '?' : ''}`;
  });
}

test('a snapshot takes effect with its last part, as one change', (t) => {
  const cluster = new ClusterRegistry();
  const session = opened(cluster, agentOf('n1'), 0);
  t.deepEqual(session.snapshot({ mappings: [reported('a')], sequence: undefined }, at(1)), { kind: 'nothing' });
  t.deepEqual(shownCluster(cluster), []);
  t.deepEqual(cluster.count, { heard: 0, known: 1 });
  t.deepEqual(session.snapshot({ mappings: [reported('b')], sequence: 7 }, at(2)), { kind: 'ack', sequence: 7 });
  t.deepEqual(shownCluster(cluster), ['n1/a:20000', 'n1/b:20000']);
  t.deepEqual(cluster.count, { heard: 1, known: 1 });
});

test('of the snapshot after a reconnect only what differs is a change', (t) => {
  const cluster = new ClusterRegistry();
  const first = opened(cluster, agentOf('n1'), 0);
  first.snapshot(snapshotOf(1, 'same', 'goes', 'moves'), at(0));
  first.close(at(1_000));
  const { revision } = cluster.mappings;
  cluster.sweep(at(2_000));
  const second = opened(cluster, agentOf('n1', 2), 3_000);
  const mappings = [reported('comes'), reported('moves', 20_001), reported('same')];
  second.snapshot({ mappings, sequence: 1 }, at(3_000));
  t.deepEqual(changesSince(cluster, revision), ['-goes', '+comes', '~moves']);
});

test('a delta changes what it names and is acknowledged', (t) => {
  const cluster = new ClusterRegistry();
  const session = opened(cluster, agentOf('n1'), 0);
  session.snapshot(snapshotOf(1, 'a', 'b'), at(0));
  const { pod, name, protocol } = reported('a').mapping;
  const changes = [
    { kind: 'deleted', pod, name, protocol },
    { kind: 'set', ...reported('c') },
  ] as const;
  t.deepEqual(session.delta({ previous: 1, sequence: 5, changes }, at(1)), { kind: 'ack', sequence: 5 });
  t.deepEqual(shownCluster(cluster), ['n1/b:20000', 'n1/c:20000']);
});

test('a delta that does not fit is answered by Resync; what follows of the old state is ignored until the snapshot', (t) => {
  const cluster = new ClusterRegistry();
  const session = opened(cluster, agentOf('n1'), 0);
  session.snapshot(snapshotOf(1, 'a'), at(0));
  const set = { kind: 'set', ...reported('b') } as const;
  const wrong = session.delta({ previous: 3, sequence: 4, changes: [set] }, at(1));
  t.deepEqual(wrong, { kind: 'resync', reason: 'the delta changes state 3, known is state 1' });
  t.deepEqual(session.delta({ previous: 1, sequence: 5, changes: [set] }, at(2)), { kind: 'nothing' });
  t.deepEqual(shownCluster(cluster), ['n1/a:20000']);
  session.snapshot(snapshotOf(6, 'c'), at(3));
  t.deepEqual(shownCluster(cluster), ['n1/c:20000']);
});

test('a heartbeat that speaks of another state than the one known is answered by Resync', (t) => {
  const cluster = new ClusterRegistry();
  const session = opened(cluster, agentOf('n1'), 0);
  session.snapshot(snapshotOf(1, 'a'), at(0));
  t.deepEqual(session.status({ ...STATUS, sequence: 1 }, at(1)), { kind: 'nothing' });
  t.deepEqual(session.status(STATUS, at(2)), { kind: 'nothing' });
  const reason = 'the agent has told state 2, known is state 1';
  t.deepEqual(session.status({ ...STATUS, sequence: 2 }, at(3)), { kind: 'resync', reason });
});

const broken: readonly (readonly [string, string, (session: ReportSession) => unknown])[] = [
  [
    'a delta between the parts of a snapshot',
    'delta: between the parts of a snapshot',
    (session) => {
      session.snapshot({ mappings: [reported('a')], sequence: undefined }, at(0));
      return session.delta({ previous: 1, sequence: 2, changes: [] }, at(0));
    },
  ],
  [
    'a delta that goes back',
    'delta.sequence: not larger than delta.previous',
    (session) => {
      session.snapshot(snapshotOf(2, 'a'), at(0));
      return session.delta({ previous: 2, sequence: 2, changes: [] }, at(0));
    },
  ],
  [
    'two changes of one mapping in a delta',
    'delta.changes[1]: a second change of one mapping',
    (session) => {
      session.snapshot(snapshotOf(2), at(0));
      const set = { kind: 'set', ...reported('a') } as const;
      return session.delta({ previous: 2, sequence: 3, changes: [set, set] }, at(0));
    },
  ],
  [
    'a mapping twice in a snapshot',
    'snapshot.mappings[1]: not in ascending order, or there twice',
    (session) => session.snapshot(snapshotOf(1, 'a', 'a'), at(0)),
  ],
  [
    'a snapshot whose second part begins before the end of the first',
    'snapshot.mappings[0]: not in ascending order, or there twice',
    (session) => {
      session.snapshot({ mappings: [reported('b')], sequence: undefined }, at(0));
      return session.snapshot({ mappings: [reported('a')], sequence: 1 }, at(0));
    },
  ],
];
for (const [title, message, act] of broken) {
  test(`broken, and changes nothing: ${title}`, (t) => {
    const cluster = new ClusterRegistry();
    const session = opened(cluster, agentOf('n1'), 0);
    t.deepEqual(act(session), { kind: 'broken', message });
    t.false(shownCluster(cluster).some((one) => one.startsWith('n1/b')));
  });
}

test('I9: after the grace period the mappings of a lost stream are stale, and fresh again with the next snapshot', (t) => {
  const cluster = new ClusterRegistry();
  const first = opened(cluster, agentOf('n1'), 0);
  first.snapshot(snapshotOf(1, 'a'), at(0));
  first.close(at(10_000));
  cluster.sweep(at(14_999));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000']);
  const { revision } = cluster.mappings;
  cluster.sweep(at(15_000));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000?']);
  // A Hello alone says nothing of what is live.
  const second = opened(cluster, agentOf('n1', 2), 16_000);
  cluster.sweep(at(17_000));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000?']);
  second.snapshot(snapshotOf(1, 'a'), at(18_000));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000']);
  t.deepEqual(changesSince(cluster, revision), ['~a?', '~a']);
});

test('I9: a stream that says nothing is stale at once after 25 s, and is ended', (t) => {
  const cluster = new ClusterRegistry();
  const ends: EndReason[] = [];
  const session = opened(cluster, agentOf('n1'), 0, (reason) => ends.push(reason));
  session.snapshot(snapshotOf(1, 'a'), at(0));
  session.status(STATUS, at(10_000));
  cluster.sweep(at(34_999));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000']);
  cluster.sweep(at(35_000));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000?']);
  t.deepEqual(ends, [{ kind: 'silent', ms: 25_000 }]);
  // What still comes of it changes nothing.
  session.snapshot(snapshotOf(2, 'b'), at(36_000));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000?']);
});

test('I9: the grace period of a stream that was found lost late does not prolong the bound from its last word', (t) => {
  const cluster = new ClusterRegistry();
  const session = opened(cluster, agentOf('n1'), 0);
  session.snapshot(snapshotOf(1, 'a'), at(0));
  session.close(at(24_500));
  cluster.sweep(at(24_999));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000']);
  cluster.sweep(at(25_000));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000?']);
});

test('a stream that never tells its snapshot keeps nothing fresh by its heartbeats', (t) => {
  const cluster = new ClusterRegistry();
  const ends: EndReason[] = [];
  opened(cluster, agentOf('n1'), 0).snapshot(snapshotOf(1, 'a'), at(0));
  const second = opened(cluster, agentOf('n1'), 1_000, (reason) => ends.push(reason));
  for (let time = 2_000; time < 602_000; time += 1_000) {
    second.status(STATUS, at(time));
    cluster.sweep(at(time));
    t.is(cluster.mappings.all({})[0]?.stale, time >= 6_000 && time < 601_000 ? true : undefined);
  }
  t.deepEqual(shownCluster(cluster), []);
  t.deepEqual(ends, [{ kind: 'unfinished', ms: 600_000 }]);
});

test('a node that nobody speaks for is dropped after ten minutes, and may begin again with any epoch', (t) => {
  const cluster = new ClusterRegistry();
  const session = opened(cluster, agentOf('n1', 9), 0);
  session.snapshot(snapshotOf(1, 'a'), at(0));
  session.close(at(0));
  cluster.sweep(at(599_999));
  t.is(cluster.mappings.size, 1);
  cluster.sweep(at(600_000));
  t.is(cluster.mappings.size, 0);
  t.deepEqual(cluster.count, { heard: 0, known: 0 });
  opened(cluster, agentOf('n1', 1), 600_000);
});

test('I10: many nodes that go at once go stale, and are dropped, in sweeps of a bounded size', (t) => {
  const cluster = new ClusterRegistry({ sweep: 4, history: 12 });
  for (const node of ['n1', 'n2', 'n3', 'n4', 'n5']) {
    const session = opened(cluster, agentOf(node), 0);
    session.snapshot(snapshotOf(1, 'a', 'b', 'c'), at(0));
    session.close(at(0));
  }
  for (const [ms, sign] of [
    [5_000, /^~.\?$/],
    [600_000, /^-.$/],
  ] as const) {
    // Whole nodes: four changes are reached with the second one.
    for (const [count, more] of [
      [6, true],
      [6, true],
      [3, false],
    ] as const) {
      const { revision } = cluster.mappings;
      t.is(cluster.sweep(at(ms)), more);
      const changes = changesSince(cluster, revision);
      t.is(changes.length, count);
      t.true(changes.every((change) => sign.test(change)));
    }
  }
  t.is(cluster.records.size, 0);
});

test('a newer epoch takes the node over, and the other agent is told who did', (t) => {
  const cluster = new ClusterRegistry();
  const ends: EndReason[] = [];
  const old = opened(cluster, agentOf('n1', 1), 0, (reason) => ends.push(reason));
  old.snapshot(snapshotOf(1, 'a'), at(0));
  const young = opened(cluster, agentOf('n1', 2), 1);
  t.deepEqual(ends, [{ kind: 'superseded', by: agentOf('n1', 2) }]);
  old.snapshot(snapshotOf(2, 'b'), at(2));
  old.close(at(3));
  t.deepEqual(shownCluster(cluster), ['n1/a:20000']);
  young.snapshot(snapshotOf(1, 'c'), at(4));
  t.deepEqual(shownCluster(cluster), ['n1/c:20000']);
});

test('an older epoch is refused as long as the node is remembered, whether its agent is connected or not', (t) => {
  const cluster = new ClusterRegistry();
  const session = opened(cluster, agentOf('n1', 2), 0);
  const refused = () => cluster.open(agentOf('n1', 1), STATUS, at(1), () => t.fail());
  const message =
    'node n1: the agent with epoch 2 (boot boot-1) speaks for it, not the agent with epoch 1 (boot boot-1): stop one of them, ' +
    'or wait until the other has been gone for ten minutes';
  t.deepEqual(refused(), { kind: 'older', message });
  session.close(at(1));
  t.deepEqual(refused(), { kind: 'older', message });
});

test('one epoch on two machines is a copied disk: the second one is refused', (t) => {
  const cluster = new ClusterRegistry();
  opened(cluster, agentOf('n1', 2, 'boot-1'), 0);
  t.is(cluster.open(agentOf('n1', 2, 'boot-2'), STATUS, at(1), () => t.fail()).kind, 'older');
});

test('the same agent that reconnects replaces its own stream', (t) => {
  const cluster = new ClusterRegistry();
  const ends: EndReason[] = [];
  opened(cluster, agentOf('n1', 2), 0, (reason) => ends.push(reason)).snapshot(snapshotOf(1, 'a'), at(0));
  const again = opened(cluster, agentOf('n1', 2), 1);
  t.is(ends.length, 1);
  again.snapshot(snapshotOf(1, 'a'), at(2));
  t.is(cluster.mappings.revision, 1);
});

test('I10: a node has no more mappings than are allowed, in a snapshot or after a delta', (t) => {
  const cluster = new ClusterRegistry({ mappings: 2 });
  const session = opened(cluster, agentOf('n1'), 0);
  const full = { kind: 'full', message: 'node n1: more than 2 mappings' };
  t.deepEqual(session.snapshot(snapshotOf(1, 'a', 'b', 'c'), at(0)), full);
  const other = opened(cluster, agentOf('n2'), 0);
  other.snapshot(snapshotOf(1, 'a', 'b'), at(0));
  const { pod, name, protocol } = reported('a').mapping;
  const swap = [{ kind: 'deleted', pod, name, protocol } as const, { kind: 'set', ...reported('c') } as const];
  t.deepEqual(other.delta({ previous: 1, sequence: 2, changes: swap }, at(0)), { kind: 'ack', sequence: 2 });
  const more = [{ kind: 'set', ...reported('d') } as const];
  t.deepEqual(other.delta({ previous: 2, sequence: 3, changes: more }, at(0)), {
    kind: 'full',
    message: 'node n2: more than 2 mappings',
  });
  t.deepEqual(shownCluster(cluster), ['n2/b:20000', 'n2/c:20000']);
});

test('I10: there are no more nodes than are allowed, and a node that is known may come back', (t) => {
  const cluster = new ClusterRegistry({ nodes: 1 });
  opened(cluster, agentOf('n1'), 0);
  const refused = cluster.open(agentOf('n2'), STATUS, at(0), () => t.fail());
  t.deepEqual(refused, { kind: 'full', message: 'more than 1 nodes report' });
  opened(cluster, agentOf('n1'), 1);
});

test('an answer is complete when every node has told its mappings that is known from anywhere', (t) => {
  const cluster = new ClusterRegistry();
  t.false(cluster.complete);
  cluster.know(new Set(['n1', 'n2']));
  t.deepEqual([cluster.count, cluster.complete], [{ heard: 0, known: 2 }, false]);
  for (const node of ['n1', 'n2', 'n3']) opened(cluster, agentOf(node), 0);
  t.deepEqual([cluster.count, cluster.complete], [{ heard: 0, known: 3 }, false]);
  for (const node of ['n1', 'n2', 'n3']) opened(cluster, agentOf(node), 0).snapshot(snapshotOf(1), at(0));
  t.deepEqual([cluster.count, cluster.complete], [{ heard: 3, known: 3 }, true]);
  cluster.know(new Set(['n1', 'n4']));
  t.deepEqual([cluster.count, cluster.complete], [{ heard: 3, known: 4 }, false]);
});
