import test from 'ava';
import fc from 'fast-check';
import { parsePodRequest } from '../../daemon/core/request.ts';
import {
  conditionMapped,
  conditionProblem,
  galaxyAnnotation,
  mappingsAnnotation,
  parseMappingsAnnotation,
  promiseAnnotations,
} from '../../daemon/core/result.ts';
import { containerPortOf } from '../../daemon/core/unit.ts';
import type { Family, Mapping, Pod } from '../../daemon/core/vocabulary.ts';
import { DECLARED, podOf, twice } from './pods.ts';

const UID = '7d2f6f5e-5c0a-4f0e-9f0d-1b2c3d4e5f60';
const GALAXY = 'tkestack.io/portmapping';

interface GalaxyEntry {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
}

function mappingOf(more: Partial<Mapping>): Mapping {
  return {
    pod: { namespace: 'games', name: 'server-0', uid: UID },
    name: 'web',
    protocol: 'TCP',
    pool: 'default',
    hostPort: 23117,
    size: 1,
    containerPort: 80,
    podIPs: ['10.0.0.7'],
    ...more,
  };
}

function nodeIPs(family: Family): readonly string[] {
  return family === 4 ? ['192.0.2.7', '192.0.2.8'] : ['2001:db8::7'];
}

test('the announcement has its keys in the documented order', (t) => {
  t.is(
    mappingsAnnotation([mappingOf({})], nodeIPs),
    `[{"name":"web","hostPort":23117,"containerPort":80,"protocol":"TCP","nodeIPs":["192.0.2.7","192.0.2.8"],"podName":"server-0","podUID":"${UID}","podIP":"10.0.0.7"}]`,
  );
});

test('a block is one entry with its last number behind the container port', (t) => {
  const block = mappingOf({ name: 'media', protocol: 'UDP', hostPort: 24000, containerPort: 24000, size: 100 });
  t.is(
    mappingsAnnotation([block], nodeIPs),
    `[{"name":"media","hostPort":24000,"containerPort":24000,"endPort":24099,"protocol":"UDP","nodeIPs":["192.0.2.7","192.0.2.8"],"podName":"server-0","podUID":"${UID}","podIP":"10.0.0.7"}]`,
  );
});

test('a mapping on one address names that address alone', (t) => {
  t.is(
    mappingsAnnotation([mappingOf({ hostIP: '192.0.2.8' })], nodeIPs),
    `[{"name":"web","hostPort":23117,"containerPort":80,"protocol":"TCP","hostIP":"192.0.2.8","nodeIPs":["192.0.2.8"],"podName":"server-0","podUID":"${UID}","podIP":"10.0.0.7"}]`,
  );
});

test("the node's addresses are those of the pod's families, the primary family first", (t) => {
  const addresses = (podIPs: readonly string[]) => JSON.parse(mappingsAnnotation([mappingOf({ podIPs })], nodeIPs))[0];
  t.like(addresses(['2001:db8:1::9', '10.0.0.7']), {
    nodeIPs: { 0: '2001:db8::7', 1: '192.0.2.7', 2: '192.0.2.8' },
    podIP: '2001:db8:1::9',
  });
  t.deepEqual(addresses(['2001:db8:1::9']).nodeIPs, ['2001:db8::7']);
});

test('no mapping is an empty array', (t) => {
  t.is(mappingsAnnotation([], nodeIPs), '[]');
  t.deepEqual(promiseAnnotations([]), {});
  t.is(galaxyAnnotation(podOf({}), []), '[]');
});

test('the promise of a port is its number, of a block its first and last number, and two protocols share one', (t) => {
  const mappings = [
    mappingOf({}),
    mappingOf({ name: '9000-udp', protocol: 'UDP', hostPort: 20000, containerPort: 9000 }),
    mappingOf({ name: 'media', hostPort: 23200, size: 100 }),
    mappingOf({ name: 'media', hostPort: 23200, size: 100, protocol: 'UDP' }),
  ];
  t.deepEqual(promiseAnnotations(mappings), {
    'port.berth.dev/web': '23117',
    'port.berth.dev/9000-udp': '20000',
    'port.berth.dev/media': '23200-23299',
  });
});

