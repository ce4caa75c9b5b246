import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { AgentMetrics, type MetricsSnapshot } from '../../daemon/ops/metrics.ts';

const SNAPSHOT: MetricsSnapshot = {
  mappings: [
    { state: 'live', pool: 'default', count: 3 },
    { state: 'promised', pool: 'default', count: 1 },
  ],
  pools: [{ name: 'default', ports: 10_000, free: 9_996 }],
  reservedSockets: 4,
};

const MAPPING: Mapping = {
  pod: { namespace: 'lobby', name: 'game-0', uid: 'u0' },
  name: 'web',
  protocol: 'TCP',
  pool: 'default',
  hostPort: 20_000,
  size: 1,
  containerPort: 80,
  podIPs: ['10.0.0.7'],
};

interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  /** Whole sample lines. */
  readonly samples: readonly string[];
}

async function scrape(metrics: AgentMetrics): Promise<readonly Family[]> {
  const { text } = await metrics.expose();
  return text
    .trim()
    .split('\n\n')
    .map((block) => {
      const [help = '', type = '', ...samples] = block.split('\n');
      const [, name = '', sentence = ''] = /^# HELP (\S+) (.*)$/.exec(help) ?? [];
      return { name, type: type.replace(`# TYPE ${name} `, ''), help: sentence, samples };
    });
}

async function samples(metrics: AgentMetrics): Promise<readonly string[]> {
  return (await scrape(metrics)).flatMap((family) => family.samples);
}

const FAMILIES: Readonly<Record<string, string>> = {
  berth_mappings: 'gauge',
  berth_pool_ports: 'gauge',
  berth_pool_free_ports: 'gauge',
  berth_reserved_sockets: 'gauge',
  berth_network_programming_duration_seconds: 'histogram',
  berth_pass_duration_seconds: 'histogram',
  berth_apply_duration_seconds: 'histogram',
  berth_heals_total: 'counter',
  berth_conflicts_total: 'counter',
  berth_errors_total: 'counter',
  berth_invariant_violations_total: 'counter',
  berth_flows_deleted_total: 'counter',
  berth_build_info: 'gauge',
  process_resident_memory_bytes: 'gauge',
  process_start_time_seconds: 'gauge',
  process_cpu_seconds_total: 'counter',
  berth_event_loop_active_seconds_total: 'counter',
};

test('exactly these metrics are exposed, each of its type', async (t) => {
  const families = await scrape(new AgentMetrics('1.2.3', () => SNAPSHOT));
  t.deepEqual(Object.fromEntries(families.map(({ name, type }) => [name, type])), FAMILIES);
});

