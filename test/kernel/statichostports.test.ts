/** `--static-host-ports`: the agent in place of CNI portmap, in front of pods that know nothing of Berth. */
import test from 'ava';
import { NODE, Site } from './agent.ts';
import { heldSockets } from './heldsockets.ts';
import { type PodPlan, type PortPlan, pod } from './manifest.ts';
import { Conversation } from './matrix/conversation.ts';
import { LOOPBACK, type Place, SECOND } from './matrix/topology.ts';
import { OtherProcess } from './otherprocess.ts';

const SERVES = ['--static-host-ports'];

/** A pod in the place that does not opt in. */
function plain({ name, address }: Place, ports: readonly PortPlan[], more: Partial<PodPlan> = {}): PodPlan {
  return pod(more.name ?? name, { annotations: {}, ports, podIPs: [address[4], address[6]], ...more });
}

function conflicts(site: Site, plan: PodPlan): readonly string[] {
  return (site.told(plan)?.events ?? [])
    .filter(({ reason }) => reason === 'PortConflict')
    .map(({ message }) => message);
}

test.serial(
  'I5 I7: hostPort 8080 for TCP and UDP, 80 below 1024, and one on a hostIP: served with the client seen, and taken down',
  async (t) => {
    await using site = new Site();
    const one = plain(site.place('one', 8080), [
      { name: 'web', containerPort: 8080, hostPort: 8080 },
      { containerPort: 8080, hostPort: 8080, protocol: 'UDP' },
      { containerPort: 8080, hostPort: 80 },
      { name: 'second', containerPort: 8080, hostPort: 9090, hostIP: SECOND[4] },
      { name: 'local', containerPort: 8080, hostPort: 9191, hostIP: LOOPBACK[4] },
    ]);
    site.declare(one);
    const agent = await site.run({ flags: SERVES });
    await site.agreed(agent, (all) => all.length === 5);
    t.is(site.told(one), undefined, 'nothing is written on the pod');

    for (const protocol of ['TCP', 'UDP'] as const) {
      t.is(await site.ask(8080, { protocol }), 'one sees 192.0.2.2');
      t.is(await site.ask(8080, { protocol, address: NODE[6] }), 'one sees 2001:db8:1::2');
      t.is(await site.ask(8080, { protocol, address: SECOND[4] }), 'one sees 192.0.2.2');
    }
    t.is(await site.ask(80), 'one sees 192.0.2.2');
    t.is(await site.ask(9090, { address: SECOND[4] }), 'one sees 192.0.2.2');
    t.is(await site.ask(9090), 'ECONNREFUSED', 'the other address of the node');
    t.regex(await site.ask(9191, { from: site.node, address: LOOPBACK[4] }), /^one sees /);
    t.is(await site.ask(9191), 'ECONNREFUSED', 'from outside');
    t.regex(await site.ask(8080, { from: site.topology.place('one').namespace }), /^one sees /, 'the pod itself');

    const list = await site.list();
    t.deepEqual([...new Set(list.map(({ pool }) => pool))], ['static']);
    t.deepEqual(list.map(({ name, hostIP = '' }) => `${name} ${hostIP}`).sort(), [
      '8080-tcp ',
      '8080-udp ',
      'local 127.0.0.1',
      'second 192.0.2.7',
      'web ',
    ]);

    using talk = new Conversation(site.topology.client, { protocol: 'UDP', address: NODE[4], port: 8080 });
    t.is(await talk.ask(), 'one sees 192.0.2.2');
    site.withdraw(one);
    await site.agreed(agent, (all) => all.length === 0);
    t.is(await site.ask(8080), 'ECONNREFUSED');
    t.is(await talk.ask(), 'ECONNREFUSED', 'the flow of UDP has gone with it');
    t.deepEqual(heldSockets(agent.pid), []);
  },
);

