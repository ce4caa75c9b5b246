/** The alerts and dashboards name metrics that there are, and the alerts fire when they should. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parse, stringify } from 'yaml';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import { AggregatorMetrics } from '../../daemon/ops/aggregatormetrics.ts';
import { AgentMetrics } from '../../daemon/ops/metrics.ts';
import { findProgram, MISSING } from '../ops/prometheus.ts';
import { filesIn, kustomization, only, patched, readManifest, resourcesOf, rightsOf, type Thing } from './manifests.ts';

const DIRECTORY = 'components/metrics';
const objects = resourcesOf(DIRECTORY);
const { groups } = only(objects, 'PrometheusRule').spec;
const DASHBOARDS = ['berth-agent.json', 'berth-aggregator.json'];
/** They say what does not change. */
const UNSHOWN = ['process_start_time_seconds', 'berth_build_info'];
const aggregator = resourcesOf('aggregator');

/** Name to type, of what a program exports. */
async function exported(program: string): Promise<ReadonlyMap<string, string>> {
  const agent = () => {
    const made = new AgentMetrics('1', () => ({ mappings: [], pools: [], reservedSockets: 0 }));
    // Of an agent that has aggregators to tell.
    made.reports.links({ connected: 0, waiting: 0 });
    return made;
  };
  const count = { mappings: 0, watchers: 0, streams: 0, ready: true };
  const cluster = () => new AggregatorMetrics('1', () => ({ nodes: { live: 0, stale: 0, silent: 0 }, ...count }));
  const aggregator = () => {
    const made = cluster();
    // With --claims.
    made.withClaims(() => ({ leading: false, summary: undefined }));
    return made;
  };
  const { text } = await (program === 'berth-agent' ? agent : aggregator)().expose();
  return new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]));
}

/** The series that a metric has; `up` is Prometheus' own. */
function seriesOf(metrics: ReadonlyMap<string, string>): ReadonlySet<string> {
  const all = [...metrics].flatMap(([name, type]) =>
    type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name],
  );
  return new Set(['up', ...all]);
}

/** Names of metrics in PromQL: words that are followed by no parenthesis and stand in no braces, ranges or lists of labels. */
function namesIn(query: string): readonly string[] {
  const bare = query
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}|\[[^\]]*\]/g, '')
    .replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, '');
  return [...bare.matchAll(/\b([a-z_][a-z_0-9]*)\b(?!\s*\()/g)]
    .map(([, name = '']) => name)
    .filter((name) => !['and', 'or', 'unless'].includes(name));
}

test('every metric in the alerts is one that the agent or the aggregator exports', async (t) => {
  for (const { name, rules } of groups) {
    const series = seriesOf(await exported(name));
    for (const { alert, expr } of rules) {
      const names = namesIn(expr);
      t.true(names.length > 0, alert);
      for (const one of names) t.true(series.has(one), `${alert}: ${one}`);
    }
  }
});

test('every metric in the dashboards is one that the program exports, and none of its own is missing', async (t) => {
  for (const file of DASHBOARDS) {
    const { panels, uid } = JSON.parse(readManifest(join(DIRECTORY, file)));
    const metrics = await exported(uid);
    const series = seriesOf(metrics);
    const queries: readonly string[] = panels.flatMap(({ targets }: Thing) => targets.map(({ expr }: Thing) => expr));
    const shown = new Set(queries.flatMap(namesIn));
    t.deepEqual(
      [...shown].filter((name) => !series.has(name)),
      [],
    );
    const unseen = [...metrics.keys()].filter(
      (name) => ![...shown].some((one) => one === name || one === `${name}_bucket`),
    );
    t.deepEqual(
      unseen.filter((name) => !UNSHOWN.includes(name)),
      [],
      uid,
    );
  }
});

test('the panels of a dashboard have titles and places of their own, and ask the data source that is chosen', (t) => {
  for (const file of DASHBOARDS) {
    const { panels, templating } = JSON.parse(readManifest(join(DIRECTORY, file)));
    t.is(templating.list[0].type, 'datasource');
    for (const key of ['id', 'title'] as const) t.is(new Set(panels.map((one: Thing) => one[key])).size, panels.length);
    t.is(new Set(panels.map(({ gridPos: { x, y } }: Thing) => `${x} ${y}`)).size, panels.length);
    for (const { datasource, gridPos } of panels) {
      t.is(datasource.uid, `\${${templating.list[0].name}}`);
      t.true(gridPos.x + gridPos.w <= 24);
    }
  }
});

