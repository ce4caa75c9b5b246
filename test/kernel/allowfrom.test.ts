/** Allow-lists under attack, on the real kernel: a source that is denied asks without a pause while everything changes. */
import test from 'ava';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Agent, BOTH, type PodWish } from './matrix/agent.ts';
import { PacketCounter } from './matrix/counter.ts';
import { elementsAt } from './matrix/elements.ts';
import { Flood } from './matrix/flood.ts';
import { RulesetMonitor } from './matrix/monitor.ts';
import { probe } from './matrix/probe.ts';
import { Server } from './matrix/server.ts';
import { Spray } from './matrix/spray.ts';
import { CLIENT, FAMILIES, LAYOUTS, type Layout, NODE, type Place, STRANGER, Topology } from './matrix/topology.ts';
import { answered } from './matrix/waiting.ts';

/** The only number of the pool. */
const PORT = 20_000;
/** So many times a packet may be on its way through the rules while they change. */
const COMMITS = 1_000;
const LISTED: PodWish = {
  annotations: { 'berth.dev/ports': '', 'berth.dev/allow-from': `${CLIENT[4]}, ${CLIENT[6]}` },
  ports: BOTH,
};

/** A node with a pod that only the client may reach. */
class Siege implements AsyncDisposable {
  readonly topology: Topology;
  readonly agent: Agent;
  readonly pod: Place;
  readonly #server: Server;
  readonly #arrived: PacketCounter;

  constructor(layout: Layout) {
    this.topology = new Topology(layout);
    this.agent = new Agent(this.topology, ['--pool', `default=${PORT}-${PORT}`]);
    this.pod = this.topology.place('listed');
    this.#server = new Server(this.pod.namespace, 8080, 'listed');
    this.#arrived = new PacketCounter(
      this.pod.namespace,
      'prerouting',
      `ip saddr ${STRANGER[4]}`,
      `ip6 saddr ${STRANGER[6]}`,
    );
    this.agent.start();
  }

  /** Packets of the stranger that the pod got, whatever they were. */
  get arrived(): number {
    return this.#arrived.packets;
  }

  /** The stranger asks without a pause. Little patience where there may be nothing that answers: it asks the more. */
  attack(patience = 50): Flood {
    return new Flood(this.topology.client, { source: STRANGER, target: NODE, port: PORT, patience });
  }

  /** Declares the pod as a new one of the same name. */
  async map(): Promise<void> {
    this.agent.declare(this.pod, LISTED, { anew: true });
    await this.agent.mapped(this.pod.name);
  }

  /** Resolves when the client is served over everything. */
  async served(): Promise<void> {
    for (const family of FAMILIES) {
      for (const protocol of ['TCP', 'UDP'] as const) {
        const question = { protocol, source: CLIENT[family], address: NODE[family], port: PORT, patience: 100 };
        const ask = async () =>
          (await probe(this.topology.client, question)) === `listed sees ${CLIENT[family]}` || undefined;
        await answered(ask, `${protocol} over IPv${family} is served`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    this.#server[Symbol.dispose]();
    this.topology[Symbol.dispose]();
  }
}

for (const layout of LAYOUTS) {
  test.serial(
    `${layout.name}: V7: no packet of a denied source arrives while the mapping is set up and taken down again and again`,
    async (t) => {
      await using siege = new Siege(layout);
      using stranger = siege.attack();
      for (let round = 0; round < 10; round++) {
        await stranger.more(200);
        await siege.map();
        await siege.served();
        await stranger.more(200);
        siege.agent.withdraw('listed');
        await siege.agent.released('listed');
      }
      const { asked, refused, answered: reached } = await stranger.stop();
      t.log(`${asked} questions: ${refused} refused`);
      t.is(siege.arrived, 0);
      t.is(reached, 0);
    },
  );

  test.serial(
    `${layout.name}: V7: no packet of a denied source slips through while a commit takes effect`,
    async (t) => {
      await using siege = new Siege(layout);
      await siege.map();
      await siege.agent.stop();
      await using transport = siege.topology.node.enter(() => new NetlinkTransport());
      const elements = elementsAt(siege.pod, PORT, CLIENT);
      await transport.commit({ remove: elements, add: [] });
      using stranger = new Spray(siege.topology.client, STRANGER[4], NODE[4], PORT);
      await stranger.started();
      for (let round = 0; round < COMMITS; round++) {
        await transport.commit({ remove: [], add: elements });
        await transport.commit({ remove: elements, add: [] });
      }
      t.log(`${await stranger.sent()} packets while the mapping came and went ${COMMITS} times`);
      t.is(siege.arrived, 0);
    },
  );

  test.serial(
    `${layout.name}: I6, V5: kill -9, restart and upgrade open nothing to a denied source, and close nothing to an allowed one`,
    async (t) => {
      await using siege = new Siege(layout);
      await siege.map();
      await siege.served();
      using stranger = siege.attack(5_000);
      using client = new Flood(siege.topology.client, { source: CLIENT, target: NODE, port: PORT, patience: 5_000 });
      for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
        await client.more(200);
        await siege.agent.stop(signal);
        await client.more(200);
        await stranger.more(200);
        siege.agent.start();
        await siege.agent.adopted();
        await client.more(200);
        await stranger.more(200);
      }
      const allowed = await client.stop();
      const denied = await stranger.stop();
      t.log(
        `allowed: ${allowed.answered} of ${allowed.asked} answered; denied: ${denied.refused} of ${denied.asked} refused`,
      );
      t.is(allowed.answered, allowed.asked);
      t.is(siege.arrived, 0);
      t.is(denied.refused, denied.asked);
    },
  );

  test.serial(
    `${layout.name}: V6: after nft flush ruleset, or when the table was deleted, nothing of a denied source arrives`,
    async (t) => {
      await using siege = new Siege(layout);
      using stranger = siege.attack();
      await siege.map();
      for (const loss of ['flush ruleset', 'delete table inet berth', 'flush table inet berth', 'flush ruleset']) {
        await siege.served();
        await stranger.more(200);
        siege.topology.node.run('/usr/sbin/nft', loss.split(' '));
        await stranger.more(200);
      }
      await siege.served();
      const { asked } = await stranger.stop();
      t.log(`${asked} questions`);
      t.is(siege.arrived, 0);
    },
  );

  test.serial(`${layout.name}: V6: the mapping comes back in one transaction with its allow-list`, async (t) => {
    await using siege = new Siege(layout);
    await siege.map();
    using monitor = new RulesetMonitor(siege.topology.node);
    siege.topology.node.run('/usr/sbin/nft', ['flush', 'ruleset']);
    await siege.served();
    const restored = await monitor.transactionWith('any4', 'tcp . 20000');
    const has = (set: string, key: string) =>
      t.true(
        restored.some((one) => one.set === set && one.key === key),
        `${key} in ${set}: ${JSON.stringify(restored)}`,
      );
    for (const protocol of ['tcp', 'udp']) {
      for (const family of FAMILIES) {
        has(`any${family}`, `${protocol} . ${PORT}`);
        has(`allow${family}`, `${protocol} . ${PORT} . ${CLIENT[family]}`);
      }
      has('limited', `${protocol} . ${PORT}`);
    }
  });
}
