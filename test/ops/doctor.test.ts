import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import {
  type Finding,
  type ForwardVerdict,
  finding,
  firstBreak,
  HOPS,
  type HookedChain,
  type HopCode,
  type HostFacts,
  inOrder,
  seen,
  unseen,
} from '../../daemon/core/diagnosis.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { command } from '../../daemon/ops/doctor/command.ts';
import type { NodeFacts, PodFacts, PortFacts } from '../../daemon/ops/doctor/facts.ts';
import { hostFindings, hostWarnings, nodePassages } from '../../daemon/ops/doctor/hostfindings.ts';
import { readDoctorOptions } from '../../daemon/ops/doctor/options.ts';
import { renderDiagnosis } from '../../daemon/ops/doctor/render.ts';
import { examineNode, examinePod } from '../../daemon/ops/doctor/walk.ts';
import { GRANT, HOST, LINE, MAPPING, NODE, POD, PORT, podFacts } from './patients.ts';

const DOCS = readFileSync(new URL('../../docs/doctor.md', import.meta.url), 'utf8');

/** `fail BD301`, for every finding that is not in order. */
function troubles(findings: readonly Finding[]): readonly string[] {
  return findings.filter(({ status }) => status !== 'ok').map(({ status, code }) => `${status} ${code}`);
}

test('where nothing is wrong every hop is in order, and every code is asked about', (t) => {
  const findings = examinePod(podFacts(), NODE);
  t.deepEqual(troubles(findings), []);
  t.deepEqual(
    findings.map(({ code }) => code),
    Object.keys(HOPS) as HopCode[],
  );
  t.is(firstBreak(findings), undefined);
  t.deepEqual(troubles(examineNode(NODE)), []);
});

const skipNumbers = ['skipped BD202', 'skipped BD301', 'skipped BD405', 'skipped BD501'];
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
  [
    'no route',
    {},
    { ways: [{ podIP: '10.244.1.7', way: seen(undefined) }] },
    ['fail BD502'],
    /no route of the node leads to 10\.244\.1\.7/,
  ],
  [
    'a route off the node',
    {},
    { ways: [{ podIP: '10.244.1.7', way: seen({ device: 'eth0', leadsToPods: false, routeLocalnet: false }) }] },
    ['warn BD502'],
    /is the pod on this node/,
  ],
  [
    'loopback closed',
    {},
    { ways: [{ podIP: '10.244.1.7', way: seen({ device: 'cni0', leadsToPods: true, routeLocalnet: false }) }] },
    ['warn BD503'],
    /route_localnet is off on "cni0"/,
  ],
];

for (const [title, change, more, expected, says] of PODS) {
  test(`the pod: ${title}`, (t) => {
    const findings = examinePod(podFacts(change, more), NODE);
    t.deepEqual(troubles(findings), expected);
    t.regex(findings.find(({ status }) => status !== 'ok')?.says ?? '', says);
  });
}

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

const NODES: readonly (readonly [
  title: string,
  change: Partial<NodeFacts>,
  expected: readonly string[],
  says: RegExp,
])[] = [
  ['no table', { table: seen(undefined) }, ['skipped BD302', 'fail BD303'], /no table inet berth/],
  ['another skeleton', { table: seen('chain pre has other rules') }, ['fail BD303'], /chain pre has other rules/],
  ['no nftables', { table: unseen('EPERM') }, ['unknown BD302', 'unknown BD303'], /EPERM/],
  [
    'an address not served',
    {
      nodeSets: seen({
        wanted: [{ set: 'nodeaddr6', key: '2001:db8::7', value: '' }],
        missing: [{ set: 'nodeaddr6', key: '2001:db8::7', value: '' }],
        instead: [],
      }),
    },
    ['fail BD302'],
    /not served at 2001:db8::7/,
  ],
  [
    'no address at all',
    { nodeSets: seen({ wanted: [], missing: [], instead: [] }) },
    ['fail BD302'],
    /no address at which it could serve/,
  ],
  ['no agent', { answer: { kind: 'silent', why: 'nobody listens' } }, ['fail BD401'], /nobody listens/],
  ['no permission', { answer: { kind: 'unseen', why: 'may not open' } }, ['unknown BD401'], /may not open/],
  ['a lock of nobody', { lock: seen({ exists: true }) }, ['warn BD402', 'skipped BD404'], /another one/],
  ['no state file yet', { state: seen({ state: undefined }) }, [], /^$/],
  [
    'a torn state file',
    { state: seen({ state: undefined, problem: 'it is not JSON' }) },
    ['fail BD403'],
    /it is not JSON/,
  ],
  ['numbers that are not held', { sockets: seen(0) }, ['warn BD404'], /0 sockets open; numbers to hold: 1/],
  ['sockets that cannot be seen', { sockets: unseen('EACCES') }, ['unknown BD404'], /EACCES/],
  [
    'ephemeral numbers',
    { unprotected: seen([{ first: 32_768, last: 33_000 }]) },
    ['warn BD608'],
    /32768-33000 of the pools/,
  ],
];