// The rules of `promtool check metrics` (client_golang, prometheus/testutil/promlint/validations).
const RULES: readonly (readonly [rule: string, holds: (family: Family) => boolean])[] = [
  ['has a help sentence', ({ help }) => /^[A-Z].*\.$/.test(help)],
  ['ends in _total exactly when it is a counter', ({ name, type }) => name.endsWith('_total') === (type === 'counter')],
  ['does not use the suffixes of histograms', ({ name }) => !/_(bucket|count|sum)$/.test(name)],
  [
    'uses the label le only in histograms',
    ({ type, samples }) => type === 'histogram' || !samples.some((s) => /[{,]le=/.test(s)),
  ],
  ['does not name its type', ({ name }) => !/(counter|gauge|histogram|summary)/.test(name)],
  [
    'is written in snake_case',
    ({ name, samples }) => /^[a-z][a-z0-9_]*$/.test(name) && samples.every((s) => !/[{,][a-z]*[A-Z]\w*=/.test(s)),
  ],
  [
    'uses base units',
    ({ name }) => !/_(ms|millis\w*|micros\w*|minutes|hours|kb|mb|kilo\w*|mega\w*|percent)(_|$)/.test(name),
  ],
  [
    'tells its unit when it is a duration',
    ({ name }) => !/duration|time/.test(name) || /_seconds(_total)?$/.test(name),
  ],
];

for (const [rule, holds] of RULES) {
  test(`every metric ${rule}`, async (t) => {
    const metrics = new AgentMetrics('1.2.3', () => SNAPSHOT);
    metrics.record({ kind: 'failure', operation: 'apply', error: new Error('no') });
    metrics.record({ kind: 'violation', invariant: 'I1', detail: '' });
    for (const family of await scrape(metrics)) t.true(holds(family), family.name);
  });
}

test('gauges show the snapshot of the scrape, and what is gone is not shown', async (t) => {
  let snapshot = SNAPSHOT;
  const metrics = new AgentMetrics('1.2.3', () => snapshot);
  const first = await samples(metrics);
  t.true(first.includes('berth_mappings{state="live",pool="default"} 3'));
  t.true(first.includes('berth_mappings{state="promised",pool="default"} 1'));
  t.true(first.includes('berth_pool_ports{pool="default"} 10000'));
  t.true(first.includes('berth_pool_free_ports{pool="default"} 9996'));
  t.true(first.includes('berth_reserved_sockets 4'));
  t.true(first.includes('berth_build_info{version="1.2.3"} 1'));
  snapshot = { mappings: [], pools: [{ name: 'games', ports: 5, free: 5 }], reservedSockets: 0 };
  const second = await samples(metrics);
  t.false(second.some((line) => line.includes('default')));
  t.true(second.includes('berth_pool_ports{pool="games"} 5'));
  t.true(second.includes('berth_reserved_sockets 0'));
});

test('nothing is asked of the agent between two scrapes', async (t) => {
  let asked = 0;
  const metrics = new AgentMetrics('1.2.3', () => {
    asked++;
    return SNAPSHOT;
  });
  metrics.record({ kind: 'pass', full: true, ms: 1 });
  t.is(asked, 0);
  await metrics.expose();
  t.is(asked, 1);
});

test('events are counted', async (t) => {
  const metrics = new AgentMetrics('1.2.3', () => SNAPSHOT);
  metrics.record({ kind: 'healed', what: 'table', added: 3, removed: 0 });
  metrics.record({ kind: 'conflict', reservation: { protocol: 'TCP', port: 20_000 }, pod: MAPPING.pod });
  metrics.record({ kind: 'failure', operation: 'apply', error: new BerthError('NFT_REFUSED', 'no') });
  metrics.record({ kind: 'failure', operation: 'apply', error: new BerthError('NFT_REFUSED', 'no') });
  metrics.record({ kind: 'violation', invariant: 'I1', detail: 'two pods' });
  metrics.record({ kind: 'flows', deleted: 7, ms: 1 });
  metrics.record({ kind: 'flows', deleted: 0, ms: 1 });
  metrics.record({ kind: 'pass', full: true, ms: 30 });
  metrics.record({ kind: 'pass', full: false, ms: 3 });
  metrics.record({ kind: 'applied', ms: 0.15, added: 1, removed: 0 });
  const lines = await samples(metrics);
  for (const line of [
    'berth_heals_total 1',
    'berth_conflicts_total 1',
    'berth_errors_total{operation="apply"} 2',
    'berth_invariant_violations_total{invariant="I1"} 1',
    'berth_flows_deleted_total 7',
    'berth_pass_duration_seconds_count{kind="full"} 1',
    'berth_pass_duration_seconds_bucket{le="0.02",kind="full"} 0',
    'berth_pass_duration_seconds_bucket{le="0.05",kind="full"} 1',
    'berth_pass_duration_seconds_sum{kind="quick"} 0.003',
    'berth_apply_duration_seconds_bucket{le="0.0001"} 0',
    'berth_apply_duration_seconds_bucket{le="0.0002"} 1',
  ]) {
    t.true(lines.includes(line), line);
  }
});

test('only what the agent made live itself counts for the time it took', async (t) => {
  const metrics = new AgentMetrics('1.2.3', () => SNAPSHOT);
  metrics.record({ kind: 'mapped', mapping: MAPPING, adopted: true, sinceSeenMs: 40 });
  metrics.record({ kind: 'mapped', mapping: MAPPING, adopted: false, sinceSeenMs: undefined });
  metrics.record({ kind: 'mapped', mapping: MAPPING, adopted: false, sinceSeenMs: 4 });
  const lines = await samples(metrics);
  t.true(lines.includes('berth_network_programming_duration_seconds_count 1'));
  t.true(lines.includes('berth_network_programming_duration_seconds_sum 0.004'));
  t.true(lines.includes('berth_network_programming_duration_seconds_bucket{le="0.005"} 1'));
  t.true(lines.includes('berth_network_programming_duration_seconds_bucket{le="10"} 1'));
});

test('counters and histograms stand at zero before anything has happened', async (t) => {
  const lines = await samples(new AgentMetrics('1.2.3', () => SNAPSHOT));
  for (const line of [
    'berth_heals_total 0',
    'berth_conflicts_total 0',
    'berth_flows_deleted_total 0',
    'berth_pass_duration_seconds_count{kind="full"} 0',
    'berth_pass_duration_seconds_count{kind="quick"} 0',
    'berth_network_programming_duration_seconds_count 0',
  ]) {
    t.true(lines.includes(line), line);
  }
});

test('what the process has used only grows, and two agents in one process do not share metrics', async (t) => {
  const value = (lines: readonly string[], name: string) =>
    Number(lines.find((line) => line.startsWith(`${name} `))?.split(' ')[1]);
  const metrics = new AgentMetrics('1.2.3', () => SNAPSHOT);
  const before = await samples(metrics);
  const after = await samples(metrics);
  for (const name of ['process_cpu_seconds_total', 'berth_event_loop_active_seconds_total']) {
    t.true(value(before, name) >= 0 && value(after, name) >= value(before, name), name);
  }
  t.true(value(after, 'process_resident_memory_bytes') > 1e6);
  metrics.record({ kind: 'healed', what: 'table', added: 1, removed: 0 });
  t.true((await samples(new AgentMetrics('1.2.3', () => SNAPSHOT))).includes('berth_heals_total 0'));
});
