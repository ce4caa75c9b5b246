import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { Namespace } from './namespace.ts';
import { type Manifest, Patient, POD_IP } from './patient.ts';

const NFT = '/usr/sbin/nft';
const UDP_UNKNOWN = 'unknown BD701 listener game';

test.serial('all well: no hop fails, with a pod and without', async (t) => {
  await using patient = await Patient.well();
  const { exitCode, troubles, breaksAt, findings } = patient.doctor();
  t.deepEqual([exitCode, troubles, breaksAt], [0, [UDP_UNKNOWN], null]);
  const request = findings.find(({ code }) => code === 'BD102');
  t.is(request?.command, `cat ${join(patient.scene.pods, 'one.json')}`, 'there is no API server to ask');
  t.true(await patient.reachable(patient.hostPort('web')));
  const node = patient.doctor([]);
  t.deepEqual([node.exitCode, node.troubles], [0, []]);
  t.true(node.findings.some(({ code }) => code === 'BD402'));

  const one = patient.doctor(['default/one', '9000/udp']);
  t.deepEqual([one.exitCode, one.troubles], [0, [UDP_UNKNOWN]]);
  t.deepEqual([...new Set(one.findings.map(({ port }) => port))], [undefined, 'game']);
  const text = patient.run(['one', 'web', ...patient.doctorArguments]);
  t.is(text.status, 0);
  t.regex(text.stdout, /^STATUS +CODE +HOP +PORT +FINDING\nok +BD101 .*\n[\s\S]*\n\nno hop is seen to fail\n$/);
});

test.serial('looking changes nothing: not the ruleset, not a setting, not a file, not a tracked flow', async (t) => {
  await using patient = await Patient.well();
  t.true(await patient.reachable(patient.hostPort('web')));
  patient.freezeAgent();
  const state = join(patient.scene.directory, 'state');
  const look = () => ({
    ruleset: patient.node.run(NFT, ['list', 'ruleset']),
    legacy: patient.node.run('cat', ['/proc/net/ip_tables_names']),
    settings: patient.node.run('sh', ['-c', 'cat /proc/sys/net/ipv4/conf/*/* /proc/sys/net/ipv4/ip_*; true']),
    links: patient.node.run('ip', ['-d', 'link']).replaceAll(/_timer +\S+/g, ''),
    files: [state, patient.scene.pods].flatMap((path) =>
      readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => [
        name,
        statSync(join(path, name)).mtimeMs,
      ]),
    ),
    text: readFileSync(join(state, 'state.json'), 'utf8'),
    flows: patient.node.run('/usr/sbin/conntrack', ['-L', '-s', '10.90.2.2']).match(/sport=\d+/g),
  });
  const before = look();
  patient.doctor();
  patient.doctor([]);
  t.deepEqual(look(), before);
});

test.serial('of several addresses that would do, the one at which the pod is mapped is named', async (t) => {
  await using patient = new Patient();
  await patient.serve();
  patient.declare({ annotations: { 'berth.dev/ports': 'web', 'berth.dev/host-ip': '10.90.2.0/24' } });
  await patient.startAgent();
  await patient.mapped();
  // Another address takes the first place before the agent can look.
  patient.freezeAgent();
  const [link] = JSON.parse(patient.node.run('ip', ['-json', 'address', 'show', 'to', '10.90.2.1'])) as [
    { ifname: string },
  ];
  for (const [verb, address] of [
    ['add', '10.90.2.9/32'],
    ['del', '10.90.2.1/24'],
    ['add', '10.90.2.1/24'],
  ] as const)
    patient.node.run('ip', ['address', verb, address, 'dev', link.ifname]);
  const { findings } = patient.doctor();
  t.is(findings.find(({ code }) => code === 'BD104')?.says, 'it is served at 10.90.2.1 alone');
  t.is(findings.find(({ code }) => code === 'BD301')?.status, 'ok');
});