test.serial('I6: an agent that starts anew adopts static ports; without the flag it takes them down', async (t) => {
  await using site = new Site();
  const one = plain(site.place('one', 8080), [{ containerPort: 8080, hostPort: 8080 }]);
  site.declare(one);
  const first = await site.run({ flags: SERVES });
  await site.answers(8080, 'one sees 192.0.2.2');
  const before = site.elements();
  await first.stop();
  t.is(await site.ask(8080), 'one sees 192.0.2.2');

  const second = await site.run({ flags: SERVES });
  await site.agreed(second, (all) => all.length === 1);
  t.deepEqual(site.elements(), before);
  await second.stop();

  const third = await site.run();
  await site.agreed(third, (all) => all.length === 0);
  t.is(await site.ask(8080), 'ECONNREFUSED');
});

test.serial('I1: a pod that is replaced while it ends: the next one has the port when it has ended', async (t) => {
  await using site = new Site();
  const ports = [{ containerPort: 8080, hostPort: 8080 }];
  const [old, next] = ['one', 'two'].map((name) => plain(site.place(name, 8080), ports)) as [PodPlan, PodPlan];
  const agent = await site.run({ flags: SERVES });
  site.declare(old);
  await site.answers(8080, 'one sees 192.0.2.2');
  site.declare({ ...old, terminating: true }, next);
  await site.until(() => conflicts(site, next).length > 0, 'the next pod is told');
  t.regex(conflicts(site, next)[0] ?? '', /hostPort 8080\/TCP of its spec is served for pod default\/one/);
  t.is(await site.ask(8080), 'one sees 192.0.2.2');
  site.declare({ ...old, terminating: true, ended: true });
  await site.answers(8080, 'two sees 192.0.2.2');
  await site.agreed(agent, (all) => all.length === 1);
});

test.serial('a port that another process holds is left to it, told, and served once it is free', async (t) => {
  await using site = new Site();
  await using other = site.node.enter(() => new OtherProcess());
  t.deepEqual(await other.try({ protocol: 'TCP', address: '127.0.0.1', port: 8080, listen: true, keep: true }), {
    got: 8080,
  });
  const one = plain(site.place('one', 8080), [{ containerPort: 8080, hostPort: 8080 }]);
  site.declare(one);
  await site.run({ flags: SERVES });
  await site.until(() => conflicts(site, one).length > 0, 'the conflict is told');
  t.regex(conflicts(site, one)[0] ?? '', /hostPort 8080\/TCP of its spec is held by another process on the node/);
  t.is(await site.ask(8080), 'ECONNREFUSED');
  await other.drop();
  await site.answers(8080, 'one sees 192.0.2.2');
});

test.serial(
  'without NET_BIND_SERVICE a port below 1024 is refused with the remedy, and others are served',
  async (t) => {
    await using site = new Site();
    const one = plain(site.place('one', 8080), [
      { containerPort: 8080, hostPort: 80 },
      { containerPort: 8080, hostPort: 8080 },
    ]);
    site.declare(one);
    const rights = ['--bounding-set=-net_bind_service', '--inh-caps=-net_bind_service'];
    await site.run({ flags: SERVES, under: ['setpriv', ...rights] });
    await site.answers(8080, 'one sees 192.0.2.2');
    await site.until(() => conflicts(site, one).length > 0, 'the pod is told');
    t.regex(conflicts(site, one)[0] ?? '', /hostPort 80\/TCP .* NET_BIND_SERVICE: add it to the agent/);
    t.is(await site.ask(80), 'ECONNREFUSED');
  },
);

test.serial("beside portmap's rules for the same port Berth's come first, and go without them", async (t) => {
  await using site = new Site();
  const [one, two] = ['one', 'two'].map((name) => site.place(name, 8080)) as [Place, Place];
  const agent = await site.run({ flags: SERVES });
  // As its nftables backend writes them.
  site.node.run('/usr/sbin/nft', [
    `table ip cni_hostport {
      chain hostports { tcp dport 8080 dnat to ${two.address[4]}:8080 comment "two"; }
      chain prerouting { type nat hook prerouting priority -100; fib daddr type local jump hostports; }
    }`,
  ]);
  t.is(await site.ask(8080), 'two sees 192.0.2.2');
  const plan = plain(one, [{ containerPort: 8080, hostPort: 8080 }]);
  site.declare(plan);
  await site.answers(8080, 'one sees 192.0.2.2');
  site.withdraw(plan);
  await site.agreed(agent, (all) => all.length === 0);
  t.is(await site.ask(8080), 'two sees 192.0.2.2');
});