for (const [title, change, expected, says] of NODES) {
  test(`the node: ${title}`, (t) => {
    const findings = examineNode({ ...NODE, ...change });
    t.deepEqual(troubles(findings), expected);
    t.regex(findings.find(({ status }) => status !== 'ok')?.says ?? '', says);
  });
}

const CHAIN: HookedChain = {
  family: 'ip',
  table: 'filter',
  name: 'FORWARD',
  type: 'filter',
  hook: 'forward',
  priority: 0,
};
const NAT: HookedChain = { ...CHAIN, table: 'x; reboot', name: 'pre', type: 'nat', hook: 'prerouting', priority: -150 };
const PASSAGE = {
  family: 4,
  input: 'eth0',
  output: 'cni0',
  destination: '10.244.1.7',
  protocol: 'TCP',
  port: 80,
} as const;
const forward = (verdict: ForwardVerdict) => seen([{ chain: CHAIN, passage: PASSAGE, verdict }]);
const uplink = { device: 'eth1', address: '192.0.2.7', strict: true, forwards: true, replyDevice: 'eth0' } as const;

/** The status with a pod, and without. */
const HOSTS: readonly (readonly [
  title: string,
  change: Partial<HostFacts>,
  pod: readonly string[],
  node: readonly string[],
  says: RegExp,
])[] = [
  [
    'no forwarding',
    { forwarding: { 4: seen(false), 6: seen(true) } },
    ['fail BD601'],
    ['fail BD601'],
    /ip_forward is off/,
  ],
  ['no forwarding of IPv6, for an IPv4 pod', { forwarding: { 4: seen(true), 6: seen(false) } }, [], [], /^$/],
  [
    'no forwarding on the uplink',
    { uplinks: seen([{ ...uplink, strict: false, forwards: false }]) },
    ['fail BD601'],
    ['fail BD601'],
    /forwarding is off on "eth1"/,
  ],
  [
    'no forwarding on one of two uplinks',
    {
      uplinks: seen([
        { ...uplink, strict: false, forwards: false },
        { ...uplink, device: 'eth0' },
      ]),
    },
    ['warn BD601'],
    ['warn BD601'],
    /forwarding is off on "eth1"/,
  ],
  [
    'a drop',
    { forward: forward('drops') },
    ['fail BD602'],
    ['fail BD602'],
    /chain "FORWARD" of table ip "filter" drops/,
  ],
  ['a doubt', { forward: forward('undecided') }, ['unknown BD602'], ['warn BD602'], /cannot be told/],
  [
    'a drop of what is not forwarded',
    { forward: forward('drops'), forwarding: { 4: seen(false), 6: seen(true) } },
    ['fail BD601'],
    ['fail BD601'],
    /off/,
  ],
  ['earlier NAT', { earlierNat: seen([NAT]) }, ['warn BD603'], ['warn BD603'], /\(priority -150\) comes first/],
  ['strict, and answers elsewhere', { uplinks: seen([uplink]) }, ['warn BD604'], ['warn BD604'], /strict on "eth1"/],
  [
    'strict, and packets were dropped',
    { uplinks: seen([uplink]), reversePathDrops: seen(7) },
    ['fail BD604'],
    ['warn BD604'],
    /\(7 packets since boot\)/,
  ],
  [
    'strict, and no way back at all',
    { uplinks: seen([{ device: 'eth1', address: '192.0.2.7', strict: true, forwards: true }]) },
    [],
    [],
    /^$/,
  ],
  ['Cilium', { ebpfDevices: seen(['cilium_host']) }, ['warn BD605'], ['warn BD605'], /"cilium_host"/],
  ['IPVS, kept apart', { serviceAddresses: seen([]) }, [], [], /^$/],
  [
    'IPVS, served',
    { serviceAddresses: seen(['192.0.2.7']) },
    ['warn BD606'],
    ['warn BD606'],
    /192\.0\.2\.7 of kube-ipvs0/,
  ],
  [
    'bridges not filtered',
    { bridgeFilter: seen(false) },
    ['warn BD607'],
    ['warn BD607'],
    /bridge-nf-call-iptables is off/,
  ],
  [
    'nothing can be seen',
    {
      forwarding: { 4: unseen('no'), 6: unseen('no') },
      uplinks: unseen('no'),
      reversePathDrops: unseen('no'),
      earlierNat: unseen('no'),
      forward: unseen('no'),
      ebpfDevices: unseen('no'),
      serviceAddresses: unseen('no'),
      bridgeFilter: unseen('no'),
    },
    [1, 2, 3, 4, 5, 6, 7].map((number) => `unknown BD60${number}`),
    [1, 2, 3, 4, 5, 6, 7].map((number) => `unknown BD60${number}`),
    /cannot be/,
  ],
];

