/** What the agent needs of a node, and what it says when something of that is missing. */
import { once } from 'node:events';
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { type AgentProcess, NODE, Site, type StartOptions } from './agent.ts';
import { heldSockets } from './heldsockets.ts';
import { pod } from './manifest.ts';
import { elementsIn, NFT } from './standing.ts';

const WEB = [
  { name: 'web', containerPort: 8080 },
  { name: 'game', containerPort: 8080, protocol: 'UDP' },
] as const;

/** Runs the agent after a shell command in a mount namespace of its own. */
function after(command: string): Pick<StartOptions, 'under'> {
  return { under: ['unshare', '--mount', 'sh', '-c', `${command} && exec "$@"`, 'sh'] };
}

/** An executable file in the site's directory. */
function script(site: Site, name: string, ...lines: readonly string[]): string {
  const path = join(site.directory, name);
  writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
  chmodSync(path, 0o755);
  return path;
}

function file(site: Site, name: string, text: string): string {
  const path = join(site.directory, name);
  writeFileSync(path, text);
  return path;
}

/** What it warns of, as far as it is about this. */
function warnings(agent: AgentProcess, about: string): readonly string[] {
  return agent
    .logged('warning')
    .map(({ message }) => String(message))
    .filter((message) => message.includes(about));
}

interface Refusal {
  readonly title: string;
  readonly start: (site: Site) => StartOptions;
  /** The one line that is said: what is wrong, and what to do. */
  readonly says: RegExp;
  readonly code: number;
}

