/** What Berth must leave alone, on the real kernel: packets for others, other programs, and the node's own loopback. */
import test from 'ava';
import { Agent, BOTH } from './matrix/agent.ts';
import { Conversation } from './matrix/conversation.ts';
import { PacketCounter } from './matrix/counter.ts';
import { sceneOf } from './matrix/fixture.ts';
import { MARK, translate, VIPS } from './matrix/otherprogram.ts';
import { probe } from './matrix/probe.ts';
import { blockOf, type Scene } from './matrix/scene.ts';
import { Server } from './matrix/server.ts';
import {
  type Addresses,
  CLIENT,
  FAMILIES,
  GATEWAY,
  LAYOUTS,
  LOOPBACK,
  NODE,
  REMOTE,
  SECOND,
  STRANGER,
  Topology,
} from './matrix/topology.ts';
import { isUntouched, type Tracked, tracked } from './matrix/tracked.ts';
import { answered } from './matrix/waiting.ts';
import type { Namespace } from './namespace.ts';

const PROTOCOLS = ['TCP', 'UDP'] as const;

interface Ask {
  readonly from: Namespace;
  readonly to: Addresses;
  readonly port: number;
  readonly patience?: number;
}

/** Asks over everything, and tells how the node tracked each connection, together with the answer. */
async function trackedAs({ topology }: Scene, { from, to, port, patience }: Ask) {
  const all: { readonly answer: string; readonly entry: Tracked | undefined; readonly over: string }[] = [];
  for (const family of FAMILIES) {
    for (const protocol of PROTOCOLS) {
      using conversation = new Conversation(from, { protocol, address: to[family], port });
      const answer = await conversation.ask(patience);
      const { localPort } = conversation;
      const entry = tracked(topology.node).find(
        ({ original, ...one }) =>
          one.protocol === protocol && original.sourcePort === localPort && original.destination === to[family],
      );
      all.push({ answer, entry, over: `${protocol} over IPv${family}` });
    }
  }
  return all;
}

/** Gives the node one more address, and waits until it is served: the agent then knows of every change before it. */
async function newAddressServed(scene: Scene, address: string): Promise<void> {
  scene.topology.node.address('eth0', `${address}/24`);
  const question = { protocol: 'TCP', address, port: scene.port('open') } as const;
  await answered(
    async () => ((await probe(scene.topology.client, question)).startsWith('open') ? true : undefined),
    'served',
  );
}

/** Makes the namespace send what it says to 127.0.0.1 to another host (CVE-2020-8558). */
function aimAtLoopback(namespace: Namespace, via: string): void {
  namespace.ip('addr del 127.0.0.1/8 dev lo');
  for (const device of ['all', 'eth0']) namespace.sysctl(`net.ipv4.conf.${device}.route_localnet`, 1);
  namespace.ip(`route add 127.0.0.0/8 via ${via} dev eth0`);
}

