import test from 'ava';
import type { Pod } from '../../../daemon/core/vocabulary.ts';
import type { PodFacts } from '../../../daemon/ops/doctor/facts.ts';
import { examinePod } from '../../../daemon/ops/doctor/walk.ts';
import { assess } from '../../../daemon/reconcile/demand.ts';
import { NODE, POD, podFacts, troubles } from './patients.ts';

const noPorts: Partial<PodFacts> = { ports: [] };

const PODS: readonly (readonly [
  title: string,
  change: Partial<Pod>,
  more: Partial<PodFacts>,
  expected: readonly string[],
  says: RegExp,
])[] = [
  [
    'no annotation',
    { annotations: {} },
    noPorts,
    ['fail BD101', 'skipped BD102', 'skipped BD103', 'skipped BD104'],
    /asks for no host port/,
  ],
  [
    'a bad annotation',
    { annotations: { 'berth.dev/ports': 'nope' } },
    noPorts,
    ['fail BD102', 'skipped BD103', 'skipped BD104'],
    /"nope"/,
  ],
  ['nothing declared', { ports: [] }, noPorts, ['fail BD102'], /declares no container port/],
  ['a port it does not ask for', {}, { ...noPorts, asked: 'metrics' }, ['fail BD102'], /"metrics"; it asks for web/],
  [
    'an unknown pool',
    { annotations: { 'berth.dev/ports': '', 'berth.dev/pool': 'x' } },
    {},
    ['fail BD103'],
    /no pool "x"/,
  ],
  [
    'an address the node lacks',
    { annotations: { 'berth.dev/ports': '', 'berth.dev/host-ip': '192.0.2.8' } },
    {},
    ['fail BD104'],
    /no address 192\.0\.2\.8/,
  ],
  ['a pod that failed', { phase: 'Failed' }, {}, ['fail BD105'], /phase is Failed/],
  ['containers that ended', { terminating: true, ended: true }, {}, ['fail BD105'], /all its containers have ended/],
  ['a pod being deleted', { terminating: true }, {}, ['warn BD105'], /being deleted/],
  ['no address', { podIPs: [] }, { ways: [] }, ['fail BD106', 'skipped BD502', 'skipped BD503'], /no address yet/],
  ['a loopback address', { podIPs: ['127.0.0.1'] }, {}, ['fail BD106'], /"127\.0\.0\.1" is refused/],
  ["the node's address", { podIPs: ['192.0.2.7'] }, {}, ['fail BD106'], /the node's own address/],
];

for (const [title, change, more, expected, says] of PODS) {
  test(`the pod: ${title}`, (t) => {
    const findings = examinePod(podFacts(change, more), NODE);
    t.deepEqual(troubles(findings), expected);
    t.regex(findings.find(({ status }) => status !== 'ok')?.says ?? '', says);
  });
}

test('of a pod that has nothing but claims no pool has a say, and its address is looked at', (t) => {
  const addresses = [{ family: 4, address: '192.0.2.7', device: 'eth0' }] as const;
  const view = { labels: {}, addresses, isNodeAddress: () => false };
  const annotations = { 'claim.berth.dev/web': 'lobby' };
  const examined = (pod: Pod) => {
    const assessment = assess(pod, new Map(), view);
    return examinePod({ ...podFacts({ annotations }), pod, assessment }, NODE);
  };
  const findings = examined({ ...POD, annotations });
  t.regex(findings.find(({ code }) => code === 'BD102')?.says ?? '', /it asks for web \(TCP/);
  t.regex(findings.find(({ code }) => code === 'BD103')?.says ?? '', /those of its claims: no pool has a say/);
  const absent = examined({ ...POD, annotations: { ...annotations, 'berth.dev/host-ip': '192.0.2.8' } });
  t.regex(absent.find(({ code }) => code === 'BD104')?.says ?? '', /no address 192\.0\.2\.8/);
});

test('with --static-host-ports a pod that does not opt in is examined as far as its hostPorts go', (t) => {
  const addresses = [{ family: 4, address: '192.0.2.7', device: 'eth0' }] as const;
  const view = { labels: {}, addresses, isNodeAddress: () => false, servesStatics: true };
  const examined = (hostIP: string) => {
    const ports = [
      { container: 'main', sidecar: false, containerPort: 80, protocol: 'TCP', hostPort: 8080, hostIP },
    ] as const;
    const pod = { ...POD, annotations: {}, ports };
    return examinePod(podFacts(pod, { assessment: assess(pod, new Map(), view) }), NODE);
  };
  const sound = examined('192.0.2.7');
  t.deepEqual(troubles(sound), []);
  t.deepEqual(
    sound.slice(0, 4).map(({ says }) => says),
    [
      'pod games/arena-0 has static hostPorts in its spec, which Berth serves',
      'it asks for 80-tcp (TCP 80)',
      'its hostPorts are static: no pool has a say in them',
      'it is served at the addresses that its spec names',
    ],
  );
  t.deepEqual(troubles(examined('192.0.2.8')), ['fail BD104']);
  t.deepEqual(troubles(examined('::1')), ['fail BD102']);
});