const REFUSALS: readonly Refusal[] = [
  {
    title: 'nft is missing',
    start: () => after(`mount --bind /dev/null ${NFT}`),
    says: /nft is at none of \/usr\/sbin\/nft,.*: install nftables 1\.0\.1 or newer in the image of the agent/,
    code: 1,
  },
  {
    title: 'nft is too old',
    start: (site) => after(`mount --bind ${script(site, 'nft', 'echo "nftables v0.9.8 (E.D.S.)"')} ${NFT}`),
    says: /\/usr\/sbin\/nft is "nftables v0\.9\.8 \(E\.D\.S\.\)": install nftables 1\.0\.1 or newer/,
    code: 1,
  },
  {
    title: 'nft is another program',
    start: (site) => after(`mount --bind ${script(site, 'nft', 'echo "node-file-trace 1.3.1"')} ${NFT}`),
    says: /\/usr\/sbin\/nft is "node-file-trace 1\.3\.1": install nftables 1\.0\.1 or newer/,
    code: 1,
  },
  {
    title: 'the capability NET_ADMIN is missing',
    start: () => ({ under: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'] }),
    says: /nf_tables.*capability NET_ADMIN/,
    code: 1,
  },
  {
    title: 'a file stands where the state directory belongs',
    start: (site) => ({ flags: ['--state-dir', join(file(site, 'file', ''), 'state')] }),
    says: /cannot lock .*\/file\/state\/lock: ENOTDIR: .*choose another --state-dir/,
    code: 1,
  },
  {
    title: 'the state directory is on a read-only file system',
    start: ({ directory, stateDir }) =>
      after(`mkdir ${stateDir} && mount --bind -o ro ${stateDir} ${stateDir} && cd ${directory}`),
    says: /cannot lock .*\/state\/lock: EROFS: the file system is read-only: mount it writable/,
    code: 1,
  },
  {
    title: 'the state directory cannot be made',
    start: () => ({ flags: ['--state-dir', '/proc/berth/state'] }),
    says: /cannot lock \/proc\/berth\/state\/lock: ENOENT: /,
    code: 1,
  },
  {
    title: 'a file stands where the directory of the socket belongs',
    start: (site) => ({ flags: ['--socket', join(file(site, 'file', ''), 'agent.sock')] }),
    says: /cannot listen at the socket .*\/file\/agent\.sock: ENOTDIR: .*choose another path with --socket/,
    code: 1,
  },
  {
    title: 'the directory of the socket cannot be made',
    start: () => ({ flags: ['--socket', '/proc/berth/agent.sock'] }),
    says: /cannot listen at the socket \/proc\/berth\/agent\.sock: ENOENT: .*choose another path with --socket/,
    code: 1,
  },
  {
    title: 'the path of the socket is too long for the kernel',
    start: (site) => ({ flags: ['--socket', join(site.directory, 'x'.repeat(100))] }),
    says: /--socket: .* is longer than 101 bytes/,
    code: 2,
  },
  {
    title: 'an option is unknown',
    start: () => ({ flags: ['--pols', 'default=20000-20999'] }),
    says: /unknown flag --pols \(did you mean --pods\?\); see --help/,
    code: 2,
  },
  {
    title: 'a pool overlaps the NodePorts',
    start: () => ({ flags: ['--pool', 'games=30000-30099'] }),
    says: /games.*30000-32767.*--node-port-range/,
    code: 2,
  },
  {
    title: 'a key of the configuration file is unknown',
    start: (site) => ({ flags: ['--config', file(site, 'agent.yaml', 'nodename: x\n')] }),
    says: /nodename.*nodeName/,
    code: 2,
  },
];

for (const { title, start, says, code } of REFUSALS) {
  test.serial(`the agent ends at once with one line that tells the remedy: ${title}`, async (t) => {
    await using site = new Site();
    const agent = await site.start(start(site));
    const ending = await agent.ended;
    const said = agent.log.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
    t.is(said.length, 1, agent.log);
    t.regex(said[0] ?? '', says);
    t.true(said[0]?.startsWith('berth agent: '));
    t.deepEqual(ending, { code, signal: null });
    t.deepEqual(elementsIn(site.node), []);
  });
}

test.serial('the metrics address is taken by another program: one line tells the remedy', async (t) => {
  await using site = new Site();
  const other = site.node.enter(() => createServer().listen(9464));
  t.teardown(() => other.close());
  const agent = await site.start();
  t.deepEqual(await agent.ended, { code: 2, signal: null });
  t.regex(
    agent.log,
    /^berth agent: metrics cannot be served on 127\.0\.0\.1 port 9464 .*: set --metrics-address to a free one$/m,
  );
  t.true(other.listening);
});

test.serial('the agent works with only NET_ADMIN in its bounding set and /proc/sys read-only', async (t) => {
  // The pool overlaps the ephemeral ports, and their list cannot be written.
  await using site = new Site({ pools: ['default=40000-40999'] });
  const { under = [] } = after('mount --bind -o ro /proc/sys /proc/sys');
  const agent = await site.run({ under: [...under, 'setpriv', '--bounding-set=-all,+net_admin', '--inh-caps=-all'] });
  const place = site.place('one', 8080);
  const plan = pod('one', { ports: WEB, podIPs: [place.address[4], place.address[6]] });
  site.declare(plan);
  const port = (await site.mapped(plan)).get('web/TCP') ?? 0;
  t.is(await site.ask(port), 'one sees 192.0.2.2');
  t.is(await site.ask(port, { protocol: 'UDP', address: NODE[6] }), 'one sees 2001:db8:1::2');
  t.is(await site.ask(port, { from: site.node, address: '127.0.0.1' }), 'one sees 10.244.0.1');
  t.is(await site.ask(port, { from: place.namespace }), 'one sees 10.244.0.1');
  await site.agreed(agent, (all) => all.length === 2);

  const [warning] = agent.logged('warning');
  t.regex(
    String(warning?.message),
    /^ports 40000-40999 are not protected .*mount \/proc\/sys\/net of the node writable and name its place with --proc-sys$/,
  );
  site.withdraw(plan);
  await site.agreed(agent, (all) => all.length === 0);
});

test.serial('a pool in the ephemeral range is added to the reserved ports, and what stood there stays', async (t) => {
  await using site = new Site({ pools: ['default=40000-40099'] });
  site.node.sysctl('net.ipv4.ip_local_reserved_ports', '50000-50009');
  const agent = await site.run();
  t.is(site.node.sysctl('net.ipv4.ip_local_reserved_ports'), '40000-40099,50000-50009');
  t.deepEqual(warnings(agent, 'ephemeral'), []);
  await site.until(() => site.state().settings.length === 1, 'the state file remembers what stood there');
  t.deepEqual(site.state().settings, [
    { setting: 'net.ipv4.ip_local_reserved_ports', before: '50000-50009', added: '40000-40099' },
  ]);
});

test.serial('pools that a changed file brings are protected and checked like those of the start', async (t) => {
  await using site = new Site({ pools: [] });
  const pools = file(site, 'pools.yaml', 'pools: [{ name: default, ranges: [20000-20099] }]\n');
  const under = ['setpriv', '--bounding-set=-sys_resource', 'prlimit', '--nofile=2048:2048'];
  const agent = await site.run({ under, flags: ['--pools-file', pools] });
  t.is(site.node.sysctl('net.ipv4.ip_local_reserved_ports'), '');
  t.deepEqual(warnings(agent, 'may open'), []);
  writeFileSync(pools, 'pools: [{ name: default, ranges: [40000-41999] }]\n');
  await site.until(
    () => site.node.sysctl('net.ipv4.ip_local_reserved_ports') === '40000-41999',
    'the new pool is protected',
  );
  await site.until(() => site.state().settings.length === 1, 'the state file remembers what stood there');
  t.deepEqual(site.state().settings, [
    { setting: 'net.ipv4.ip_local_reserved_ports', before: '', added: '40000-41999' },
  ]);
  t.regex(warnings(agent, 'may open')[0] ?? '', /may open 2048 files, 4000 host ports need 5024/);
});

test.serial('the agent works on a node whose IPv6 is off', async (t) => {
  await using site = new Site();
  for (const device of ['all', 'default', 'lo']) site.node.sysctl(`net.ipv6.conf.${device}.disable_ipv6`, 1);
  const agent = await site.run();
  const place = site.place('one', 8080);
  const plan = pod('one', { ports: WEB, podIPs: [place.address[4], place.address[6]] });
  site.declare(plan);
  const port = (await site.mapped(plan)).get('web/TCP') ?? 0;
  t.is(await site.ask(port), 'one sees 192.0.2.2');
  t.is(await site.ask(port, { protocol: 'UDP' }), 'one sees 192.0.2.2');
  await site.agreed(agent, (all) => all.length === 2);
  t.deepEqual(agent.logged('failure'), []);
});

test.serial(
  'few descriptors: the agent warns at start; pods beyond wait and are told why, those before are served',
  async (t) => {
    await using site = new Site();
    // A limit that the agent lacks the right to raise, and too low for the pods below.
    const agent = await site.run({ under: ['setpriv', '--bounding-set=-sys_resource', 'prlimit', '--nofile=64:64'] });
    t.regex(
      String(agent.logged('warning')[0]?.message),
      /the agent may open 64 files, .*raise the limit of open files/,
    );
    const place = site.place('one', 8080);
    const first = pod('one', { ports: WEB, podIPs: [place.address[4]] });
    site.declare(first);
    const port = (await site.mapped(first)).get('web/TCP') ?? 0;
    const many = pod('many', {
      annotations: { 'berth.dev/ports': 'rtp=60/udp' },
      podIPs: [site.place('many').address[4]],
    });
    site.declare(many);
    t.regex(await site.refused(many, 'PoolExhausted'), /no file descriptor left: raise its limit of open files/);
    t.is(await site.ask(port), 'one sees 192.0.2.2');

    site.withdraw(many);
    await site.agreed(agent, (all) => all.length === 2);
    t.is(heldSockets(agent.pid).length, 2);
  },
);

test.serial('without a directory of pods the agent waits, says why, and goes on when it is there', async (t) => {
  await using site = new Site();
  const away = `${site.manifests.path}.away`;
  renameSync(site.manifests.path, away);
  const agent = await site.start();
  await site.until(async () => /pods/.test((await site.ready()).text), '/readyz says why');
  t.is((await site.ready()).status, 503);
  t.true(agent.running);
  mkdirSync(site.manifests.path);
  await site.until(async () => (await site.ready()).status === 200, 'the agent is ready');
});

test.serial('I7: a pod that had no port and ended while no agent ran leaves no status file behind', async (t) => {
  await using site = new Site();
  const agent = await site.run();
  const bad = pod('bad', { annotations: { 'berth.dev/ports': '99999' } });
  const stays = pod('stays', { annotations: { 'berth.dev/ports': '99999' } });
  site.declare(bad, stays);
  await site.refused(bad, 'InvalidPortRequest');
  await site.refused(stays, 'InvalidPortRequest');
  await agent.stop('SIGTERM');
  site.withdraw(bad);
  await site.run();
  await site.until(() => site.told(bad) === undefined, 'the file of the pod that ended is gone');
  t.not(site.told(stays), undefined);
});

const ENDINGS: readonly { readonly how: string; readonly signal: NodeJS.Signals; readonly code: number }[] = [
  { how: 'it is told to end', signal: 'SIGTERM', code: 0 },
  { how: 'an error ends it', signal: 'SIGUSR2', code: 1 },
];

for (const { how, signal, code } of ENDINGS) {
  test.serial(`the lock is given back last, when no number and no socket is held any more: ${how}`, async (t) => {
    await using site = new Site();
    const agent = await site.run({ entry: 'test/kernel/ending.agent.ts' });
    const plan = pod('one', { ports: WEB, podIPs: [site.place('one').address[4]] });
    site.declare(plan);
    await site.mapped(plan);
    // One that says nothing and stays until it is cut off.
    const client = connect(site.socket);
    await once(client, 'connect');
    t.teardown(() => client.destroy());
    t.deepEqual(await agent.stop(signal), { code, signal: null });
    t.deepEqual(
      agent.logged('unlocked').map(({ sockets }) => sockets),
      [0],
    );
  });
}
