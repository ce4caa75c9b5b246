/** `claim.berth.dev/<port>` and `claim-template.berth.dev/<port>`: what they ask for, and what is said of mistakes. */
import test from 'ava';
import { parsePodRequest } from '../../daemon/core/request.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { DECLARED, type PortSpec, podOf, twice } from './pods.ts';

const CLAIM = 'claim.berth.dev/';
const TEMPLATE = 'claim-template.berth.dev/';
const PORTS = 'berth.dev/ports';

type Row = readonly [name: string, protocol: string, claim: string | undefined, group: string];

function rowsOf(
  annotations: Readonly<Record<string, string>>,
  ports: readonly PortSpec[],
  more: Partial<Pod> = {},
): Row[] {
  const result = parsePodRequest(podOf(annotations, ports, more));
  if (result.kind !== 'ok') throw new Error(JSON.stringify(result));
  return result.request.requests.map(({ name, protocol, claim, group }) => [name, protocol, claim, group]);
}

const UNDERSTOOD: readonly (readonly [
  title: string,
  annotations: Readonly<Record<string, string>>,
  ports: readonly PortSpec[],
  rows: readonly Row[],
])[] = [
  [
    'a claim alone opts its port in, and no other',
    { [`${CLAIM}web`]: 'lobby' },
    DECLARED,
    [['web', 'TCP', 'lobby', 'claim lobby']],
  ],
  [
    'blanks around the name do not count',
    { [`${CLAIM}web`]: ' lobby\n' },
    DECLARED,
    [['web', 'TCP', 'lobby', 'claim lobby']],
  ],
  [
    'a name with dots is a name',
    { [`${CLAIM}web`]: 'eu.lobby-1' },
    DECLARED,
    [['web', 'TCP', 'eu.lobby-1', 'claim eu.lobby-1']],
  ],
  [
    'of several selected ports the claimed one keeps its place',
    { [PORTS]: 'web, 9100', [`${CLAIM}web`]: 'lobby' },
    DECLARED,
    [
      ['web', 'TCP', 'lobby', 'claim lobby'],
      ['9100-tcp', 'TCP', undefined, '9100'],
    ],
  ],
  [
    'a declared port that the list does not name is asked for by its claim',
    { [PORTS]: '9100', [`${CLAIM}web`]: 'lobby' },
    DECLARED,
    [
      ['9100-tcp', 'TCP', undefined, '9100'],
      ['web', 'TCP', 'lobby', 'claim lobby'],
    ],
  ],
  [
    'both protocols of a name of its own have the one number',
    { [PORTS]: 'p2p=same/tcp+udp', [`${CLAIM}p2p`]: 'peer' },
    [],
    [
      ['p2p', 'TCP', 'peer', 'claim peer'],
      ['p2p', 'UDP', 'peer', 'claim peer'],
    ],
  ],
  [
    'two ports of different protocols may share a claim',
    { [`${CLAIM}dns`]: 'dns', [`${CLAIM}dns-udp`]: 'dns' },
    DECLARED,
    [
      ['dns', 'TCP', 'dns', 'claim dns'],
      ['dns-udp', 'UDP', 'dns', 'claim dns'],
    ],
  ],
  [
    'one half of a pair is claimed, and the other has a number of its own',
    { [PORTS]: 'dns, dns-udp', [`${CLAIM}dns`]: 'dns' },
    DECLARED,
    [
      ['dns', 'TCP', 'dns', 'claim dns'],
      ['dns-udp', 'UDP', undefined, '53'],
    ],
  ],
  [
    'a port that is asked for by number is claimed by the name that it has then',
    { [PORTS]: '9100', [`${CLAIM}9100-tcp`]: 'metrics' },
    DECLARED,
    [['9100-tcp', 'TCP', 'metrics', 'claim metrics']],
  ],
  [
    'beside the annotation of Galaxy',
    { 'tkestack.io/portmapping': '', [`${CLAIM}web`]: 'lobby' },
    [{ name: 'web', containerPort: 80 }],
    [['web', 'TCP', 'lobby', 'claim lobby']],
  ],
];

for (const [title, annotations, ports, rows] of UNDERSTOOD) {
  test(title, (t) => {
    const given = rowsOf(annotations, ports);
    t.deepEqual(given, [...rows]);
    const result = parsePodRequest(podOf(annotations, ports));
    t.true(result.kind === 'ok' && result.request.berth, 'the result goes to the Berth annotations');
  });
}

test("a template is for each pod of a StatefulSet the claim of the port's and the pod's name", (t) => {
  t.deepEqual(rowsOf({ [`${TEMPLATE}web`]: 'public' }, DECLARED, { stateful: true }), [
    ['web', 'TCP', 'web-server-0', 'claim web-server-0'],
  ]);
});