test("Galaxy's own example is written as Galaxy writes it", (t) => {
  const pod = podOf({ [GALAXY]: '' }, [{ containerPort: 19998 }], {
    name: 'loader-server-1',
    podIPs: ['172.16.24.119'],
  });
  t.is(
    galaxyAnnotation(pod, mapped(pod, 52701)),
    '[{"hostPort":52701,"containerPort":19998,"protocol":"TCP","podName":"loader-server-1","podIP":"172.16.24.119"}]',
  );
});

test('Galaxy: the order of the spec, static ports too, no sidecars, nothing that is not declared', (t) => {
  const pod = podOf({ [GALAXY]: '', 'berth.dev/ports': 'p2p=same, sig, proxy, 7000' }, DECLARED);
  t.deepEqual(
    JSON.parse(galaxyAnnotation(pod, mapped(pod, 20000))).map((entry: GalaxyEntry) => [
      entry.hostPort,
      entry.containerPort,
      entry.protocol,
    ]),
    [
      [20004, 80, 'TCP'],
      [20005, 53, 'TCP'],
      [20006, 53, 'UDP'],
      [20007, 9100, 'TCP'],
      [20001, 53, 'SCTP'],
      [8443, 443, 'TCP'],
    ],
  );
});

test('Galaxy: the host address is there when there is one, of the spec for a static port', (t) => {
  const pod = podOf({ [GALAXY]: '' }, [
    { containerPort: 80 },
    { containerPort: 81, hostPort: 8081, hostIP: '192.0.2.9' },
    { containerPort: 82, hostPort: 8082, hostIP: '' },
  ]);
  const mappings = [mappingOf({ name: '80-tcp', hostIP: '192.0.2.7' })];
  t.is(
    galaxyAnnotation(pod, mappings),
    '[{"hostPort":23117,"containerPort":80,"protocol":"TCP","hostIP":"192.0.2.7","podName":"server-0","podIP":"10.0.0.7"},' +
      '{"hostPort":8081,"containerPort":81,"protocol":"TCP","hostIP":"192.0.2.9","podName":"server-0","podIP":"10.0.0.7"},' +
      '{"hostPort":8082,"containerPort":82,"protocol":"TCP","podName":"server-0","podIP":"10.0.0.7"}]',
  );
});

test('Galaxy: each declaration has its number, also where names or numbers stand twice', (t) => {
  const pod = podOf(
    { [GALAXY]: '' },
    twice('metrics', [
      { containerPort: 80 },
      { containerPort: 80, container: 'b' },
      { name: 'web', containerPort: 80 },
    ]),
  );
  t.deepEqual(
    JSON.parse(galaxyAnnotation(pod, mapped(pod, 20000))).map((entry: GalaxyEntry) => entry.hostPort),
    [20000, 20000, 20000, 20001, 20002],
  );
});

test('what was announced is read back as a hint', (t) => {
  const mappings = [
    mappingOf({}),
    mappingOf({ name: 'media', protocol: 'UDP', hostPort: 24000, size: 100, hostIP: '192.0.2.8' }),
  ];
  t.deepEqual(parseMappingsAnnotation(mappingsAnnotation(mappings, nodeIPs)), [
    { name: 'web', protocol: 'TCP', hostPort: 23117, size: 1, podUID: UID },
    { name: 'media', protocol: 'UDP', hostPort: 24000, size: 100, podUID: UID },
  ]);
});

const SOUND = { name: 'web', hostPort: 23117, protocol: 'TCP', podUID: UID };

test('unknown keys of an announcement are ignored', (t) => {
  t.deepEqual(parseMappingsAnnotation(JSON.stringify([{ ...SOUND, colour: 'red', size: 9 }])), [
    { name: 'web', protocol: 'TCP', hostPort: 23117, size: 1, podUID: UID },
  ]);
});

