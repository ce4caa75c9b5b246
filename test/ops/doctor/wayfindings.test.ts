import test from 'ava';
import { seen } from '../../../daemon/core/diagnosis.ts';
import type { WayFacts } from '../../../daemon/ops/doctor/facts.ts';
import { examinePod } from '../../../daemon/ops/doctor/walk.ts';
import { NODE, podFacts, troubles } from './patients.ts';

const WAYS: readonly (readonly [
  title: string,
  ways: readonly WayFacts[],
  expected: readonly string[],
  says: RegExp,
])[] = [
  [
    'no route',
    [{ podIP: '10.244.1.7', way: seen(undefined) }],
    ['fail BD502'],
    /no route of the node leads to 10\.244\.1\.7/,
  ],
  [
    'a route off the node',
    [{ podIP: '10.244.1.7', way: seen({ device: 'eth0', leadsToPods: false, routeLocalnet: false }) }],
    ['warn BD502'],
    /is the pod on this node/,
  ],
  [
    'loopback closed',
    [{ podIP: '10.244.1.7', way: seen({ device: 'cni0', leadsToPods: true, routeLocalnet: false }) }],
    ['warn BD503'],
    /route_localnet is off on "cni0"/,
  ],
];

for (const [title, ways, expected, says] of WAYS) {
  test(`the way: ${title}`, (t) => {
    const findings = examinePod(podFacts({}, { ways }), NODE);
    t.deepEqual(troubles(findings), expected);
    t.regex(findings.find(({ status }) => status !== 'ok')?.says ?? '', says);
  });
}