for (const layout of LAYOUTS) {
  const opened = sceneOf(layout);

  test.serial(
    `${layout.name}: I4, V1: a connection to another host's same number is tracked, and not translated`,
    async (t) => {
      const scene = await opened();
      const { node, client, remote } = scene.topology;
      const open = scene.topology.place('open');
      const port = scene.port('open');
      const asks: readonly Ask[] = [
        { from: client, to: REMOTE, port },
        { from: remote, to: CLIENT, port },
        { from: open.namespace, to: REMOTE, port },
        { from: remote, to: open.address, port },
        { from: node, to: REMOTE, port },
        { from: node, to: open.address, port },
      ];
      for (const ask of asks) {
        for (const { answer, entry, over } of await trackedAs(scene, ask)) {
          t.regex(answer, /^(remote|client|open itself) sees /, over);
          t.true(entry !== undefined && isUntouched(entry), `${over}: ${JSON.stringify(entry)}`);
          t.is(entry?.mark, 0);
        }
      }
    },
  );

  test.serial(
    `${layout.name}: I4, V2: a connection of another program is translated and marked by that program alone`,
    async (t) => {
      const scene = await opened();
      const ask = { from: scene.topology.client, to: VIPS.nft, port: scene.port('open') };
      for (const { answer, entry, over } of await trackedAs(scene, ask)) {
        t.regex(answer, /^service sees /, over);
        t.is(entry?.reply.sourcePort, 8081);
        t.is(entry?.reply.destination, entry?.original.source);
        t.is(entry?.mark, MARK);
      }
    },
  );

  test.serial(
    `${layout.name}: V2: a NodePort of another program goes on beside a mapping of the same number at another address`,
    async (t) => {
      const scene = await opened();
      const { topology, neighbour } = scene;
      for (const family of FAMILIES) {
        const from = { address: NODE[family], port: scene.port(`host${family}`) };
        translate(topology.node, 'iptables', from, { address: neighbour.address[family], port: 8081 });
        for (const protocol of PROTOCOLS) {
          t.is(await probe(topology.client, { protocol, ...from }), `service sees ${CLIENT[family]}`);
          const mapped = { protocol, address: SECOND[family], port: from.port };
          t.is(await probe(topology.client, mapped), `host${family} sees ${CLIENT[family]}`);
        }
      }
    },
  );

  test.serial(
    `${layout.name}: where another program claims a mapping's own number at the node, the mapping is applied, once`,
    async (t) => {
      const scene = await opened();
      const { topology, neighbour } = scene;
      for (const family of FAMILIES) {
        const mapped = { address: NODE[family], port: scene.port('listed') };
        // The second of these rules would meet what the mapping has sent on.
        for (const from of [mapped, { address: topology.place('listed').address[family], port: 8080 }]) {
          translate(topology.node, 'nft', from, { address: neighbour.address[family], port: 8081 });
        }
        for (const protocol of PROTOCOLS) {
          const question = { protocol, source: CLIENT[family], ...mapped };
          t.is(await probe(topology.client, question), `listed sees ${CLIENT[family]}`);
        }
      }
    },
  );

  test.serial(
    `${layout.name}: V2: a NodePort of another program with a number of its own goes on, from outside and from the node`,
    async (t) => {
      const { topology, neighbour } = await opened();
      for (const family of FAMILIES) {
        const from = { address: NODE[family], port: 30_080 };
        translate(topology.node, 'nft', from, { address: neighbour.address[family], port: 8081 });
        for (const protocol of PROTOCOLS) {
          t.is(await probe(topology.client, { protocol, ...from }), `service sees ${CLIENT[family]}`);
          t.is(await probe(topology.node, { protocol, ...from }), `service sees ${NODE[family]}`);
        }
      }
    },
  );

  test.serial(
    `${layout.name}: V2: a Service address that is the node's own, as with IPVS, is not served by Berth`,
    async (t) => {
      const scene = await opened();
      const { topology } = scene;
      const port = scene.port('open');
      const vip: Addresses = { 4: '10.96.0.20', 6: 'fd00:96::20' };
      const service: Addresses = { 4: '10.96.0.21', 6: 'fd00:96::21' };
      // kube-proxy makes a device of kind dummy, which not every kernel has; Berth goes by the name.
      topology.node.bridge('kube-ipvs0');
      for (const each of [vip, service]) topology.node.address('kube-ipvs0', `${each[4]}/32`, `${each[6]}/128`);
      await newAddressServed(scene, '192.0.2.8');

      const asked = await trackedAs(scene, { from: topology.client, to: vip, port, patience: 100 });
      for (const { answer, entry, over } of asked) {
        // The reservation's socket answers TCP with RST and swallows UDP: the pod gets neither.
        if (over.startsWith('TCP')) t.is(answer, 'ECONNREFUSED', over);
        else t.true(entry !== undefined && isUntouched(entry), `${over}: ${JSON.stringify(entry)}`);
      }
      const backend = topology.place('open');
      for (const family of FAMILIES) {
        // The very pod and port to which Berth's mapping of this number leads.
        const to = { address: backend.address[family], port: 8080 };
        translate(topology.node, 'nft', { address: service[family], port }, to);
        for (const protocol of PROTOCOLS) {
          const question = { protocol, address: service[family], port };
          t.is(await probe(topology.client, question), `open sees ${CLIENT[family]}`);
        }
      }
    },
  );

  test.serial(
    `${layout.name}: V2: a neighbour's connection to a Service is masked by Berth neither with a local address nor with another`,
    async (t) => {
      const scene = await opened();
      const { topology, neighbour } = scene;
      const port = scene.port('open');
      const backend = topology.place('open');
      const local: Addresses = { 4: '10.96.0.22', 6: 'fd00:96::22' };
      topology.node.address('kube-ipvs0', `${local[4]}/32`, `${local[6]}/128`);
      for (const service of [local, { 4: '10.96.0.23', 6: 'fd00:96::23' }]) {
        for (const family of FAMILIES) {
          translate(
            topology.node,
            'nft',
            { address: service[family], port },
            { address: backend.address[family], port: 8080 },
          );
          using conversation = new Conversation(neighbour.namespace, {
            protocol: 'UDP',
            address: service[family],
            port,
          });
          // On one bridge that iptables does not see the answer goes astray, without Berth as with it.
          void conversation.ask(1);
          const { localPort } = conversation;
          const entry = await answered(
            () =>
              tracked(topology.node).find(
                ({ original }) => original.sourcePort === localPort && original.destination === service[family],
              ),
            'the connection is tracked',
          );
          t.is(entry.reply.source, backend.address[family]);
          t.is(entry.reply.destination, neighbour.address[family]);
        }
      }
    },
  );

  test.serial(
    `${layout.name}: I4: an address that has left the node is another host's at once, also while no agent runs`,
    async (t) => {
      const scene = await opened();
      const { node, client, remote } = scene.topology;
      await scene.agent.stop();
      for (const family of FAMILIES) {
        node.ip(`addr del ${SECOND[family]}/${family === 4 ? 24 : 64} dev eth0`);
        client.address('eth0', `${SECOND[family]}/${family === 4 ? 24 : 64}`);
        client.ip(`route add ${REMOTE[family]} via ${NODE[family]} src ${SECOND[family]}`);
        for (const protocol of PROTOCOLS) {
          const question = { protocol, address: SECOND[family], port: scene.port('open') };
          t.is(await probe(remote, question), `client sees ${REMOTE[family]}`);
        }
        client.ip(`addr del ${SECOND[family]}/${family === 4 ? 24 : 64} dev eth0`);
        node.ip(
          `addr add ${SECOND[family]}/${family === 4 ? 24 : 64} dev eth0${family === 4 ? '' : ' nodad preferred_lft 0'}`,
        );
      }
      scene.agent.start();
      await newAddressServed(scene, '192.0.2.9');
      t.is(
        await probe(client, { protocol: 'TCP', address: SECOND[4], port: scene.port('open') }),
        `open sees ${CLIENT[4]}`,
      );
    },
  );

  test.serial(
    `${layout.name}: I5, V25: whatever a pod has, it sees outside clients themselves, never the node or loopback`,
    async (t) => {
      const scene = await opened();
      const { topology } = scene;
      const places = [
        { name: 'open', at: NODE, number: scene.port('open') },
        { name: 'open', at: GATEWAY, number: scene.port('open') },
        { name: 'listed', at: SECOND, number: scene.port('listed') },
        { name: 'block', at: NODE, number: blockOf('block').middle },
      ] as const;
      for (const { name, at, number } of places) {
        for (const family of FAMILIES) {
          for (const protocol of PROTOCOLS) {
            const sources = name === 'listed' ? [CLIENT] : [CLIENT, STRANGER];
            for (const source of sources) {
              const question = { protocol, source: source[family], address: at[family], port: number };
              t.is(await probe(topology.client, question), `${name} sees ${source[family]}`);
            }
          }
        }
      }
    },
  );

  test.serial(
    `${layout.name}: V4: route_localnet is set on the devices that lead to pods, and nowhere else`,
    async (t) => {
      const { topology } = await opened();
      const setting = (device: string) => topology.node.sysctl(`net.ipv4.conf.${device}.route_localnet`);
      for (const device of ['all', 'default', 'lo', 'eth0', 'eth1']) t.is(setting(device), '0', device);
      t.is(setting(topology.place('open').device), '1');
    },
  );

  test.serial(`${layout.name}: V4: what neighbours send to 127.0.0.1 reaches nothing on the node`, async (t) => {
    using topology = new Topology(layout);
    await using agent = new Agent(topology);
    const { node, client } = topology;
    const [attacker, victim] = [topology.place('attacker'), topology.place('victim')];
    using service = new Server(node, 7000, 'loopback', '::ffff:127.0.0.1');
    t.is(service.name, 'loopback');
    const neighbours = [
      { from: client, own: CLIENT[4], via: NODE[4], device: 'eth0' },
      { from: attacker.namespace, own: attacker.address[4], via: GATEWAY[4], device: attacker.device },
    ];
    for (const { from, own, via, device } of neighbours) {
      aimAtLoopback(from, via);
      node.sysctl(`net.ipv4.conf.${device}.route_localnet`, 1);
      for (const protocol of PROTOCOLS) {
        const answer = await probe(from, { protocol, address: LOOPBACK[4], port: 7000 });
        t.is(answer, `loopback sees ${own}`, 'without Berth the attack works');
      }
    }

    agent.declare(victim, { annotations: { 'berth.dev/ports': '' }, ports: BOTH });
    agent.start();
    const { web = 0 } = await agent.mapped('victim');
    using pod = new Server(victim.namespace, 8080, 'victim');
    using arrived = new PacketCounter(node, 'input', 'iifname != "lo" ip daddr 127.0.0.0/8');
    using forwarded = new PacketCounter(victim.namespace, 'input', `ip saddr != ${GATEWAY[4]} th dport 8080`);
    t.is(pod.name, 'victim');
    for (const { from, own, via } of neighbours) {
      for (const address of ['127.0.0.1', '127.0.0.53']) {
        for (const port of [7000, web]) {
          for (const protocol of PROTOCOLS) await probe(from, { protocol, address, port, patience: 1 });
        }
      }
      // What was sent before this has been dealt with when this is answered.
      t.is(await probe(from, { protocol: 'TCP', address: via, port: 7000 }), `loopback sees ${own}`);
    }
    t.is(arrived.packets, 0);
    t.is(forwarded.packets, 0);
    t.is(await probe(node, { protocol: 'TCP', address: LOOPBACK[4], port: web }), `victim sees ${GATEWAY[4]}`);
  });

  test.serial(
    `${layout.name}: I4: every table of other programs is as it was, after mapping, releasing, healing and a restart`,
    async (t) => {
      const scene = await opened();
      const { topology, agent } = scene;
      const others = () => {
        const tables = topology.node.run('/usr/sbin/nft', ['-s', 'list', 'ruleset']).split(/^(?=table )/m);
        return tables.filter((table) => !table.startsWith('table inet berth ')).sort();
      };
      const before = others();
      t.true(before.length >= 4);
      agent.declare(topology.place('visitor'), { annotations: { 'berth.dev/ports': '' }, ports: BOTH });
      await agent.mapped('visitor');
      topology.node.run('/usr/sbin/nft', ['delete', 'table', 'inet', 'berth']);
      const question = { protocol: 'TCP', address: NODE[4], port: scene.port('open') } as const;
      await answered(
        async () => ((await probe(topology.client, question)).startsWith('open') ? true : undefined),
        'healed',
      );
      await agent.stop();
      agent.start();
      agent.withdraw('visitor');
      await agent.released('visitor');
      t.deepEqual(others(), before);
    },
  );
}
