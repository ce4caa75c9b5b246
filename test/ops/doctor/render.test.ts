import { readFileSync } from 'node:fs';
import test from 'ava';
import { type Finding, finding, HOPS, seen } from '../../../daemon/core/diagnosis.ts';
import type { NodeFacts, PortFacts } from '../../../daemon/ops/doctor/facts.ts';
import { renderDiagnosis } from '../../../daemon/ops/doctor/render.ts';
import { examineNode, examinePod } from '../../../daemon/ops/doctor/walk.ts';
import { LINE, NODE, PORT, podFacts } from './patients.ts';

const DOCS = readFileSync(new URL('../../../docs/doctor.md', import.meta.url), 'utf8');

test('the output is as the documentation shows it, a table and JSON', (t) => {
  const node: NodeFacts = {
    ...NODE,
    answer: {
      kind: 'silent',
      why: 'nobody listens at /run/berth/agent.sock: the agent was killed and left its socket behind. Start it again',
    },
    lock: seen({ exists: true }),
  };
  const ports: readonly PortFacts[] = [
    { ...PORT, holder: seen({ kind: 'nobody' }), rule: seen({ wanted: [LINE], missing: [LINE], instead: [] }) },
  ];
  const diagnosis = { pod: 'games/arena-0', findings: examinePod(podFacts({}, { ports }), node) };
  const [, shown] = /^\$ berth doctor games\/arena-0 .*\n([\s\S]*?)^```/m.exec(DOCS) ?? [];
  t.is(renderDiagnosis(diagnosis, 'table'), shown ?? '');
  const json = JSON.parse(renderDiagnosis(diagnosis, 'json'));
  t.deepEqual(Object.keys(json), ['pod', 'breaksAt', 'findings']);
  const [, example = ''] = /^```json\n([\s\S]*?)^```/m.exec(DOCS) ?? [];
  t.deepEqual(json.breaksAt, JSON.parse(example));
  t.is(JSON.parse(renderDiagnosis({ findings: examineNode(NODE) }, 'json')).breaksAt, null);
});

test('the last line says where it breaks, and where further on; without a break, what is not known', (t) => {
  const last = (findings: readonly Finding[], pod?: string) =>
    renderDiagnosis({ ...(pod === undefined ? {} : { pod }), findings }, 'table')
      .split('\n\n')
      .at(-1);
  const ok = finding('BD101', 'ok', 'fine', 'x');
  t.is(last([ok]), 'no hop is seen to fail\n');
  t.is(
    last([ok, finding('BD503', 'warn', '', ''), finding('BD701', 'unknown', '', '')]),
    'no hop is seen to fail (1 with a warning, 1 not known)\n',
  );
  const broken = [finding('BD301', 'fail', 'no rule', '', 'web'), finding('BD701', 'fail', 'x', '', 'web')];
  t.is(
    last(broken, 'a/b'),
    'the path breaks at: rule (BD301, port web): no rule\nfurther on it breaks at: listener (BD701)\n',
  );
  t.is(last([finding('BD601', 'fail', 'off', '')]), 'mappings break at: forwarding (BD601): off\n');
});

test('every code is documented with its meaning and a remedy, and no other', (t) => {
  const sections = [...DOCS.matchAll(/^### (BD\d+) (.+)\n\n(.+)\n\nMend: (.+)$/gm)].map(
    ([, code, hop]) => `${code} ${hop}`,
  );
  t.deepEqual(
    sections,
    Object.entries(HOPS).map(([code, hop]) => `${code} ${hop}`),
  );
  t.deepEqual(DOCS.match(/^###/gm)?.length, sections.length);
});
