/** The static hostPorts of a spec as ports to be served: names, addresses, and what cannot be served. */
import test from 'ava';
import { staticHostIP, staticPorts } from '../../daemon/core/staticports.ts';
import { type PortSpec, podOf } from './pods.ts';

const names = (ports: readonly PortSpec[], taken: readonly string[] = []) =>
  staticPorts(podOf({}, ports), taken).map(({ request }) => request.name);

test('a static port leads from its hostPort, at its hostIP, to its container port', (t) => {
  const ports: readonly PortSpec[] = [
    { name: 'web', containerPort: 80, hostPort: 8080 },
    { containerPort: 53, hostPort: 53, protocol: 'UDP', hostIP: '2001:DB8::0:7' },
    { containerPort: 81 },
  ];
  t.deepEqual(staticPorts(podOf({}, ports), []), [
    { request: { name: 'web', protocol: 'TCP', target: { kind: 'port', port: 80 }, group: 'web' }, hostPort: 8080 },
    {
      request: { name: '53-udp', protocol: 'UDP', target: { kind: 'port', port: 53 }, group: '53-udp' },
      hostPort: 53,
      hostIP: '2001:db8::7',
    },
  ]);
});

test('a pod with hostNetwork has no static ports that need serving', (t) => {
  t.deepEqual(staticPorts(podOf({}, [{ containerPort: 80, hostPort: 80 }], { hostNetwork: true }), []), []);
});

for (const [what, ports, taken, expected] of [
  ['a declared name', [{ name: 'web', containerPort: 80, hostPort: 1 }], [], ['web']],
  [
    'unnamed ports to one container port are numbered',
    [
      { containerPort: 80, hostPort: 1 },
      { containerPort: 80, hostPort: 2 },
      { containerPort: 80, hostPort: 2, hostIP: '192.0.2.7' },
    ],
    [],
    ['80-tcp', '80-tcp-2', '80-tcp-3'],
  ],
  [
    'one name in two containers is given up for the numbers',
    [
      { name: 'web', containerPort: 80, hostPort: 1 },
      { name: 'web', containerPort: 81, hostPort: 2, container: 'b' },
    ],
    [],
    ['80-tcp', '81-tcp'],
  ],
  ['a dynamic port keeps its name', [{ containerPort: 80 }, { containerPort: 80, hostPort: 1 }], [], ['80-tcp-2']],
  [
    'a name that is made does not take that of a declared port',
    [
      { name: '80-tcp', containerPort: 90, hostPort: 1 },
      { containerPort: 80, hostPort: 2 },
    ],
    [],
    ['80-tcp', '80-tcp-2'],
  ],
  ['nor one of the annotation', [{ containerPort: 80, hostPort: 1 }], ['80-tcp'], ['80-tcp-2']],
] as const satisfies [string, readonly PortSpec[], readonly string[], readonly string[]][]) {
  test(`name: ${what}`, (t) => t.deepEqual(names(ports, taken), expected));
}

for (const [hostIP, canonical, wrong] of [
  [undefined, undefined, undefined],
  ['', undefined, undefined],
  ['0.0.0.0', undefined, undefined],
  ['::', undefined, undefined],
  ['192.0.2.7', '192.0.2.7', undefined],
  ['127.0.0.1', '127.0.0.1', undefined],
  ['::1', '::1', /loopback address, at which no host port can be served; write 127\.0\.0\.1$/],
  ['fe80::1', 'fe80::1', /link-local/],
  ['169.254.169.254', '169.254.169.254', /metadata/],
  ['::ffff:192.0.2.7', '::ffff:192.0.2.7', /v4-mapped/],
  ['224.0.0.1', '224.0.0.1', /multicast/],
  ['node-1', undefined, /"node-1" is no IP address/],
] as const) {
  test(`hostIP ${hostIP}`, (t) => {
    const spec = { containerPort: 80, hostPort: 8080, ...(hostIP === undefined ? {} : { hostIP }) };
    const [port] = staticPorts(podOf({}, [spec]), []);
    t.is(port?.hostIP, canonical);
    t.is(staticHostIP(spec), canonical);
    if (wrong === undefined) t.is(port?.wrong, undefined);
    else t.regex(port?.wrong ?? '', wrong);
  });
}

test('what Kubernetes would refuse is not served', (t) => {
  const ports = [
    { containerPort: 0, hostPort: 8080 },
    { containerPort: 80, hostPort: 65_536 },
  ] as const;
  for (const { wrong } of staticPorts(podOf({}, ports), [])) t.regex(wrong ?? '', /Kubernetes would refuse/);
});
