/** Pods that mean harm: what they write gains them nothing, and costs nobody else anything. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { NODE, Site } from './agent.ts';
import { BOTH, type PodPlan, pod, podAt } from './manifest.ts';
import { NFT, numbersOf } from './standing.ts';

const KEY = 'berth.dev/ports';

/** A pod that behaves, and is served all the time. */
class Victim {
  readonly plan: PodPlan;
  port = 0;
  readonly #site: Site;

  constructor(site: Site) {
    this.#site = site;
    this.plan = podAt(site.place('victim', 8080));
  }

  async appear(): Promise<this> {
    this.#site.declare(this.plan);
    this.port = (await this.#site.mapped(this.plan)).get('web/TCP') ?? 0;
    return this;
  }

  async checkServed(t: ExecutionContext, when: string): Promise<void> {
    t.is(await this.#site.ask(this.port), 'victim sees 192.0.2.2', when);
    t.is(this.#site.told(this.plan)?.conditions[0]?.status, 'True', when);
  }
}

/** A pod without a place: nobody answers at its address. */
function ghost(name: string, annotations: Readonly<Record<string, string>>, plan: Partial<PodPlan> = {}): PodPlan {
  return pod(name, { ports: BOTH, podIPs: ['10.244.0.200'], ...plan, annotations });
}

/** Everything that the table holds of these pods. */
function elementsFor(site: Site, plans: readonly PodPlan[]) {
  return site.elements().filter(({ comment }) => plans.some(({ uid }) => comment.startsWith(uid)));
}

/** The address that is asked for, why it is refused, and what the message says. */
const HOST_IPS: readonly (readonly [hostIP: string, reason: string, says: RegExp])[] = [
  ['0.0.0.0', 'InvalidPortRequest', /"0\.0\.0\.0" .*unspecified address/],
  ['::', 'InvalidPortRequest', /"::" .*unspecified address/],
  ['0.0.0.0/0', 'InvalidPortRequest', /"0\.0\.0\.0\/0"/],
  ['127.0.0.1', 'InvalidPortRequest', /"127\.0\.0\.1" .*loopback address/],
  ['::1', 'InvalidPortRequest', /"::1" .*loopback address/],
  ['169.254.169.254', 'InvalidPortRequest', /"169\.254\.169\.254".*metadata/],
  ['fd00:ec2::254', 'InvalidPortRequest', /"fd00:ec2::254".*metadata/],
  ['fe80::1', 'InvalidPortRequest', /"fe80::1" .*link-local address/],
  ['224.0.0.1', 'InvalidPortRequest', /"224\.0\.0\.1" .*multicast address/],
  ['::ffff:192.0.2.1', 'InvalidPortRequest', /"::ffff:192\.0\.2\.1" .*v4-mapped/],
  ['::ffff:c000:201', 'InvalidPortRequest', /"::ffff:c000:201"/],
  ['192.0.2.1/24', 'InvalidPortRequest', /"192\.0\.2\.1\/24"/],
  ['192.0.2.001', 'InvalidPortRequest', /"192\.0\.2\.001"/],
  // Addresses that the node serves without having them, or that only other hosts have.
  ['10.96.0.10', 'HostIPNotFound', /the node has no address 10\.96\.0\.10; it has /],
  ['10.96.0.0/16', 'HostIPNotFound', /the node has no address 10\.96\.0\.0\/16; it has /],
  ['198.51.100.2', 'HostIPNotFound', /the node has no address 198\.51\.100\.2; it has /],
];

test.serial(
  'V3: a host-ip that is a wildcard, virtual, of another host, or written to mislead is refused with a message',
  async (t) => {
    await using site = new Site();
    // As kube-proxy does it in IPVS mode: the kernel takes the Service's address for the node's own.
    site.node.ip('link add kube-ipvs0 type bridge');
    site.node.ip('addr add 10.96.0.10/32 dev kube-ipvs0');
    const agent = await site.run();
    const victim = await new Victim(site).appear();
    const plans = HOST_IPS.map(([hostIP], index) => ghost(`bad-${index}`, { [KEY]: '', 'berth.dev/host-ip': hostIP }));
    site.declare(...plans);
    for (const [index, [hostIP, reason, says]] of HOST_IPS.entries()) {
      t.regex(await site.refused(plans[index] as PodPlan, reason), says, hostIP);
    }
    t.deepEqual(elementsFor(site, plans), []);
    await victim.checkServed(t, 'meanwhile');
    t.deepEqual(
      (await site.list()).map(({ podUID }) => podUID),
      [victim.plan.uid, victim.plan.uid],
    );
    t.true(agent.running);
  },
);

test.serial('V3: a host-ip of a family that the pod lacks is refused with a message', async (t) => {
  await using site = new Site();
  await site.run();
  const place = site.place('four', 8080);
  const plan = podAt(place, { podIPs: [place.address[4]], annotations: { [KEY]: '', 'berth.dev/host-ip': NODE[6] } });
  site.declare(plan);
  await site.until(() => site.told(plan)?.conditions[0]?.status === 'False', 'it is refused');
  t.regex(
    site.told(plan)?.conditions[0]?.message ?? '',
    /2001:db8:1::1 of the node is an IPv6 address, the pod has only 10\.244\.0\.11; name an IPv4 address of the node/,
  );
  t.deepEqual(elementsFor(site, [plan]), []);
});

test.serial(
  'V8: a number that was freed rests: no other pod gets it, also over a restart; the pod of the same name does',
  async (t) => {
    await using site = new Site({ pools: [] });
    const file = join(site.directory, 'pools.yaml');
    writeFileSync(file, 'pools: [{ name: default, ranges: 20000-20001, quarantine: 60s }]\n');
    const flags = ['--pools-file', file];
    let agent = await site.run({ flags });
    const place = site.place('one', 8080);
    const first = podAt(place, { name: 'first' });
    site.declare(first);
    const port = (await site.mapped(first)).get('web/TCP') ?? 0;
    site.withdraw(first);
    await site.agreed(agent, (all) => all.length === 0);

    const [a, b, c] = ['a', 'b', 'c'].map((name, index) =>
      ghost(name, { [KEY]: '' }, { podIPs: [`10.244.0.${201 + index}`] }),
    ) as [PodPlan, PodPlan, PodPlan];
    site.declare(a);
    t.not((await site.mapped(a)).get('web/TCP'), port);
    site.declare(b);
    await site.refused(b, 'PoolExhausted');
    t.is(await site.ask(port), 'ECONNREFUSED');

    await agent.stop();
    agent = await site.run({ flags });
    site.declare(c);
    await site.refused(c, 'PoolExhausted');
    await site.refused(b, 'PoolExhausted');

    const again = podAt(place, { name: 'first' });
    site.declare(again);
    t.is((await site.mapped(again)).get('web/TCP'), port);

    // Without a rest it would be free at once for those that wait.
    site.withdraw(again);
    await site.agreed(agent, (all) => all.length === 2);
    writeFileSync(file, 'pools: [{ name: default, ranges: 20000-20001, quarantine: 0s }]\n');
    await site.until(
      () => [b, c].some((plan) => site.told(plan)?.conditions[0]?.status === 'True'),
      'one of them gets it',
    );
    t.deepEqual(numbersOf(await site.agreed(agent, (all) => all.length === 4)), [
      'TCP/20000',
      'TCP/20001',
      'UDP/20000',
      'UDP/20001',
    ]);
  },
);

const HUGE = 256 * 1024 - 64;

/** What no parser should take for a request. */
const GARBAGE: readonly string[] = [
  ',',
  ',,,,',
  '=',
  '/',
  '/tcp',
  'web,',
  'web/',
  'web/tcp/udp',
  'web=web',
  'same',
  '=same',
  'x=',
  'x==5',
  '{"ports": [1]}',
  '[]',
  'null',
  'undefined',
  '__proto__',
  'constructor',
  'toString=5',
  '\u0000',
  'web\u0000',
  'web\n9000/udp;',
  '\u202Ebew',
  '\u001b[2Jweb',
  '٣',
  '８０',
  'wéb',
  '💥',
  '💥'.repeat(1_000),
  'a'.repeat(HUGE),
  ','.repeat(HUGE),
  'web,'.repeat(HUGE / 4),
  'x=1,'.repeat(HUGE / 4),
  `${'9'.repeat(HUGE)}/udp`,
  `x=${'1'.repeat(HUGE - 2)}`,
  `${' '.repeat(HUGE)}`.concat('nonsense'),
  '('.repeat(HUGE),
  '\ud800',
];

test.serial(
  'V9, I8: garbage and 256 KiB in the annotations of many pods: each is told, all others are served, the agent lives',
  async (t) => {
    await using site = new Site();
    const agent = await site.run();
    const victim = await new Victim(site).appear();
    const plans = GARBAGE.flatMap((text, index) => [
      ghost(`bad-${index}`, { [KEY]: text }),
      ghost(`bad-pool-${index}`, { [KEY]: '', 'berth.dev/pool': text }),
      ghost(`bad-from-${index}`, { [KEY]: '', 'berth.dev/allow-from': text }),
      ghost(`bad-ip-${index}`, { [KEY]: '', 'berth.dev/host-ip': text }),
    ]);
    site.declare(...plans);
    // What is no Pod at all.
    for (const [index, text] of [
      '',
      '{',
      '[]',
      '"',
      'null',
      '{"kind":"Pod"}',
      '['.repeat(500_000),
      '\u0000'.repeat(1_000),
    ].entries()) {
      site.manifests.writeText(`broken-${index}`, text);
    }
    const late = podAt(site.place('late', 8080));
    site.declare(late);
    const port = (await site.mapped(late)).get('web/TCP') ?? 0;
    t.is(await site.ask(port), 'late sees 192.0.2.2');
    await victim.checkServed(t, 'meanwhile');

    await site.until(
      () => plans.every((plan) => site.told(plan)?.conditions[0] !== undefined),
      'each is told something',
    );
    for (const plan of plans) {
      const [condition] = site.told(plan)?.conditions ?? [];
      const message = condition?.message ?? '';
      const text = JSON.stringify(plan.annotations).slice(0, 80);
      t.is(condition?.status, 'False', text);
      t.true(message.length <= 1_024, text);
      t.notRegex(message, /[\p{Cc}\p{Cf}\p{Cs}]/u, text);
      t.true(message.startsWith(`pod default/${plan.name}: `), message);
    }
    t.deepEqual(elementsFor(site, plans), []);
    t.true(agent.running);
    site.withdraw(...plans);
    await site.agreed(agent, (all) => all.length === 4);
    await victim.checkServed(t, 'afterwards');
  },
);

test.serial(
  'V10: forged results, copied annotations and forged promises gain a pod nothing and cost the other nothing',
  async (t) => {
    await using site = new Site();
    const agent = await site.run();
    const victim = await new Victim(site).appear();
    const own = site.told(victim.plan)?.annotations ?? {};
    const resting = podAt(site.place('rested', 8080));
    site.declare(resting);
    const rests = (await site.mapped(resting)).get('web/TCP') ?? 0;
    site.withdraw(resting);
    await site.agreed(agent, (all) => all.length === 2);

    const claim = (uid: string, hostPort: number, hostIP = {}) =>
      JSON.stringify([
        {
          name: 'web',
          hostPort,
          containerPort: 8080,
          protocol: 'TCP',
          ...hostIP,
          nodeIPs: [NODE[4]],
          podName: 'x',
          podUID: uid,
          podIP: '10.244.0.200',
        },
      ]);
    const forged = [
      ['copied from the victim', (_: string) => own['berth.dev/mappings'] ?? ''],
      ["the victim's number under the own uid", (uid: string) => claim(uid, victim.port)],
      ["the victim's number on an address", (uid: string) => claim(uid, victim.port, { hostIP: NODE[4] })],
      ['a number that rests for another', (uid: string) => claim(uid, rests)],
      ['the port of sshd', (uid: string) => claim(uid, 22)],
      ['no port at all', (uid: string) => claim(uid, 0)],
      ['beyond all ports', (uid: string) => claim(uid, 65_536)],
      ['not even JSON', () => '[{'],
      ['another shape', (uid: string) => JSON.stringify({ web: victim.port, podUID: uid })],
    ] as const;
    const plans = forged.map(([, text], index) => {
      const plan = ghost(`forger-${index}`, {});
      const annotations = {
        [KEY]: '',
        'berth.dev/mappings': text(plan.uid),
        'port.berth.dev/web': String(victim.port),
        'port.berth.dev/ssh': '22',
      };
      // A container port of its own, so that TCP and UDP of it get one number.
      return { ...plan, podIPs: [`10.244.0.${210 + index}`], annotations };
    });
    site.declare(...plans);
    for (const [index, plan] of plans.entries()) {
      const what = forged[index]?.[0] ?? '';
      const number = (await site.mapped(plan)).get('web/TCP') ?? 0;
      t.false([victim.port, rests, 22, 0].includes(number), what);
      t.true(number >= 20_000 && number <= 20_999, what);
      const told = site.told(plan)?.annotations ?? {};
      t.deepEqual(Object.keys(told).sort(), ['berth.dev/mappings', 'port.berth.dev/game', 'port.berth.dev/web'], what);
      t.is(told['port.berth.dev/web'], String(number), what);
    }
    await site.agreed(agent, (all) => all.length === 2 + 2 * plans.length);
    await victim.checkServed(t, 'meanwhile');
    const numbers = (await site.list()).map(({ protocol, hostPort }) => `${protocol}/${hostPort}`);
    t.is(new Set(numbers).size, numbers.length);

    // The same over a restart without a state file and without rules: then the annotations are all that is left.
    await agent.stop();
    site.node.run(NFT, ['flush', 'ruleset']);
    writeFileSync(join(site.stateDir, 'state.json'), '');
    const next = await site.run();
    await site.agreed(next, (all) => all.length === 2 + 2 * plans.length);
    t.is((await site.mapped(victim.plan)).get('web/TCP'), victim.port);
    await victim.checkServed(t, 'after the loss');
  },
);

test.serial(
  'V12: the socket is for owner and group, the files of the state for the owner, and no abstract socket is open',
  async (t) => {
    await using site = new Site();
    const agent = await site.run();
    await new Victim(site).appear();
    await site.agreed(agent);
    const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8);
    t.is(mode(site.socket), '660');
    t.is(mode(site.stateDir), '700');
    t.deepEqual(
      readdirSync(site.stateDir).map((name) => `${name} ${mode(join(site.stateDir, name))}`),
      ['lock 600', 'state.json 600'],
    );
    const sockets = readFileSync(`/proc/${agent.pid}/net/unix`, 'utf8');
    t.true(sockets.includes(' /'), 'its own socket is listed');
    t.notRegex(sockets, / @/);
  },
);

const META = [
  '$(touch PWNED)',
  '`touch PWNED`',
  '; touch PWNED',
  '" } ; flush ruleset ; {',
  "'; flush ruleset; '",
  '*',
  '%n',
  'a\nb',
  '-f',
  '../../x',
  '..',
];

test.serial(
  'V21, V22: names that a shell, nft or a path could take for something else are refused, and nothing is touched',
  async (t) => {
    await using site = new Site();
    const agent = await site.run();
    const victim = await new Victim(site).appear();
    await site.agreed(agent);
    const table = site.node.run(NFT, ['list', 'table', 'inet', 'berth']);
    const files = filesIn(site);
    for (const [index, text] of META.entries()) {
      const write = (field: string, changes: object) =>
        site.manifests.writeText(`meta-${index}-${field}`, manifestWith(changes));
      write('name', { metadata: { name: text, namespace: 'default', uid: `u-${index}` } });
      write('namespace', { metadata: { name: `n-${index}`, namespace: text, uid: `v-${index}` } });
      write('uid', { metadata: { name: `m-${index}`, namespace: 'default', uid: text } });
      write('port', { spec: { containers: [{ name: 'main', ports: [{ name: text, containerPort: 80 }] }] } });
    }
    const plans = META.flatMap((text, index) => [
      ghost(`port-${index}`, { [KEY]: `${text}=5/udp` }),
      ghost(`pool-${index}`, { [KEY]: '', 'berth.dev/pool': text }),
    ]);
    site.declare(...plans);
    for (const plan of plans) await site.refused(plan, 'InvalidPortRequest');
    await site.until(() => agent.logged('failure').length > 0, 'the manifests are refused');

    // The longest names that are possible take part in the comment of an element, which has 128 bytes.
    const long = podAt(site.place('long', 8080), {
      name: 'x'.repeat(253),
      uid: 'f'.repeat(64),
      annotations: { [KEY]: `${'p'.repeat(15)}=3/udp` },
      ports: [],
    });
    site.manifests.writeText('long', manifestOf(long));
    await site.until(async () => (await site.list()).length === 3, 'it is mapped');
    site.manifests.remove('long');
    await site.agreed(agent, (all) => all.length === 2);

    await victim.checkServed(t, 'meanwhile');
    t.is(site.node.run(NFT, ['list', 'table', 'inet', 'berth']), table);
    t.deepEqual(filesIn(site), files, 'no file was made but those of .status');
    t.deepEqual(
      (await site.list()).map(({ podUID }) => podUID),
      [victim.plan.uid, victim.plan.uid],
    );
    t.true(agent.running);
  },
);

function manifestWith(changes: object): string {
  const annotations = { [KEY]: '' };
  const { metadata = {}, spec = {} } = changes as { metadata?: object; spec?: object };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'meta', namespace: 'default', uid: 'meta', annotations, ...metadata },
    spec: { containers: [{ name: 'main', ports: [{ name: 'web', containerPort: 80 }] }], ...spec },
    status: { phase: 'Running', podIPs: [{ ip: '10.244.0.201' }] },
  });
}

