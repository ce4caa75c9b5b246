import test from 'ava';
import { parsePodRequest } from '../../daemon/core/request.ts';
import type { PortRequest, Protocol, Target } from '../../daemon/core/vocabulary.ts';
import { DECLARED, messageOf, okOf, type PortSpec, podOf, twice } from './pods.ts';

const PORTS = 'berth.dev/ports';
const GALAXY = 'tkestack.io/portmapping';

/** `name protocol target group`, as short as a table needs it. */
type Row = readonly [
  name: string,
  protocol: Protocol,
  target: number | 'same' | `${number}-${number}` | `x${number}`,
  group: string,
];

const UNDERSTOOD: readonly (readonly [
  title: string,
  value: string,
  ports: readonly PortSpec[],
  rows: readonly Row[],
])[] = [
  [
    'an empty value asks for every declared port without a static one, sidecars included',
    '',
    DECLARED,
    [
      ['web', 'TCP', 80, '80'],
      ['dns', 'TCP', 53, '53'],
      ['dns-udp', 'UDP', 53, '53'],
      ['9100-tcp', 'TCP', 9100, '9100'],
      ['sig', 'SCTP', 53, '53/sctp'],
      ['proxy', 'TCP', 15001, '15001'],
    ],
  ],
  ['a blank value is an empty one', ' \n\t', [{ name: 'web', containerPort: 80 }], [['web', 'TCP', 80, '80']]],
  ['a pod without declared ports asks for nothing', '', [], []],
  ['a pod with static ports alone asks for nothing', '', [{ containerPort: 80, hostPort: 80 }], []],
  ['a static port of 0 is none', '', [{ containerPort: 80, hostPort: 0 }], [['80-tcp', 'TCP', 80, '80']]],
  [
    'identical unnamed declarations are one',
    '',
    [{ containerPort: 80 }, { containerPort: 80, container: 'b' }, { containerPort: 80, protocol: 'UDP' }],
    [
      ['80-tcp', 'TCP', 80, '80'],
      ['80-udp', 'UDP', 80, '80'],
    ],
  ],
  [
    'an unnamed declaration of a port that has a name elsewhere is that port',
    '',
    [{ containerPort: 80 }, { name: 'web', containerPort: 80, container: 'b' }],
    [['web', 'TCP', 80, '80']],
  ],
  [
    'two names of one port are two mappings, which no number can serve together',
    '',
    [
      { name: 'a', containerPort: 80 },
      { name: 'b', containerPort: 80 },
      { name: 'c', containerPort: 80, protocol: 'UDP' },
      { name: 'd', containerPort: 80, protocol: 'UDP' },
    ],
    [
      ['a', 'TCP', 80, '80'],
      ['b', 'TCP', 80, '80#2'],
      ['c', 'UDP', 80, '80'],
      ['d', 'UDP', 80, '80#2'],
    ],
  ],
  [
    'the list of the documentation',
    'web, 9000/udp, media=100/udp, rtp=40000-40099/udp, p2p=same/tcp+udp',
    DECLARED,
    [
      ['web', 'TCP', 80, '80'],
      ['9000-udp', 'UDP', 9000, '9000'],
      ['media', 'UDP', 'x100', 'media'],
      ['rtp', 'UDP', '40000-40099', 'rtp'],
      ['p2p', 'TCP', 'same', 'p2p'],
      ['p2p', 'UDP', 'same', 'p2p'],
    ],
  ],
  [
    'a list over several lines',
    '\n  web,\r\n\t9100\n',
    DECLARED,
    [
      ['web', 'TCP', 80, '80'],
      ['9100-tcp', 'TCP', 9100, '9100'],
    ],
  ],
  [
    'a declared number stands for all its protocols and has its names',
    '53',
    DECLARED,
    [
      ['dns', 'TCP', 53, '53'],
      ['dns-udp', 'UDP', 53, '53'],
      ['sig', 'SCTP', 53, '53/sctp'],
    ],
  ],
  ['a declared number with a protocol', '53/udp', DECLARED, [['dns-udp', 'UDP', 53, '53']]],
  [
    'a number declared for another protocol has no name for this one',
    '80/tcp+udp',
    DECLARED,
    [
      ['web', 'TCP', 80, '80'],
      ['80-udp', 'UDP', 80, '80'],
    ],
  ],
  ['an undeclared number is TCP', '7000', DECLARED, [['7000-tcp', 'TCP', 7000, '7000']]],
  [
    'an undeclared number asked for twice, once a protocol, is one number',
    '7000/tcp,7000/udp,7000/sctp',
    [],
    [
      ['7000-tcp', 'TCP', 7000, '7000'],
      ['7000-udp', 'UDP', 7000, '7000'],
      ['7000-sctp', 'SCTP', 7000, '7000/sctp'],
    ],
  ],
  [
    'a static declaration beside a free one leaves the free one',
    '80',
    [
      { containerPort: 80, hostPort: 8080 },
      { name: 'web', containerPort: 80, container: 'b' },
    ],
    [['web', 'TCP', 80, '80']],
  ],
  [
    'a name in two containers is no matter while it is not asked for',
    'web',
    twice('metrics', [{ name: 'web', containerPort: 80 }]),
    [['web', 'TCP', 80, '80']],
  ],
  ['a sidecar port can be named', 'proxy', DECLARED, [['proxy', 'TCP', 15001, '15001']]],
  [
    'blocks of the same numbers for different protocols',
    'a=100-199/udp,b=100-199/tcp',
    [],
    [
      ['a', 'UDP', '100-199', 'a'],
      ['b', 'TCP', '100-199', 'b'],
    ],
  ],
  [
    'neighbouring blocks',
    'a=100-199,b=200-299',
    [],
    [
      ['a', 'TCP', '100-199', 'a'],
      ['b', 'TCP', '200-299', 'b'],
    ],
  ],
  [
    'a block for three protocols has one number for all of them',
    'a=4/sctp+tcp+udp',
    [],
    [
      ['a', 'SCTP', 'x4', 'a'],
      ['a', 'TCP', 'x4', 'a'],
      ['a', 'UDP', 'x4', 'a'],
    ],
  ],
  [
    'names that objects of JavaScript have',
    'constructor,tostring=1',
    [{ name: 'constructor', containerPort: 80 }],
    [
      ['constructor', 'TCP', 80, '80'],
      ['tostring', 'TCP', 'x1', 'tostring'],
    ],
  ],
];