const MISTAKES: readonly (readonly [
  annotations: Readonly<Record<string, string>>,
  ports: readonly PortSpec[],
  message: string,
])[] = [
  [
    { [`${CLAIM}web`]: '' },
    DECLARED,
    `annotation ${CLAIM}web, column 1: "" names no claim; write the name of a HostPortClaim of this namespace`,
  ],
  [
    { [`${TEMPLATE}web`]: ' ' },
    DECLARED,
    `annotation ${TEMPLATE}web, column 1: "" names no class; write the name of the HostPortClass for claims of its pods`,
  ],
  [
    { [`${CLAIM}web`]: 'a/b' },
    DECLARED,
    `annotation ${CLAIM}web, column 1: "a/b" is not the name of a HostPortClaim; write at most 253 of a-z, 0-9, - and ., with - and . only inside`,
  ],
  [
    { [`${TEMPLATE}web`]: 'Public' },
    DECLARED,
    `annotation ${TEMPLATE}web, column 1: "Public" is not the name of a HostPortClass; write at most 253 of a-z, 0-9, - and ., with - and . only inside`,
  ],
  [
    { [`${TEMPLATE}web`]: 'public' },
    DECLARED,
    `annotation ${TEMPLATE}web: "public" is to make a claim for each pod of a StatefulSet, and this pod is of none; make a HostPortClaim and write ${CLAIM}web: NAME instead`,
  ],
  [
    { [`${CLAIM}wbe`]: 'lobby' },
    [{ name: 'web', containerPort: 80 }],
    `annotation ${CLAIM}wbe: "wbe" is not the name of a port of this pod (it declares "web"); name a declared port behind the / of the key, or one that berth.dev/ports asks for`,
  ],
  [
    { [CLAIM]: 'lobby' },
    [],
    `annotation ${CLAIM}: "" is not the name of a port of this pod (it declares no names); name a declared port behind the / of the key, or one that berth.dev/ports asks for`,
  ],
  [
    { [PORTS]: 'media=100/udp', [`${CLAIM}media`]: 'lobby' },
    [],
    `annotation ${CLAIM}media: "media" is a block of numbers, and a claim has one; claim a single port, or write media=same`,
  ],
  [
    { [PORTS]: 'rtp=40000-40001', [`${CLAIM}rtp`]: 'lobby' },
    [],
    `annotation ${CLAIM}rtp: "rtp" is a block of numbers, and a claim has one; claim a single port, or write rtp=same`,
  ],
  [
    { [`${CLAIM}web`]: 'lobby', [`${CLAIM}dns`]: 'lobby' },
    DECLARED,
    `annotation ${CLAIM}web: "lobby" has one TCP port, which port "dns" has already; make a claim for each of the two ports`,
  ],
  [
    { [`${CLAIM}fixed`]: 'lobby' },
    DECLARED,
    `annotation ${CLAIM}fixed: "fixed" has the static hostPort 8443 in container "app"; take it out of the list, or remove the hostPort from the pod's spec`,
  ],
  [
    { [`${CLAIM}metrics`]: 'lobby' },
    twice('metrics'),
    `annotation ${CLAIM}metrics: "metrics" has the name "metrics", which containers "a" and "b" both declare; rename one of the two ports`,
  ],
  [
    { [PORTS]: 'nope', [`${CLAIM}web`]: '' },
    [],
    'annotation berth.dev/ports, item 1, column 1: "nope" is not the name of a port of this pod (it declares no names); write the name of a declared port, NUMBER[/PROTO], name=COUNT[/PROTO], name=FIRST-LAST[/PROTO] or name=same[/PROTO]',
  ],
];

for (const [annotations, ports, message] of MISTAKES) {
  test(message.slice(0, 180), (t) => {
    const result = parsePodRequest(podOf(annotations, ports));
    t.is(result.kind === 'problem' ? result.problem.message : result.kind, `pod games/server-0: ${message}`);
    t.is(result.kind === 'problem' ? result.problem.reason : '', 'InvalidPortRequest');
  });
}

test('a port cannot have a claim and a template', (t) => {
  const pod = podOf({ [`${CLAIM}web`]: 'lobby', [`${TEMPLATE}web`]: 'public' }, DECLARED, { stateful: true });
  const result = parsePodRequest(pod);
  t.is(
    result.kind === 'problem' ? result.problem.message : '',
    `pod games/server-0: annotation ${CLAIM}web: "web" is claimed twice, by "web-server-0" too; remove one of the two annotations`,
  );
});

test('a template whose claim would have too long a name', (t) => {
  const name = `${'a'.repeat(125)}.${'b'.repeat(125)}`;
  const result = parsePodRequest(podOf({ [`${TEMPLATE}web`]: 'public' }, DECLARED, { stateful: true, name }));
  t.regex(
    result.kind === 'problem' ? result.problem.message : '',
    /cannot be the name of a claim \(255 characters\); shorten the name of "web"/,
  );
});

test("a pod in the node's network is told that by the annotation that it has", (t) => {
  const result = parsePodRequest(podOf({ [`${CLAIM}web`]: 'lobby' }, DECLARED, { hostNetwork: true }));
  t.true(result.kind === 'problem' && result.problem.reason === 'HostNetwork');
  t.regex(
    result.kind === 'problem' ? result.problem.message : '',
    /annotation claim\.berth\.dev\/web: the pod has hostNetwork/,
  );
});

test('a pod claims at most 64 ports: of more none is asked for, and the message says where to stop', (t) => {
  const many = (count: number) => {
    const names = Array.from({ length: count }, (_, index) => `p${String(index).padStart(3, '0')}`);
    const ports = names.map((name, index) => ({ name, containerPort: 1_000 + index }));
    const annotations = Object.fromEntries(names.map((name) => [`${CLAIM}${name}`, `claim-${name}`]));
    return parsePodRequest(podOf(annotations, ports));
  };
  t.is(many(64).kind, 'ok');
  const result = many(65);
  if (result.kind !== 'problem') throw new Error(result.kind);
  t.is(result.problem.reason, 'InvalidPortRequest');
  t.regex(result.problem.message, /claim\.berth\.dev\/p064.*is one of 65 claims.*at most 64 ports/);
});
