import test from 'ava';
import { ClusterRegistry } from '../../daemon/core/cluster.ts';
import { freshnessFor } from '../../daemon/rpc/freshness.ts';

const STATUS = { addresses: [], pools: [] };

function scene() {
  const cluster = new ClusterRegistry();
  let now = 0;
  const at = () => ({ now: 1_000_000 + now, monotonic: now });
  const report = (node: string) => {
    const opened = cluster.open({ node, bootID: 'boot', epoch: 1, version: '1' }, STATUS, at(), () => {});
    if (opened.kind !== 'accepted') throw new Error(opened.message);
    opened.session.snapshot({ mappings: [], sequence: 0 }, at());
    return opened.session;
  };
  const pass = (ms: number) => {
    now += ms;
  };
  return { cluster, report, pass, at, freshness: freshnessFor(cluster, { monotonic: () => now }) };
}

test('of no node it is not said when it was heard', (t) => {
  t.deepEqual(scene().freshness(), { complete: { nodesHeard: 0, nodesKnown: 0 } });
});

test('of all nodes the one counts that was heard longest ago, and a node that comes counts at once', (t) => {
  const { report, pass, freshness } = scene();
  report('a');
  t.deepEqual(freshness(), { lastHeard: { seconds: 1_000, nanos: 0 }, complete: { nodesHeard: 1, nodesKnown: 1 } });
  pass(100);
  report('b');
  t.deepEqual(freshness(), { lastHeard: { seconds: 1_000, nanos: 0 }, complete: { nodesHeard: 2, nodesKnown: 2 } });
  t.deepEqual(freshness(new Set(['b'])).lastHeard, { seconds: 1_000, nanos: 100_000_000 });
});

test('what is heard shows a quarter of a second later at most, of one node at once', (t) => {
  const { report, pass, at, freshness } = scene();
  const session = report('a');
  freshness();
  pass(200);
  session.status(STATUS, at());
  t.is(freshness(new Set(['a'])).lastHeard?.nanos, 200_000_000);
  pass(50);
  t.is(freshness().lastHeard?.nanos, 200_000_000);
});