function withPromtool(
  t: ExecutionContext,
  use: (run: (...args: readonly string[]) => string, directory: string) => void,
) {
  const program = findProgram('promtool');
  if (program === undefined) {
    t.log(MISSING);
    t.pass();
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'berth-rules-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  use((...args) => execFileSync(program, args, { cwd: directory, encoding: 'utf8', stdio: 'pipe' }), directory);
}

test('promtool accepts the alerts, and the queries of the dashboards', (t) => {
  withPromtool(t, (run, directory) => {
    writeFileSync(join(directory, 'rules.yaml'), stringify({ groups }));
    t.regex(run('check', 'rules', 'rules.yaml'), /SUCCESS: 20 rules found/);
    const queries = DASHBOARDS.flatMap((file) => JSON.parse(readManifest(join(DIRECTORY, file))).panels)
      .flatMap(({ targets }: Thing) => targets)
      .map(({ expr }: Thing) => expr.replace(/\$__(rate_interval|range)/g, '5m'));
    const rules = queries.map((expr: string, index: number) => ({ record: `query_${index}`, expr }));
    writeFileSync(join(directory, 'queries.yaml'), stringify({ groups: [{ name: 'queries', rules }] }));
    t.regex(run('check', 'rules', 'queries.yaml'), new RegExp(`SUCCESS: ${queries.length} rules found`));
  });
});

test('every alert fires when it should, and not before', (t) => {
  const tests = parse(readManifest('../test/deploy/alerts.yaml')).tests;
  const fired = new Set(
    tests.flatMap((one: Thing) =>
      one.alert_rule_test.flatMap((a: Thing) => (a.exp_alerts.length > 0 ? [a.alertname] : [])),
    ),
  );
  const alerts: readonly string[] = groups.flatMap(({ rules }: Thing) => rules.map(({ alert }: Thing) => alert));
  t.deepEqual(
    alerts.filter((alert) => !fired.has(alert)),
    [],
  );
  withPromtool(t, (run, directory) => {
    const bare = groups.map(({ name, rules }: Thing) => ({
      name,
      rules: rules.map(({ annotations: _, ...rule }: Thing) => rule),
    }));
    writeFileSync(join(directory, 'rules.yaml'), stringify({ groups: bare }));
    copyFileSync(join(import.meta.dirname, 'alerts.yaml'), join(directory, 'alerts.yaml'));
    t.notThrows(() => run('test', 'rules', 'alerts.yaml'));
  });
});

test('an alert says what it means and what to do', (t) => {
  for (const { rules } of groups) {
    for (const { alert, annotations, labels } of rules) {
      t.regex(annotations.summary, /\.$/, alert);
      t.regex(annotations.description, /\.$/, alert);
      t.true(['warning', 'critical'].includes(labels.severity), alert);
    }
  }
});

test('the monitors find the Services, which lead to where the programs serve metrics', (t) => {
  const services = [only(objects, 'Service', 'berth-agent'), only(aggregator, 'Service', 'berth-aggregator')];
  for (const service of services) {
    const monitor = only(objects, 'ServiceMonitor', service.metadata.name);
    t.like(service.metadata.labels, monitor.spec.selector.matchLabels);
    const [{ port, scheme, path }] = monitor.spec.endpoints;
    t.deepEqual({ scheme, path }, { scheme: 'https', path: '/metrics' });
    t.true(service.spec.ports.some(({ name }: Thing) => name === port));
  }
  // The other Service of the aggregator has the same labels, and would be scraped twice.
  const others = only(aggregator, 'Service', 'berth-aggregator-replicas').spec.ports;
  t.false(others.some(({ name }: Thing) => name === 'metrics'));
  const { tlsConfig } = only(objects, 'ServiceMonitor', 'berth-aggregator').spec.endpoints[0];
  t.is(tlsConfig.ca.configMap.name, only(aggregator, 'ConfigMap').metadata.name);
  t.is(tlsConfig.serverName, 'berth-aggregator.berth-system.svc');
});

test('the agent is told to serve its metrics where the Service leads, is probed there over TLS, and may ask who asks', (t) => {
  const daemonSet = patched(only(resourcesOf('base'), 'DaemonSet'), join(DIRECTORY, 'patch.yaml'));
  const [container] = daemonSet.spec.template.spec.containers;
  const argv = container.args.slice(1).filter((one: string) => !one.startsWith('--pools-file='));
  const read = readAgentOptions({ argv, env: {} }, 'host');
  if (read.kind !== 'run') return t.fail();
  const { metricsAddress, insecureMetrics } = read.options;
  t.like(metricsAddress, { loopback: false, port: only(objects, 'Service').spec.ports[0].targetPort });
  t.false(insecureMetrics);
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
    t.like(container[probe].httpGet, { scheme: 'HTTPS', port: metricsAddress.port, host: '127.0.0.1' });
  }
  t.deepEqual(rightsOf(only(objects, 'ClusterRole').rules), [
    'create subjectaccessreviews.authorization.k8s.io',
    'create tokenreviews.authentication.k8s.io',
  ]);
});

test('the kustomization has every file beside it', (t) => {
  const { resources, configMapGenerator } = kustomization(DIRECTORY);
  const [{ files }] = configMapGenerator;
  t.deepEqual([...resources, ...files, 'patch.yaml'].sort(), filesIn(DIRECTORY).toSorted());
  t.deepEqual(files, DASHBOARDS);
});