for (const [title, change, pod, node, says] of HOSTS) {
  test(`the host: ${title}`, (t) => {
    const facts = { ...HOST, ...change };
    const ofPod = hostFindings(facts, { families: new Set([4]) });
    t.deepEqual(troubles(ofPod), pod);
    t.regex(ofPod.find(({ status }) => status !== 'ok')?.says ?? '', says);
    t.deepEqual(troubles(hostFindings(facts)), node);
    // The agent warns of exactly what is wrong, one line each.
    t.is(hostWarnings(facts).length, node.filter((text) => /^(warn|fail)/.test(text)).length);
  });
}

test('for a pod with IPv6 the forwarding of IPv6 counts', (t) => {
  const facts = { ...HOST, forwarding: { 4: seen(true), 6: seen(false) } };
  t.deepEqual(troubles(hostFindings(facts, { families: new Set([4, 6]) })), ['fail BD601']);
  t.deepEqual(nodePassages([{ family: 6, address: '2001:db8::7', device: 'eth0' }]), [{ family: 6 }]);
});

test('the first break is the first on the way, whatever the order of finding', (t) => {
  const fail = (code: HopCode) => finding(code, 'fail', code, '');
  const found = [fail('BD701'), finding('BD101', 'ok', '', ''), fail('BD401'), fail('BD202')];
  t.is(firstBreak(found)?.code, 'BD202');
  t.deepEqual(
    inOrder(found).map(({ code }) => code),
    ['BD101', 'BD202', 'BD401', 'BD701'],
  );
});

test('V19: what a name holds never reaches a terminal, nor becomes a second word of a command', (t) => {
  const evil = 'a\u001b[2J\r\n\u202e';
  const chain = { ...NAT, table: evil, name: "x'; reboot; '" };
  const device = '$(reboot)';
  const facts = {
    ...HOST,
    earlierNat: seen([chain]),
    uplinks: seen([{ ...uplink, device, forwards: false, strict: false }]),
    ebpfDevices: seen([evil]),
  };
  const ports = [{ ...PORT, request: { ...PORT.request, name: evil } }];
  const findings = examinePod(podFacts({}, { ports }), { ...NODE, socket: evil, host: facts });
  for (const format of ['table', 'json'] as const) {
    t.notRegex(renderDiagnosis({ pod: 'games/arena-0', findings }, format), /[\u0000-\u0009\u000b-\u001f\u202e]/);
  }
  const commandOf = (code: HopCode) => findings.find((one) => one.code === code)?.command;
  t.is(commandOf('BD601'), "sysctl -w 'net/ipv4/conf/$(reboot)/forwarding=1'");
  t.true(commandOf('BD603')?.endsWith(" 'x'\\''; reboot; '\\'''"));
  t.is(command('a b', 'c', "d'e", 7), `'a b' c 'd'\\''e' 7`);
});

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

test('every command line of the documentation is one that the doctor takes', (t) => {
  const lines = [...DOCS.matchAll(/^(?:\$ )?berth doctor(.*)$/gm)].map(([, words = '']) => words.trim().split(/\s+/));
  t.true(lines.length >= 3);
  const config = join(mkdtempSync(join(tmpdir(), 'berth-doctor-')), 'agent.yaml');
  t.teardown(() => rmSync(dirname(config), { recursive: true }));
  writeFileSync(config, 'pods: dir:/etc/berth/pods\nlogLevel: warn\n');
  for (const words of lines) {
    const argv = words.filter((word) => word !== '').map((word) => (word === '/etc/berth/agent.yaml' ? config : word));
    t.is(readDoctorOptions({ argv, env: {} }, 'node-a').kind, 'run', argv.join(' '));
  }
});

test('the doctor takes the options of the agent, none of them required, in any order with its arguments', (t) => {
  const read = (...argv: readonly string[]) => {
    const result = readDoctorOptions({ argv, env: { BERTH_STATE_DIR: '/elsewhere' } }, 'Node-A');
    return result.kind === 'run' ? result.options : undefined;
  };
  const none = read();
  t.is(none?.pods, undefined);
  t.deepEqual([none?.positionals, none?.stateDir, none?.output], [[], '/elsewhere', 'table']);
  t.is(none?.pools[0]?.name, 'default');
  const all = read('--pods', 'dir:/pods', 'default/web', '--output=json', '8080/tcp', '--pool', 'a=7000-7001');
  t.deepEqual([all?.positionals, all?.output], [['default/web', '8080/tcp'], 'json']);
  t.deepEqual(all?.pods, { kind: 'dir', path: '/pods' });
  t.is(all?.pools[0]?.name, 'a');
  t.throws(() => read('--pods'), { code: 'CONFIG_INVALID' });
  t.throws(() => read('--output', 'yaml'), { code: 'CONFIG_INVALID', message: /none of table, json/ });
});
