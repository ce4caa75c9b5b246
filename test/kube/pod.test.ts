import { readFileSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import { BerthError } from '../../daemon/core/errors.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { parseManifest } from '../../daemon/kube/manifest.ts';
import { decodePod, withAnnotations } from '../../daemon/kube/pod.ts';
import { type ObjectSpec, podObject } from './objects.ts';

function example(name: string): Pod {
  return parseManifest(readFileSync(new URL(`manifests/${name}.yaml`, import.meta.url)), `${name}.yaml`);
}

const decode = (more: ObjectSpec) => decodePod(podObject(more));

const rejects = test.macro({
  exec(t, object: unknown, message: string) {
    const error = t.throws(() => decodePod(object), { instanceOf: BerthError });
    t.is(error?.code, 'PODS_UNREADABLE');
    t.is(error?.message, message);
  },
  title: (title, _, message) => title ?? `refused: ${message}`,
});

test('the web pod keeps what Berth uses and nothing else', (t) => {
  t.deepEqual(example('web'), {
    namespace: 'shop',
    name: 'web',
    uid: '6f1f7a3e-2b60-4c0e-8f3d-0d8a5f0c1a01',
    annotations: { 'berth.dev/ports': 'web' },
    hostNetwork: false,
    phase: 'Running',
    terminating: false,
    ended: false,
    podIPs: ['10.244.1.5'],
    ports: [
      { container: 'nginx', sidecar: false, name: 'web', containerPort: 80, protocol: 'TCP' },
      { container: 'nginx', sidecar: false, name: 'metrics', containerPort: 9113, protocol: 'TCP' },
    ],
    createdAt: Date.UTC(2026, 0, 31, 12),
  });
});

test('the game server has its protocol, its static host port and its sources', (t) => {
  const pod = example('game-server');
  t.deepEqual(pod.ports, [
    { container: 'server', sidecar: false, name: 'game', containerPort: 7777, protocol: 'UDP' },
    {
      container: 'server',
      sidecar: false,
      name: 'rcon',
      containerPort: 27015,
      protocol: 'TCP',
      hostPort: 27015,
      hostIP: '192.0.2.7',
    },
  ]);
  t.is(pod.annotations['berth.dev/allow-from'], '203.0.113.0/24, 2001:db8::/32');
});

test('the dual-stack pod is in the namespace `default` and has both addresses, in their order', (t) => {
  const pod = example('dual-stack');
  t.is(pod.namespace, 'default');
  t.deepEqual(pod.podIPs, ['10.244.1.7', '2001:db8:244::7']);
  t.deepEqual(pod.ports, []);
});

test('ports of native sidecars come after those of containers; other init containers have none', (t) => {
  t.deepEqual(
    example('sidecar').ports.map(({ container, name, sidecar }) => ({ container, name, sidecar })),
    [
      { container: 'broker', name: 'broker', sidecar: false },
      { container: 'proxy', name: 'tls', sidecar: true },
    ],
  );
});

test('only the annotations of Berth and Galaxy are kept, the written ones among them', (t) => {
  const annotations = {
    'berth.dev/ports': 'web',
    'berth.dev/pool': 'games',
    'berth.dev/host-ip': '192.0.2.7',
    'berth.dev/allow-from': '',
    'berth.dev/mappings': '[]',
    'berth.dev/unknown': 'x',
    'port.berth.dev/web': '23117',
    'tkestack.io/portmapping': '',
    'kubectl.kubernetes.io/last-applied-configuration': '{}',
    unused: 7,
  };
  t.deepEqual(Object.keys(decode({ annotations }).annotations), [
    'berth.dev/ports',
    'berth.dev/pool',
    'berth.dev/host-ip',
    'berth.dev/allow-from',
    'berth.dev/mappings',
    'port.berth.dev/web',
    'tkestack.io/portmapping',
  ]);
});

test('keys of a prototype are neither read nor written', (t) => {
  const hostile = `{"__proto__": {"berth.dev/ports": "x"}, "constructor": "y", "toString": "z"}`;
  const pod = decode({ annotations: JSON.parse(hostile) });
  t.deepEqual(Object.getOwnPropertyNames(pod.annotations), []);
  t.is(Object.getPrototypeOf(pod.annotations), Object.prototype);
  const borrowed = JSON.parse('{"__proto__": {"apiVersion": "v1"}, "kind": "Pod"}');
  t.throws(() => decodePod(borrowed), { message: 'apiVersion is missing' });
  t.false('berth.dev/ports' in {});
});

test('null means absent', (t) => {
  const pod = decode({
    annotations: null,
    metadata: { namespace: null, creationTimestamp: null, deletionTimestamp: null },
    spec: { hostNetwork: null, initContainers: null, containers: [{ name: 'app', ports: null }] },
    status: { phase: null, podIPs: null, podIP: null, containerStatuses: null, initContainerStatuses: null },
  });
  t.like(pod, {
    namespace: 'default',
    hostNetwork: false,
    phase: 'Pending',
    terminating: false,
    ended: false,
    createdAt: 0,
  });
  t.deepEqual(pod.annotations, {});
  t.deepEqual(pod.podIPs, []);
});

test('a pod without a status is Pending, even with an address', (t) => {
  const { status: _, ...object } = podObject();
  t.like(decodePod(object), { phase: 'Pending', podIPs: [] });
  t.like(decode({ status: { podIP: '10.0.0.1' } }), { phase: 'Pending', podIPs: ['10.0.0.1'] });
});

test('podIPs count before podIP, and neither is checked', (t) => {
  t.deepEqual(decode({ status: { podIP: '10.0.0.1', podIPs: [{ ip: 'fe80::1' }, { ip: '' }] } }).podIPs, ['fe80::1']);
  t.deepEqual(decode({ status: { podIP: '127.0.0.1', podIPs: [] } }).podIPs, ['127.0.0.1']);
});

test('`hostPort: 0` is none', (t) => {
  const [port] = decode({ spec: { containers: [{ name: 'app', ports: [{ containerPort: 1, hostPort: 0 }] }] } }).ports;
  t.deepEqual(port, { container: 'app', sidecar: false, containerPort: 1, protocol: 'TCP' });
});

const terminated = (name: string) => ({ name, state: { terminated: { exitCode: 0 } } });
const running = (name: string) => ({ name, state: { running: {} } });
const twoAndSidecar = {
  containers: [{ name: 'a' }, { name: 'b' }],
  initContainers: [{ name: 'once' }, { name: 'side', restartPolicy: 'Always' }],
};
const ends = test.macro({
  exec(t, status: object, ended: boolean) {
    t.is(decode({ spec: twoAndSidecar, status }).ended, ended);
  },
  title: (title) => `ended: ${title}`,
});
const all = { containerStatuses: [terminated('a'), terminated('b')], initContainerStatuses: [terminated('side')] };
test('when every container and sidecar has terminated', ends, all, true);
test('not while one container runs', ends, { ...all, containerStatuses: [terminated('a'), running('b')] }, false);
test('not while a sidecar runs', ends, { ...all, initContainerStatuses: [running('side')] }, false);
test('not while a status is missing', ends, { ...all, containerStatuses: [terminated('a')] }, false);
test('not while a container waits', ends, { ...all, containerStatuses: [terminated('a'), { name: 'b' }] }, false);
const crashed = { name: 'b', state: { waiting: {} }, lastState: { terminated: { exitCode: 1, reason: 'Error' } } };
test(
  'not while a container waits to be started again',
  ends,
  { ...all, containerStatuses: [terminated('a'), crashed] },
  false,
);
const removed = {
  name: 'b',
  state: { waiting: { reason: 'ContainerCreating' } },
  lastState: { terminated: { exitCode: 137, finishedAt: null, startedAt: null, reason: 'ContainerStatusUnknown' } },
};
const removedAll = { ...all, containerStatuses: [terminated('a'), removed] };
test('when kubelet found a container removed, which it says by its last state', ends, removedAll, true);
const runsAgain = { ...removed, state: { running: {} } };
test(
  'not while a container runs that had been removed',
  ends,
  { ...all, containerStatuses: [terminated('a'), runsAgain] },
  false,
);
test('without statuses by the phase', ends, { phase: 'Failed' }, true);
test('without statuses not while Running', ends, { phase: 'Running' }, false);

test('a pod that is being deleted is terminating', (t) => {
  t.true(decode({ metadata: { deletionTimestamp: '2026-01-31T12:00:00.5+01:00' } }).terminating);
});

test('a manifest without a uid has the same one whatever else is edited', (t) => {
  const uidOf = (name: string, created: string | null, status: object) =>
    decode({ name, uid: null, metadata: { creationTimestamp: created }, status }).uid;
  const uid = uidOf('a', null, { phase: 'Pending' });
  t.regex(uid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  t.is(uidOf('a', null, { phase: 'Running' }), uid);
  t.not(uidOf('b', null, {}), uid);
  t.not(uidOf('a', '2026-01-31T12:00:00Z', {}), uid);
});

test(rejects, undefined, 'the Pod object is missing');
test(rejects, null, 'the Pod object must be a map, not null');
test(rejects, 'a\u001b[31m', 'the Pod object must be a map, not "a\\x1b[31m"');
test(rejects, { ...podObject(), kind: 'Deployment' }, 'kind must be "Pod" (one Pod object a file), not "Deployment"');
test(rejects, { ...podObject(), apiVersion: 'v2' }, 'apiVersion must be "v1", not "v2"');
test(rejects, { apiVersion: 'v1', kind: 'Pod' }, 'metadata is missing');
test(
  rejects,
  podObject({ name: '../../etc/passwd' }),
  'metadata.name must be a DNS subdomain (at most 253 of a-z, 0-9, - and .), not "../../etc/passwd"',
);
test(
  rejects,
  podObject({ namespace: 'a/b' }),
  'metadata.namespace must be a DNS label (at most 63 of a-z, 0-9 and -), not "a/b"',
);
test(rejects, podObject({ uid: 17 }), 'metadata.uid must be a string, not 17');
test(rejects, podObject({ uid: 'a b' }), 'metadata.uid must be a uid (at most 64 of letters, digits and -), not "a b"');
test(
  rejects,
  podObject({ annotations: { 'berth.dev/ports': 9000 } }),
  'metadata.annotations["berth.dev/ports"] must be a string (in YAML write it in quotes), not 9000',
);
test(rejects, podObject({ annotations: ['a'] }), 'metadata.annotations must be a map, not a list');
test(
  rejects,
  podObject({ annotations: { 'berth.dev/ports': 'x'.repeat(300_000) } }),
  'metadata.annotations must be a map of at most 256 KiB in all',
);
test(
  rejects,
  podObject({ metadata: { creationTimestamp: 'yesterday' } }),
  'metadata.creationTimestamp must be a time such as 2026-01-31T12:00:00Z, not "yesterday"',
);
test(rejects, podObject({ spec: { containers: [] } }), 'spec.containers must be a list of at least one container');
test(rejects, podObject({ spec: { containers: {} } }), 'spec.containers must be a list, not a map');
test(rejects, podObject({ spec: { hostNetwork: 'yes' } }), 'spec.hostNetwork must be true or false, not "yes"');
for (const containerPort of [0, -1, 65_536, 1e5, 80.5]) {
  test(
    `V23: not a port number: ${containerPort}`,
    rejects,
    podObject({ spec: { containers: [{ name: 'a', ports: [{ containerPort: 80 }, { containerPort }] }] } }),
    `spec.containers[0].ports[1].containerPort must be a number from 1 to 65535, not ${containerPort}`,
  );
}
test(
  rejects,
  podObject({ spec: { containers: [{ name: 'a', ports: [{ containerPort: '80' }] }] } }),
  'spec.containers[0].ports[0].containerPort must be a number, not "80"',
);
test(
  rejects,
  podObject({ spec: { containers: [{ name: 'a', ports: [{ containerPort: 1, protocol: 'tcp' }] }] } }),
  'spec.containers[0].ports[0].protocol must be TCP, UDP or SCTP, not "tcp"',
);
test(
  rejects,
  podObject({ spec: { containers: [{ name: 'a', ports: [{ containerPort: 1, name: '80' }] }] } }),
  'spec.containers[0].ports[0].name must be a port name (at most 15 of a-z, 0-9 and -, one letter), not "80"',
);
test(
  rejects,
  podObject({ spec: { containers: [{ name: 'a', ports: [{ containerPort: 1, hostIP: '1.2.3' }] }] } }),
  'spec.containers[0].ports[0].hostIP must be an IP address, not "1.2.3"',
);
const many = (count: number) => Array.from({ length: count }, () => ({ containerPort: 1 }));
test(
  rejects,
  podObject({
    spec: {
      containers: [
        { name: 'a', ports: many(501) },
        { name: 'b', ports: many(500) },
      ],
    },
  }),
  'spec must be a map with at most 1000 container ports in all',
);
test(
  rejects,
  podObject({ status: { podIPs: many(17).map(() => ({ ip: '10.0.0.1' })) } }),
  'status.podIPs must be a list of at most 16 entries',
);
test(
  rejects,
  podObject({ status: { phase: 'Sleeping' } }),
  'status.phase must be Pending, Running, Succeeded, Failed or Unknown, not "Sleeping"',
);

test('as many container ports as are allowed are read', (t) => {
  t.is(decode({ spec: { containers: [{ name: 'a', ports: many(1_000) }] } }).ports.length, 1_000);
});

test('V9: decoding is total: a pod or PODS_UNREADABLE, whatever stands at whatever place', (t) => {
  const anything = fc.anything({ maxDepth: 3, withNullPrototype: true, withDate: true, withMap: true });
  const places = ['metadata', 'spec', 'status', 'apiVersion'] as const;
  const object = fc.oneof(
    anything,
    fc.tuple(fc.constantFrom(...places), anything).map(([place, value]) => ({ ...podObject(), [place]: value })),
    fc
      .record({
        name: anything,
        namespace: anything,
        uid: anything,
        annotations: anything,
        spec: anything,
        status: anything,
      })
      .map((fields) => podObject(fields as ObjectSpec)),
    fc
      .tuple(fc.constantFrom('ports', 'name', 'restartPolicy', 'state'), anything)
      .map(([key, value]) => podObject({ spec: { containers: [{ name: 'a', [key]: value }] } })),
  );
  fc.assert(
    fc.property(object, (value) => {
      try {
        const pod = decodePod(value);
        return pod.ports.every(({ containerPort }) => containerPort >= 1 && containerPort <= 65_535);
      } catch (error) {
        return error instanceof BerthError && error.code === 'PODS_UNREADABLE' && error.message.length < 512;
      }
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});

test('written annotations take the place of what stood there, and never that of a request', (t) => {
  const pod = decode({
    annotations: { 'berth.dev/ports': 'web', 'berth.dev/mappings': 'forged', 'port.berth.dev/old': '1' },
  });
  const written = { 'berth.dev/mappings': '[]', 'port.berth.dev/web': '23117', 'berth.dev/ports': 'other' };
  t.deepEqual(withAnnotations(pod, written).annotations, {
    'berth.dev/ports': 'web',
    'berth.dev/mappings': '[]',
    'port.berth.dev/web': '23117',
  });
});

test("Galaxy's key gets its result only while the user asks for it", (t) => {
  const written = { 'tkestack.io/portmapping': '[{}]' };
  t.deepEqual(
    withAnnotations(decode({ annotations: { 'tkestack.io/portmapping': '' } }), written).annotations,
    written,
  );
  t.deepEqual(withAnnotations(decode({ annotations: {} }), written).annotations, {});
});

const CLAIMED = { 'claim.berth.dev/web': 'lobby' };
const READY = {
  phase: 'Running',
  podIPs: [{ ip: '10.0.0.7' }],
  conditions: [{ type: 'ContainersReady', status: 'True' }],
};
const OWNER = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', controller: true };

test('of a pod that claims ports it is kept whether its containers are ready and a StatefulSet made it', (t) => {
  const pod = decode({ annotations: CLAIMED, status: READY, metadata: { ownerReferences: [OWNER] } });
  t.like(pod, { annotations: CLAIMED, ready: true, stateful: true });
  for (const status of ['False', 'Unknown', true, null]) {
    const conditions = [
      { type: 'Ready', status: 'True' },
      { type: 'ContainersReady', status },
    ];
    t.false('ready' in decode({ annotations: CLAIMED, status: { ...READY, conditions } }), String(status));
  }
  for (const other of [{ controller: false }, { kind: 'ReplicaSet' }, { apiVersion: 'evil/v1' }]) {
    const metadata = { ownerReferences: [{ ...OWNER, ...other }] };
    t.false('stateful' in decode({ annotations: CLAIMED, metadata }), JSON.stringify(other));
  }
});

test('of any other pod it is not: its readiness changes all the time', (t) => {
  const pod = decode({ status: READY, metadata: { ownerReferences: [OWNER] } });
  t.false('ready' in pod || 'stateful' in pod);
});

test('conditions and owners that cannot be understood hide no pod', (t) => {
  for (const odd of [null, 1, 'x', {}, [null, 1, [], { type: 1 }]]) {
    const pod = decode({
      annotations: CLAIMED,
      status: { ...READY, conditions: odd },
      metadata: { ownerReferences: odd },
    });
    t.false('ready' in pod || 'stateful' in pod);
  }
});
