import test from 'ava';
import { AggregatorMetrics } from '../../daemon/ops/aggregatormetrics.ts';
import type { ClaimSnapshot } from '../../daemon/ops/claimmetrics.ts';

const CLUSTER = {
  nodes: { live: 0, stale: 0, silent: 0 },
  ...{ mappings: 0, watchers: 0, streams: 0, ready: true },
};

async function linesOf(metrics: AggregatorMetrics): Promise<readonly string[]> {
  const { text } = await metrics.expose();
  return text.split('\n').filter((line) => line.startsWith('berth_claim'));
}

test('the leader tells of claims and classes, and whoever follows of itself alone', async (t) => {
  const metrics = new AggregatorMetrics('1', () => CLUSTER);
  let snapshot: ClaimSnapshot = {
    leading: true,
    summary: {
      phases: { Pending: 1, Bound: 2, Deleting: 0 },
      hostPorts: { Available: 1, Allocated: 2, Released: 3, Deleting: 0 },
      classes: [{ name: 'games', ports: 10, free: 8, overlapping: true }],
    },
  };
  const claims = metrics.withClaims(() => snapshot);
  claims.step('bind', 'done');
  claims.step('bind', 'stale');
  claims.pass(30);
  const bucket = 'berth_claim_pass_duration_seconds_bucket{le=';
  const lines = await linesOf(metrics);
  t.deepEqual(
    ['0.02', '0.1', '+Inf'].map((le) => lines.find((line) => line.startsWith(`${bucket}"${le}"`))?.at(-1)),
    ['0', '1', '1'],
  );
  t.deepEqual(
    lines.filter((line) => !line.includes('_pass_')),
    [
      'berth_claims_leader 1',
      'berth_claims{phase="Pending"} 1',
      'berth_claims{phase="Bound"} 2',
      'berth_claims{phase="Deleting"} 0',
      'berth_claim_host_ports{phase="Available"} 1',
      'berth_claim_host_ports{phase="Allocated"} 2',
      'berth_claim_host_ports{phase="Released"} 3',
      'berth_claim_host_ports{phase="Deleting"} 0',
      'berth_claim_class_ports{class="games"} 10',
      'berth_claim_class_ports_free{class="games"} 8',
      'berth_claim_class_pools_overlap{class="games"} 1',
      'berth_claim_steps_total{step="bind",outcome="done"} 1',
      'berth_claim_steps_total{step="bind",outcome="stale"} 1',
    ],
  );
  snapshot = { leading: false, summary: undefined };
  t.deepEqual(
    (await linesOf(metrics)).filter((line) => !/^berth_claim_(steps|pass)/.test(line)),
    ['berth_claims_leader 0'],
  );
});

test('an aggregator without claims has no metrics of them', async (t) => {
  t.deepEqual(await linesOf(new AggregatorMetrics('1', () => CLUSTER)), []);
});
