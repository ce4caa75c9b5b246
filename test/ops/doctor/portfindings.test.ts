import test from 'ava';
import { seen, unseen } from '../../../daemon/core/diagnosis.ts';
import type { NodeFacts, PortFacts } from '../../../daemon/ops/doctor/facts.ts';
import { examinePod } from '../../../daemon/ops/doctor/walk.ts';
import { GRANT, LINE, MAPPING, NODE, POD, PORT, podFacts, troubles } from './patients.ts';

const skipNumbers = ['skipped BD202', 'skipped BD301', 'skipped BD405', 'skipped BD501'];

const PORTS: readonly (readonly [
  title: string,
  change: Partial<PortFacts>,
  node: Partial<NodeFacts>,
  expected: readonly string[],
  says: RegExp,
])[] = [
  [
    'no number',
    { number: undefined, holder: undefined },
    {},
    ['fail BD201', ...skipNumbers],
    /the agent has not given one/,
  ],
  [
    'no number and no agent',
    { number: undefined, holder: undefined },
    { answer: { kind: 'silent', why: 'there is no socket' } },
    ['fail BD201', 'skipped BD202', 'skipped BD301', 'fail BD401', 'skipped BD405', 'skipped BD501'],
    /no agent answers/,
  ],
  [
    'nothing may be read',
    { number: undefined, holder: undefined },
    { answer: { kind: 'unseen', why: 'EACCES' }, state: unseen('EACCES') },
    [
      'unknown BD201',
      'skipped BD202',
      'skipped BD301',
      'unknown BD401',
      'unknown BD403',
      'skipped BD405',
      'skipped BD501',
    ],
    /cannot be seen: EACCES/,
  ],
  [
    'a number that is only announced',
    { number: { grant: GRANT, source: 'agent', mapping: MAPPING } },
    {},
    ['warn BD201'],
    /only by word of the agent/,
  ],
  [
    'the number is stolen',
    { holder: seen({ kind: 'process', process: { pid: 99, name: 'nc' } }) },
    {},
    ['fail BD202'],
    /23117\/TCP is held by process 99 \(nc\), not by the agent/,
  ],
  ['a thief that is not seen', { holder: seen({ kind: 'process' }) }, {}, ['fail BD202'], /held by another process/],
  ['a bound socket, an agent', { holder: seen({ kind: 'bound' }) }, {}, [], /^$/],
  [
    'a bound socket, no agent',
    { holder: seen({ kind: 'bound' }) },
    { answer: { kind: 'silent', why: 'gone' }, lock: seen({ exists: true }) },
    ['fail BD202', 'fail BD401', 'fail BD402', 'skipped BD404', 'skipped BD405'],
    /though no agent runs/,
  ],
  ['nobody holds it', { holder: seen({ kind: 'nobody' }) }, {}, ['fail BD202'], /nobody holds 23117\/TCP/],
  [
    'nobody holds it, as no agent runs',
    { holder: seen({ kind: 'nobody' }) },
    { answer: { kind: 'silent', why: 'gone' }, lock: seen({ exists: false }) },
    ['warn BD202', 'fail BD401', 'fail BD402', 'skipped BD404', 'skipped BD405'],
    /as no agent runs/,
  ],
  ['SCTP', { holder: undefined }, {}, ['skipped BD202'], /SCTP/],
  [
    'no rule',
    { rule: seen({ wanted: [LINE], missing: [LINE], instead: [] }) },
    {},
    ['fail BD301'],
    /no rule leads from 23117\/TCP to 10\.244\.1\.7: any4 lacks tcp \. 23117/,
  ],
  [
    'a rule to another pod',
    { rule: seen({ wanted: [LINE], missing: [LINE], instead: [{ ...LINE, value: '10.244.1.9 . 80' }] }) },
    {},
    ['fail BD301'],
    /leads to 10\.244\.1\.9 \. 80, not to 10\.244\.1\.7 \. 8080/,
  ],
  [
    'half a rule',
    {
      rule: seen({
        wanted: [LINE],
        missing: [{ set: 'allow4', key: 'tcp . 23117 . 203.0.113.0/24', value: '' }],
        instead: [],
      }),
    },
    {},
    ['fail BD301'],
    /not complete: allow4 lacks/,
  ],
  ['a rule that cannot be seen', { rule: unseen('EPERM') }, {}, ['unknown BD301'], /EPERM/],
  ['not announced', {}, { answer: { kind: 'answers', mappings: [] } }, ['fail BD405'], /does not announce 23117\/TCP/],
  [
    'another number announced',
    {},
    {
      answer: {
        kind: 'answers',
        mappings: [{ podUID: POD.uid, name: 'web', protocol: 'TCP', hostPort: 9, podIPs: [] }],
      },
    },
    ['fail BD405'],
    /announces 9\/TCP, not 23117\/TCP/,
  ],
  [
    'stale flows',
    {
      flows: seen([
        {
          protocol: 'TCP',
          source: '198.51.100.4',
          sourcePort: 5000,
          destination: '192.0.2.7',
          port: 23_117,
          replySource: '10.244.1.99',
          replyPort: 8080,
        },
      ]),
    },
    {},
    ['warn BD501'],
    /1 tracked flow goes elsewhere .* 198\.51\.100\.4 port 5000 goes to 10\.244\.1\.99 port 8080/,
  ],
  ['flows that cannot be read', { flows: unseen('EPERM') }, {}, ['skipped BD501'], /EPERM/],
  [
    'nobody listens',
    { listening: [{ podIP: '10.244.1.7', port: 8080, listening: 'refuses' }] },
    {},
    ['fail BD701'],
    /10\.244\.1\.7 refuses at TCP port 8080/,
  ],
  [
    'a silent pod',
    { listening: [{ podIP: '10.244.1.7', port: 8080, listening: 'is silent' }] },
    {},
    ['fail BD701'],
    /is silent at TCP port 8080.*network policy/,
  ],
  [
    'one family of two listens',
    {
      listening: [
        { podIP: '10.244.1.7', port: 8080, listening: 'answers' },
        { podIP: 'fd00::7', port: 8080, listening: 'refuses' },
      ],
    },
    {},
    ['warn BD701'],
    /fd00::7 refuses/,
  ],
  ['nothing to try', { listening: [] }, {}, ['skipped BD701'], /no address or port to try/],
];

for (const [title, change, node, expected, says] of PORTS) {
  test(`the port: ${title}`, (t) => {
    const findings = examinePod(podFacts({}, { ports: [{ ...PORT, ...change }] }), { ...NODE, ...node });
    t.deepEqual(troubles(findings), expected);
    t.regex(findings.find(({ status }) => status !== 'ok')?.says ?? '', says);
  });
}

test('of UDP no more is claimed than can be known', (t) => {
  const udp = (listening: 'is silent' | 'refuses' | 'is unreachable') => {
    const request = { ...PORT.request, protocol: 'UDP' } as const;
    const tried = [{ podIP: '10.244.1.7', port: 9000, listening }];
    const findings = examinePod(podFacts({}, { ports: [{ ...PORT, request, listening: tried }] }), NODE);
    return findings.filter(({ code }) => code === 'BD701').map(({ status }) => status);
  };
  t.deepEqual([udp('is silent'), udp('refuses'), udp('is unreachable')], [['unknown'], ['fail'], ['fail']]);
});