for (const [title, value, ports, rows] of UNDERSTOOD) {
  test(`ports: ${title}`, (t) => {
    const result = parsePodRequest(podOf({ [PORTS]: value }, ports));
    const requests = rows.map(requestOf);
    t.deepEqual(result, { kind: 'ok', request: { pool: 'default', requests, berth: true, galaxy: false } });
  });
}

test('a pod without the annotations asks for nothing, whatever else stands there', (t) => {
  const inherited: Record<string, string> = Object.create({ [PORTS]: '' });
  t.deepEqual(parsePodRequest(podOf({})), { kind: 'none' });
  t.deepEqual(parsePodRequest(podOf(inherited, [{ containerPort: 80 }])), { kind: 'none' });
  const others = { 'berth.dev/pool': 'games', 'berth.dev/host-ip': 'nonsense', 'berth.dev/allow-from': '' };
  t.deepEqual(parsePodRequest(podOf(others, [{ containerPort: 80 }])), { kind: 'none' });
});

for (const key of [PORTS, GALAXY]) {
  test(`a pod in the node's network is told so, for ${key}`, (t) => {
    t.deepEqual(parsePodRequest(podOf({ [key]: ',,,' }, [], { hostNetwork: true })), {
      kind: 'problem',
      problem: {
        reason: 'HostNetwork',
        message: `pod games/server-0: annotation ${key}: the pod has hostNetwork: true; its ports are already the node's and cannot be mapped; remove the annotation or hostNetwork`,
      },
    });
  });
}

test('galaxy: the ports of containers are asked for whatever the value is, sidecars and static ports are not', (t) => {
  const rows: readonly Row[] = [
    ['web', 'TCP', 80, '80'],
    ['dns', 'TCP', 53, '53'],
    ['dns-udp', 'UDP', 53, '53'],
    ['9100-tcp', 'TCP', 9100, '9100'],
    ['sig', 'SCTP', 53, '53/sctp'],
  ];
  for (const value of ['', ',,garbage,,', '[{"hostPort":1}]', 'x'.repeat(100_000)]) {
    t.deepEqual(parsePodRequest(podOf({ [GALAXY]: value }, DECLARED)), {
      kind: 'ok',
      request: { pool: 'default', requests: rows.map(requestOf), berth: false, galaxy: true },
    });
  }
});