function manifestOf({ name, uid, annotations, podIPs = [] }: PodPlan): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid, annotations },
    spec: { containers: [{ name: 'main' }] },
    status: { phase: 'Running', podIPs: podIPs.map((ip) => ({ ip })) },
  });
}

/** Every path below the site's directory, without manifests and what is told of them. */
function filesIn(site: Site): readonly string[] {
  return readdirSync(site.directory, { recursive: true })
    .map(String)
    .filter((path) => !path.startsWith('pods/') && path !== 'draft')
    .sort();
}

/** What stands in berth.dev/ports, and what the message names. */
const NUMBERS: readonly (readonly [text: string, says: RegExp])[] = [
  ['0', /"0" /],
  ['0/udp', /"0/],
  ['65536', /"65536/],
  ['-1', /"-1"/],
  ['+80', /"\+80"/],
  ['1e5', /"1e5"/],
  ['0x50', /"0x50"/],
  ['080', /"080"/],
  ['80.0', /"80\.0"/],
  ['99999999999999999999/udp', /"9{20}/],
  ['x=0', /"0"/],
  ['x=-5', /"-5"/],
  ['x=257', /"257"/],
  ['x=1e2', /"1e2"/],
  ['x=65530-65540/udp', /"65540"|"65530-65540"/],
  ['x=20000-65536', /"65536"|"20000-65536"/],
  ['x=0-10', /"0"|"0-10"/],
  ['x=20010-20000', /"20010-20000"/],
  ['x=20000-20300', /"20000-20300"/],
  ['x=20000-', /"20000-"/],
  ['x=20000-20010, y=20005-20015', /20005/],
  ['x=30000-30010', /30000-30010 does not lie in pool/],
  ['x=1-10', /1-10 does not lie in pool/],
];

test.serial('V23: numbers at and beyond the edges of what a port can be are refused, exactly', async (t) => {
  await using site = new Site();
  const agent = await site.run();
  const victim = await new Victim(site).appear();
  const plans = NUMBERS.map(([text], index) => ghost(`number-${index}`, { [KEY]: text }));
  site.declare(...plans);
  for (const [index, [text, says]] of NUMBERS.entries()) {
    t.regex(await site.refused(plans[index] as PodPlan, 'InvalidPortRequest'), says, text);
  }
  // The same in the spec: the API server lets none of it pass, and neither does the agent.
  for (const containerPort of [0, 65_536, -1, 1e5, 80.5, '80', null]) {
    site.manifests.writeText(
      `spec-${String(containerPort)}`,
      manifestWith({ spec: { containers: [{ name: 'main', ports: [{ name: 'web', containerPort }] }] } }),
    );
  }
  await victim.checkServed(t, 'meanwhile');
  t.deepEqual(elementsFor(site, plans), []);
  t.is((await site.list()).length, 2);

  const edge = podAt(site.place('edge', 20_999), { annotations: { [KEY]: 'last=20999-20999/udp' }, ports: [] });
  site.declare(edge);
  t.is((await site.mapped(edge)).get('last/UDP'), 20_999);
  t.is(await site.ask(20_999, { protocol: 'UDP' }), 'edge sees 192.0.2.2');
  await site.agreed(agent, (all) => all.length === 3);
});