const MALFORMED: readonly (readonly [title: string, text: string])[] = [
  ['nothing', ''],
  ['no JSON', '[{'],
  ['no array', '{}'],
  ['null', 'null'],
  ['an entry that is no object', '[1]'],
  ['a null entry', '[null]'],
  ['an array as entry', '[[]]'],
  ['no name', JSON.stringify([{ ...SOUND, name: undefined }])],
  ['a bad name', JSON.stringify([{ ...SOUND, name: '__proto__' }])],
  ['a bad protocol', JSON.stringify([{ ...SOUND, protocol: 'tcp' }])],
  ['a number as text', JSON.stringify([{ ...SOUND, hostPort: '23117' }])],
  ['a fraction', JSON.stringify([{ ...SOUND, hostPort: 1.5 }])],
  ['port 0', JSON.stringify([{ ...SOUND, hostPort: 0 }])],
  ['port 65536', JSON.stringify([{ ...SOUND, hostPort: 65536 }])],
  ['a block that runs backwards', JSON.stringify([{ ...SOUND, endPort: 23116 }])],
  ['a block that is too large', JSON.stringify([{ ...SOUND, endPort: 23117 + 256 }])],
  ['a block beyond the last port', JSON.stringify([{ ...SOUND, hostPort: 65500, endPort: 65536 }])],
  ['no last number', JSON.stringify([{ ...SOUND, endPort: null }])],
  ['no uid', JSON.stringify([{ ...SOUND, podUID: '' }])],
  ['an inherited field', '[{"__proto__":{"name":"web","hostPort":23117,"protocol":"TCP","podUID":"u"}}]'],
  ['one bad entry among good ones', JSON.stringify([SOUND, { ...SOUND, hostPort: -1 }])],
  ['deep nesting', '['.repeat(200_000)],
  ['closed deep nesting', '['.repeat(100_000) + ']'.repeat(100_000)],
];

for (const [title, text] of MALFORMED) {
  test(`an announcement with ${title} gives no hint`, (t) => {
    t.deepEqual(parseMappingsAnnotation(text), []);
  });
}

test('an announcement of more than 256 KiB is not read', (t) => {
  const text = JSON.stringify([SOUND]);
  t.is(parseMappingsAnnotation(text.padEnd(256 * 1024)).length, 1);
  t.is(parseMappingsAnnotation(text.padEnd(256 * 1024 + 1)).length, 0);
});

test('whatever stands in an announcement, reading it throws nothing and gives sound hints', (t) => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom('web', 'TCP', UID, 23117, 23200));
  const entry = fc.dictionary(fc.constantFrom(...Object.keys(SOUND), 'endPort', '__proto__'), value);
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.array(fc.oneof(entry, fc.constant(SOUND))).map((all) => JSON.stringify(all)),
  );
  fc.assert(
    fc.property(text, (written) =>
      parseMappingsAnnotation(written).every(
        (hint) => hint.hostPort >= 1 && hint.hostPort + hint.size - 1 <= 65535 && hint.size >= 1 && hint.size <= 256,
      ),
    ),
    { numRuns: 2000 },
  );
  t.pass();
});

test('the condition says what is mapped', (t) => {
  t.deepEqual(
    conditionMapped([mappingOf({}), mappingOf({ name: 'media', protocol: 'UDP', hostPort: 24000, size: 100 })]),
    {
      status: 'True',
      reason: 'PortsMapped',
      message: 'mapped: web 23117/TCP, media 24000-24099/UDP',
    },
  );
  t.is(conditionMapped([]).message, 'the pod has no port to map');
  t.is(conditionMapped(Array.from({ length: 256 }, () => mappingOf({}))).message.length, 1024);
});

test('the condition says what is wrong, escaped and cut', (t) => {
  t.deepEqual(conditionProblem({ reason: 'PoolExhausted', message: `pool\u001b ${'x'.repeat(2000)}` }), {
    status: 'False',
    reason: 'PoolExhausted',
    message: `pool\\x1b ${'x'.repeat(1014)}…`,
  });
});

/** The mappings of the pod's requests, numbered from `first` in their order. */
function mapped(pod: Pod, first: number): readonly Mapping[] {
  const result = parsePodRequest(pod);
  if (result.kind !== 'ok') throw new Error(JSON.stringify(result));
  return result.request.requests.map((request, index) =>
    mappingOf({
      pod,
      name: request.name,
      protocol: request.protocol,
      hostPort: first + index,
      containerPort: containerPortOf(request, first + index),
      podIPs: pod.podIPs,
    }),
  );
}