test('galaxy: ports with one name in two containers are told apart by their numbers', (t) => {
  t.deepEqual(requestsOf({ [GALAXY]: '' }, twice('metrics')), [
    requestOf(['9090-tcp', 'TCP', 9090, '9090']),
    requestOf(['9091-tcp', 'TCP', 9091, '9091']),
  ]);
});

test('both annotations make one set of requests', (t) => {
  const ports: readonly PortSpec[] = [
    { name: 'web', containerPort: 80 },
    { containerPort: 81 },
    { containerPort: 82, protocol: 'UDP' },
    { containerPort: 83, container: 'sidecar', sidecar: true },
  ];
  const result = parsePodRequest(podOf({ [PORTS]: '81, p2p=same', [GALAXY]: '' }, ports));
  t.deepEqual(result, {
    kind: 'ok',
    request: {
      pool: 'default',
      requests: (
        [
          ['81-tcp', 'TCP', 81, '81'],
          ['p2p', 'TCP', 'same', 'p2p'],
          ['web', 'TCP', 80, '80'],
          ['82-udp', 'UDP', 82, '82'],
        ] satisfies Row[]
      ).map(requestOf),
      berth: true,
      galaxy: true,
    },
  });
});

test('both annotations: a given name that galaxy needs for a number is refused', (t) => {
  const message = messageOf({ [PORTS]: '80-tcp=5', [GALAXY]: '' }, [{ containerPort: 80 }]);
  t.is(
    message,
    'pod games/server-0: annotation tkestack.io/portmapping: "80-tcp" is a name in item 1 of berth.dev/ports too; choose another one',
  );
});

test('the pool, the host address and the sources apply to both annotations', (t) => {
  const more = {
    'berth.dev/pool': 'games',
    'berth.dev/host-ip': '2001:DB8::1',
    'berth.dev/allow-from': '203.0.113.0/25, 2001:db8::/32,203.0.113.128/25',
  };
  const expected = {
    pool: 'games',
    hostIP: { kind: 'address', family: 6, address: '2001:db8::1' },
    allowFrom: [
      { family: 4, text: '203.0.113.0/24' },
      { family: 6, text: '2001:db8::/32' },
    ],
  } as const;
  t.deepEqual(okOf({ [PORTS]: '', ...more }), { requests: [], berth: true, galaxy: false, ...expected });
  t.deepEqual(okOf({ [GALAXY]: '', ...more }), { requests: [], berth: false, galaxy: true, ...expected });
});

test('of mistakes in several annotations the one in the ports is reported', (t) => {
  const message = messageOf({
    [PORTS]: ',',
    'berth.dev/pool': '',
    'berth.dev/host-ip': '',
    'berth.dev/allow-from': '',
  });
  t.regex(message, /annotation berth\.dev\/ports, item 1/);
});

test('what stands behind 4 KiB is not looked at: the answer is the same for 5 KB and for 5 MB', (t) => {
  const short = messageOf({ [PORTS]: 'a=1,'.repeat(1250) });
  t.is(messageOf({ [PORTS]: 'a=1,'.repeat(1_250_000) }), short);
});

test('many declared ports take time in proportion to their number', (t) => {
  const same = Array.from({ length: 50_000 }, () => ({ containerPort: 80 }));
  t.is(requestsOf({ [PORTS]: '', [GALAXY]: '' }, same).length, 1);
  const different = Array.from({ length: 50_000 }, (_, index) => ({ name: `p${index}`, containerPort: 80 }));
  t.is(requestsOf({ [PORTS]: '', [GALAXY]: '' }, different).length, 50_000);
});

function requestOf([name, protocol, target, group]: Row): PortRequest {
  return { name, protocol, target: targetOf(target), group };
}

function targetOf(target: Row[2]): Target {
  if (typeof target === 'number') return { kind: 'port', port: target };
  if (target === 'same') return { kind: 'same' };
  if (target.startsWith('x')) return { kind: 'block', size: Number(target.slice(1)) };
  const [first, last] = target.split('-').map(Number);
  return { kind: 'numbers', first: first ?? 0, last: last ?? 0 };
}

function requestsOf(annotations: Readonly<Record<string, string>>, ports: readonly PortSpec[]): readonly PortRequest[] {
  return okOf(annotations, ports).requests;
}