test.serial(
  'a static number on two addresses is in order, though what the two have in common stands once',
  async (t) => {
    await using patient = new Patient('--static-host-ports');
    await patient.serve();
    const port = { containerPort: 8080, hostPort: 7080 };
    const ports = ['10.90.1.1', '10.90.2.1'].map((hostIP) => ({ name: `web-${hostIP.at(-3)}`, hostIP, ...port }));
    patient.declare({ annotations: {}, ports });
    await patient.startAgent();
    await patient.listed(2);
    const { findings, breaksAt } = patient.doctor();
    t.is(breaksAt, null);
    t.is(findings.filter(({ code, status }) => code === 'BD301' && status === 'ok').length, 2);
  },
);

const REQUESTS: readonly (readonly [title: string, manifest: Manifest, breaksAt: string, says: RegExp])[] = [
  ['no annotation', { annotations: {} }, 'BD101', /has no annotation berth\.dev\/ports/],
  ['an annotation that is wrong', { annotations: { 'berth.dev/ports': 'wbe' } }, 'BD102', /wbe/],
  ['no port to map', { ports: [] }, 'BD102', /declares no container port/],
  [
    'a pool that does not exist',
    { annotations: { 'berth.dev/ports': '', 'berth.dev/pool': 'nowhere' } },
    'BD103',
    /there is no pool "nowhere"/,
  ],
  [
    'an address that the node lacks',
    { annotations: { 'berth.dev/ports': '', 'berth.dev/host-ip': '192.0.2.9' } },
    'BD104',
    /the node has no address 192\.0\.2\.9/,
  ],
  ['a pod that has ended', { phase: 'Succeeded' }, 'BD105', /phase is Succeeded/],
  ['a pod without an address', { ip: '' }, 'BD106', /has no address yet/],
  ['a pod with the address of the node', { ip: '10.90.1.1' }, 'BD106', /the node's own address/],
];

test.serial('a request that cannot be met is named for what it is', async (t) => {
  await using patient = new Patient();
  await patient.serve();
  await patient.startAgent();
  for (const [title, manifest, code, says] of REQUESTS) {
    patient.declare(manifest);
    const { exitCode, breaksAt } = patient.doctor();
    t.is(exitCode, 1, title);
    t.is(breaksAt?.code, code as never, title);
    t.regex(breaksAt?.says ?? '', says, title);
  }
});

test.serial('no number was given: the doctor says what the agent says', async (t) => {
  await using patient = new Patient('--pool', 'default=20000-20000');
  await patient.serve();
  patient.declare({
    ports: [
      { name: 'web', containerPort: 8080 },
      { name: 'more', containerPort: 8081 },
    ],
  });
  await patient.startAgent();
  await patient.told();
  const { exitCode, breaksAt } = patient.doctor();
  t.like(breaksAt, { code: 'BD201', port: 'web' });
  t.regex(breaksAt?.says ?? '', /the agent says: .*no free host port in pool "default"/);
  t.is(exitCode, 1);
});

test.serial('no agent, and another process took the number: the reservation is named, and the process', async (t) => {
  await using patient = await Patient.well();
  const port = patient.hostPort('web');
  await patient.endAgent('SIGKILL');
  const thief = patient.node.enter(() => createServer().listen(port));
  t.teardown(() => thief.close());
  const { exitCode, breaksAt } = patient.doctor();
  t.like(breaksAt, { code: 'BD202', port: 'web' });
  t.true(breaksAt?.says.includes(`${port}/TCP is held by process ${process.pid} (`), breaksAt?.says);
  t.is(exitCode, 1);
});

test.serial('a rule was deleted while the agent is frozen: the rule is named', async (t) => {
  await using patient = await Patient.well();
  const port = patient.hostPort('web');
  patient.freezeAgent();
  patient.node.run(NFT, ['delete', 'element', 'inet', 'berth', 'any4', `{ tcp . ${port} }`]);
  const { exitCode, breaksAt, troubles } = patient.doctor();
  t.like(breaksAt, { code: 'BD301', port: 'web', command: 'nft list map inet berth any4' });
  t.deepEqual(troubles, ['fail BD301 rule web', 'fail BD401 agent', UDP_UNKNOWN]);
  t.is(exitCode, 1);
  t.false(await patient.reachable(port));

  patient.node.run(NFT, ['add', 'element', 'inet', 'berth', 'any4', `{ tcp . ${port} : 10.90.1.12 . 8080 }`]);
  t.regex(patient.doctor().breaksAt?.says ?? '', /leads to 10\.90\.1\.12 \. 8080, not to 10\.90\.1\.11 \. 8080/);
  patient.node.run(NFT, ['delete', 'table', 'inet', 'berth']);
  t.deepEqual(patient.doctor().troubles.slice(0, 3), [
    'fail BD301 rule web',
    'fail BD301 rule game',
    'fail BD303 table',
  ]);
});

test.serial('an address of the node is not served: the node addresses are named', async (t) => {
  await using patient = await Patient.well();
  patient.freezeAgent();
  patient.node.run(NFT, ['delete', 'element', 'inet', 'berth', 'nodeaddr4', '{ 10.90.2.1 }']);
  const { breaksAt, troubles } = patient.doctor();
  t.is(breaksAt?.code, 'BD302');
  t.true(breaksAt?.says.includes('10.90.2.1'));
  t.deepEqual(troubles, ['fail BD302 node addresses', 'fail BD401 agent', UDP_UNKNOWN]);
  t.false(await patient.reachable(patient.hostPort('web')));
});

test.serial('the agent is gone: it is named, and that its rules go on to work is seen', async (t) => {
  await using patient = await Patient.well();
  const port = patient.hostPort('web');
  await patient.endAgent('SIGTERM');
  const { exitCode, breaksAt, troubles } = patient.doctor();
  t.is(breaksAt?.code, 'BD401');
  t.regex(breaksAt?.says ?? '', /there is no socket .*is the agent running/);
  t.is(exitCode, 1);
  t.deepEqual(troubles, [
    'warn BD202 reservation web',
    'warn BD202 reservation game',
    'fail BD401 agent',
    'fail BD402 lock',
    UDP_UNKNOWN,
  ]);
  t.true(await patient.reachable(port));
  t.deepEqual(patient.doctor([]).troubles, ['fail BD401 agent', 'fail BD402 lock']);
});

test.serial('a tracked flow that goes elsewhere is shown', async (t) => {
  await using patient = await Patient.well();
  const port = patient.hostPort('game');
  const flow = `-I -p udp -s 10.90.2.2 -d 10.90.2.1 --sport 5555 --dport ${port} --timeout 100`;
  patient.node.run('/usr/sbin/conntrack', flow.split(' '));
  const { exitCode, findings } = patient.doctor();
  const found = findings.find(({ code, port }) => code === 'BD501' && port === 'game');
  t.is(found?.status, 'warn');
  t.true(found?.says.includes(`10.90.2.2 port 5555 goes to 10.90.2.1 port ${port}`), found?.says);
  t.is(exitCode, 0);
});

test.serial('no route leads to the pod: the route is named', async (t) => {
  await using patient = await Patient.well();
  patient.node.ip(`route add unreachable ${POD_IP}/32`);
  const { breaksAt, exitCode } = patient.doctor();
  t.is(breaksAt?.code, 'BD502');
  t.is(exitCode, 1);
});

test.serial('the pod does not listen: the listener is named, for TCP and for UDP', async (t) => {
  await using patient = await Patient.well();
  await patient.stopServing();
  const { exitCode, troubles, breaksAt } = patient.doctor();
  t.deepEqual(troubles, ['fail BD701 listener web', 'fail BD701 listener game']);
  t.regex(breaksAt?.says ?? '', /10\.90\.1\.11 refuses at TCP port 8080/);
  t.is(exitCode, 1);
});

test.serial('the host does not forward: forwarding is named', async (t) => {
  await using patient = await Patient.well();
  const port = patient.hostPort('web');
  patient.node.sysctl('net.ipv4.ip_forward', 0);
  t.false(await patient.reachable(port));
  const { exitCode, troubles, breaksAt } = patient.doctor();
  t.deepEqual(troubles, ['fail BD601 forwarding', UDP_UNKNOWN]);
  t.is(breaksAt?.command, 'sysctl -w net.ipv4.ip_forward=1');
  t.is(exitCode, 1);
  t.deepEqual(patient.doctor([]).troubles, ['fail BD601 forwarding']);
});

test.serial('the forward hook drops: the chain is named, and the accept rule that mends it is seen', async (t) => {
  await using patient = await Patient.well();
  const port = patient.hostPort('web');
  const remedy = 'FORWARD -m conntrack --ctstate DNAT -j ACCEPT'.split(' ');
  for (const [program, chain, mended] of [
    ['/usr/sbin/iptables-nft', /chain "FORWARD" of table ip "filter"/, []],
    // Its rules are not read.
    ['/usr/sbin/iptables-legacy', /chain "FORWARD" of table iptables-legacy/, ['unknown BD602 forward policy']],
  ] as const) {
    patient.node.run(program, ['-P', 'FORWARD', 'DROP']);
    t.false(await patient.reachable(port), program);
    const { exitCode, troubles, breaksAt } = patient.doctor();
    t.deepEqual(troubles, ['fail BD602 forward policy', UDP_UNKNOWN], program);
    t.regex(breaksAt?.says ?? '', chain);
    t.is(exitCode, 1);
    t.deepEqual(patient.doctor([]).troubles, ['fail BD602 forward policy']);

    patient.node.run(program, ['-I', ...remedy]);
    t.true(await patient.reachable(port), program);
    t.deepEqual(patient.doctor().troubles, [...mended, UDP_UNKNOWN], program);
    patient.node.run(program, ['-D', ...remedy]);
    patient.node.run(program, ['-P', 'FORWARD', 'ACCEPT']);
  }
  const table = (rules: string) =>
    `table inet x {}; delete table inet x; table inet x { chain f { type filter hook forward priority 0; policy drop; ${rules} }; }`;
  patient.node.run(NFT, ['-f', '-'], table('ct state established,related accept;'));
  t.false(await patient.reachable(port));
  t.deepEqual(patient.doctor().troubles, ['fail BD602 forward policy', UDP_UNKNOWN]);

  patient.node.run(NFT, ['-f', '-'], table('ip saddr 10.90.0.0/16 accept;'));
  t.deepEqual(patient.doctor().troubles, ['unknown BD602 forward policy', UDP_UNKNOWN]);
  t.deepEqual(patient.doctor([]).troubles, ['warn BD602 forward policy']);

  patient.node.run(
    NFT,
    ['-f', '-'],
    table('ct state established,related accept; oifname "br0" ct status dnat accept;'),
  );
  t.true(await patient.reachable(port));
  t.deepEqual(patient.doctor().troubles, [UDP_UNKNOWN]);
});

test.serial(
  'strict rp_filter where answers leave by another way: the reverse path is named once it has dropped',
  async (t) => {
    await using patient = await Patient.well();
    using other = Namespace.create('other');
    const { node, scene } = patient;
    const port = patient.hostPort('web');
    node.link('eth1', other, 'eth0');
    node.address('eth1', '203.0.113.1/24');
    node.ip('route add default via 203.0.113.2');
    scene.client.address('lo', '198.51.100.9/32');
    node.sysctl('net.ipv4.conf.eth0.rp_filter', 1);
    const { exitCode, troubles } = patient.doctor();
    t.deepEqual([exitCode, troubles], [0, ['warn BD604 reverse path', UDP_UNKNOWN]]);

    t.true(await patient.reachable(port), 'the neighbour is served');
    t.false(await patient.reachable(port, '--interface', '198.51.100.9'));
    const { breaksAt } = patient.doctor();
    t.is(breaksAt?.code, 'BD604', breaksAt?.says);
    t.regex(breaksAt?.says ?? '', /strict on "eth0" \(10\.90\.2\.1\).*leave through "eth1".*[1-9]\d* packets/);
    t.deepEqual(patient.doctor([]).troubles, ['warn BD604 reverse path']);

    node.ip('route add 198.51.100.0/24 via 10.90.2.2');
    t.true(await patient.reachable(port, '--interface', '198.51.100.9'));
    t.deepEqual(patient.doctor().troubles, [UDP_UNKNOWN]);
  },
);

test.serial('without rights, what cannot be seen is said and nothing is guessed', async (t) => {
  await using patient = await Patient.well();
  for (const path of [patient.scene.directory, patient.scene.pods]) chmodSync(path, 0o755);
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'];
  const { exitCode, breaksAt, findings } = patient.doctor(['default/one'], nobody);
  t.deepEqual([exitCode, breaksAt], [0, null]);
  const of = (status: string) => new Set(findings.filter((one) => one.status === status).map(({ code }) => code));
  for (const code of ['BD201', 'BD302', 'BD303', 'BD401', 'BD402', 'BD403', 'BD602', 'BD603'] as const) {
    t.true(of('unknown').has(code), code);
  }
  for (const code of ['BD101', 'BD106', 'BD502', 'BD601', 'BD604', 'BD701'] as const) t.true(of('ok').has(code), code);
});

test.serial('exit codes: 2 for a wrong command line, 3 when there is no such pod', async (t) => {
  await using patient = new Patient();
  patient.declare();
  const options = patient.doctorArguments;
  const absent = patient.run(['default/two', ...options]);
  t.is(absent.status, 3);
  t.regex(absent.stderr, /there is no pod "default\/two"/);
  for (const [args, says] of [
    [['default/one', 'web', 'more', ...options], /unexpected argument "more"/],
    [['default/one', '--outptu', 'json', ...options], /unknown flag --outptu \(did you mean --output\?\)/],
    [['a/b/c', ...options], /is not NAMESPACE\/POD/],
    [['default/one'], /--pods/],
    [['default/one', ...options, '--output', 'yaml'], /"yaml" is none of table, json/],
  ] as const) {
    const { status, stderr, stdout } = patient.run(args);
    t.deepEqual([status, stdout], [2, ''], args.join(' '));
    t.regex(stderr, says);
  }
  const help = patient.run(['--help']);
  t.is(help.status, 0);
  t.regex(help.stdout, /^Usage: berth doctor \[NAMESPACE\/POD \[PORT\]\] \[options\]/);
});

test.serial(
  'the agent warns at its start of a host where mappings cannot work, one line each, and of none where they can',
  async (t) => {
    await using patient = new Patient();
    patient.node.sysctl('net.ipv4.conf.eth0.rp_filter', 1);
    await patient.startAgent();
    t.notRegex(patient.logText, /\(BD\d/);
    await patient.endAgent('SIGTERM');

    patient.node.run(NFT, ['-f', '-'], 'table ip x { chain f { type filter hook forward priority 0; policy drop; }; }');
    patient.node.run(NFT, ['-f', '-'], 'table ip y { chain p { type nat hook prerouting priority -150; }; }');
    patient.node.bridge('cilium_host');
    patient.node.bridge('kube-ipvs0', '10.90.2.1/32');
    patient.node.sysctl('net.bridge.bridge-nf-call-iptables', 0);
    await patient.startAgent();
    const warned = [...patient.logText.matchAll(/WARN +warning message=".*\((BD\d+);/g)].map(([, code]) => code);
    t.deepEqual(warned, ['BD602', 'BD603', 'BD605', 'BD606', 'BD607']);
    await patient.endAgent('SIGTERM');

    patient.node.sysctl('net.ipv4.ip_forward', 0);
    await patient.startAgent();
    t.regex(
      patient.logText,
      /net\.ipv4\.ip_forward is off: nothing is forwarded to pods \(BD601; sysctl -w net\.ipv4\.ip_forward=1\)/,
    );
  },
);
