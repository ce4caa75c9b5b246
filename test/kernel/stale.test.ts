/** V8: tracked connections after the mappings have changed, on the real kernel: who is served, who is cut off, who is left alone. */
import test from 'ava';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Agent, BOTH } from './matrix/agent.ts';
import { elementsAt } from './matrix/elements.ts';
import { Flood } from './matrix/flood.ts';
import { translate, VIPS } from './matrix/otherprogram.ts';
import { probe } from './matrix/probe.ts';
import { Server } from './matrix/server.ts';
import { allSee, Talk } from './matrix/talk.ts';
import {
  type Addresses,
  CLIENT,
  FAMILIES,
  GATEWAY,
  LAYOUTS,
  type Layout,
  LOOPBACK,
  NODE,
  type Place,
  REMOTE,
  STRANGER,
  Topology,
} from './matrix/topology.ts';
import { answered } from './matrix/waiting.ts';

/** The only number of the pool. */
const PORT = 20_000;

/** A node with two places for pods, a server in each, and a pool of one number. */
class Node implements AsyncDisposable {
  readonly topology: Topology;
  readonly agent: Agent;
  readonly one: Place;
  readonly two: Place;
  readonly #servers: Server[];

  constructor(layout: Layout) {
    this.topology = new Topology(layout);
    this.agent = new Agent(this.topology, ['--pool', `default=${PORT}-${PORT}`, '--pool', 'other=20100-20100']);
    this.one = this.topology.place('one');
    this.two = this.topology.place('two');
    this.#servers = [this.one, this.two].map((place) => new Server(place.namespace, 8080, place.name));
    this.agent.start();
  }

  serve(server: Server): void {
    this.#servers.push(server);
  }

  /** Resolves when the pod `app` is mapped at this place, as a new pod each time unless it stays the same. */
  async map(place: Place, allowFrom?: Addresses, { anew = true } = {}): Promise<void> {
    this.declare(place, allowFrom, { anew });
    await this.agent.mapped('app');
  }

  declare(place: Place, allowFrom?: Addresses, { anew = true } = {}): void {
    const limits = allowFrom === undefined ? {} : { 'berth.dev/allow-from': `${allowFrom[4]}, ${allowFrom[6]}` };
    this.agent.declare(
      place,
      { annotations: { 'berth.dev/ports': '', ...limits }, ports: BOTH },
      { name: 'app', anew },
    );
  }

  /** Nothing of the pod stands, and nobody holds its number any more: the kernel itself answers who still asks. */
  async released(): Promise<void> {
    await this.agent.released('app');
    const held = () => this.topology.node.run('/usr/bin/ss', ['-Hanu', `sport = :${PORT}`]) !== '';
    await answered(() => !held() || undefined, 'the number is held no more');
  }

  /** The table stands: from here on the kernel tracks connections. */
  async ready(): Promise<void> {
    const stands = () =>
      this.topology.node.run('/usr/sbin/nft', ['list', 'tables']).includes('inet berth') || undefined;
    await answered(stands, 'the table stands');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    for (const server of this.#servers) server[Symbol.dispose]();
    this.topology[Symbol.dispose]();
  }
}

/** Every connection is cut off: TCP by RST, and UDP finds nobody. */
const CUT = ['ECONNRESET', 'ECONNREFUSED', 'ECONNRESET', 'ECONNREFUSED'];

for (const layout of LAYOUTS) {
  test.serial(
    `${layout.name}: V8: a UDP client that sent before the mapping existed is served as soon as it exists`,
    async (t) => {
      await using node = new Node(layout);
      const { topology, one, two } = node;
      const masked = layout.bridge && !layout.callIptables;
      await node.ready();
      const clients = [
        { from: topology.client, to: NODE, seen: CLIENT },
        { from: topology.remote, to: NODE, seen: REMOTE },
        { from: topology.node, to: NODE, seen: NODE },
        { from: topology.node, to: LOOPBACK, seen: GATEWAY, families: [4] },
        { from: one.namespace, to: NODE, seen: GATEWAY },
        { from: two.namespace, to: NODE, seen: masked ? GATEWAY : two.address },
      ] as const;
      using talks = new DisposableStack();
      const early = clients.map(({ from, seen, ...way }) => {
        const families = 'families' in way ? way.families : FAMILIES;
        const expected = families.map((family) => `one sees ${seen[family]}`);
        return { expected, talk: talks.use(new Talk(from, { ...way, port: PORT, protocols: ['UDP'] })) };
      });
      for (const { talk } of early) {
        for (const answer of await talk.ask()) t.is(answer, 'ECONNREFUSED');
        for (const entry of talk.tracked(topology.node)) t.truthy(entry, 'the refused connection is tracked');
      }
      await node.map(one);
      for (const { talk, expected } of early) t.deepEqual(await talk.ask(), expected);
    },
  );

  test.serial(
    `${layout.name}: V8: a pod's UDP client that sent to an address before the node had it is served when the node has it`,
    async (t) => {
      await using node = new Node(layout);
      const { topology, one } = node;
      const address = { ...NODE, 4: '192.0.2.9' };
      await node.map(one);
      using talk = new Talk(topology.remote, { to: address, port: PORT, families: [4], protocols: ['UDP'] });
      await talk.ask(1);
      t.truthy(talk.tracked(topology.node)[0], 'the node forwards and tracks it');
      topology.node.address('eth0', '192.0.2.9/24');
      const served = async () => (await talk.ask(100))[0] === `one sees ${REMOTE[4]}` || undefined;
      t.true(await answered(served, 'served at the new address'));
    },
  );

  for (const agent of ['', ', also when no agent ran meanwhile'] as const) {
    test.serial(
      `${layout.name}: V8: a UDP client of a pod that was replaced is served by the new one${agent}`,
      async (t) => {
        await using node = new Node(layout);
        const { topology, one, two } = node;
        await node.map(one);
        using talk = new Talk(topology.client, { to: NODE, port: PORT, protocols: ['UDP'] });
        using local = new Talk(topology.node, { to: LOOPBACK, port: PORT, protocols: ['UDP'], families: [4] });
        t.deepEqual(await talk.ask(), [`one sees ${CLIENT[4]}`, `one sees ${CLIENT[6]}`]);
        t.deepEqual(await local.ask(), [`one sees ${GATEWAY[4]}`]);
        if (agent !== '') await node.agent.stop();
        node.declare(two);
        if (agent !== '') node.agent.start();
        await node.agent.mapped('app');
        t.deepEqual(await talk.ask(), [`two sees ${CLIENT[4]}`, `two sees ${CLIENT[6]}`]);
        t.deepEqual(await local.ask(), [`two sees ${GATEWAY[4]}`]);
      },
    );

    test.serial(
      `${layout.name}: V8: when a pod is gone, an open TCP connection gets RST on its next packet, and UDP reaches nobody${agent}`,
      async (t) => {
        await using node = new Node(layout);
        const { topology, one, two } = node;
        await node.map(one);
        using outside = new Talk(topology.client, { to: NODE, port: PORT });
        using neighbour = new Talk(two.namespace, { to: NODE, port: PORT });
        using local = new Talk(topology.node, { to: NODE, port: PORT });
        t.deepEqual(await outside.ask(), allSee('one', CLIENT));
        for (const talk of [neighbour, local]) for (const answer of await talk.ask()) t.regex(answer, /^one sees /);
        if (agent !== '') await node.agent.stop();
        node.agent.withdraw('app');
        if (agent !== '') node.agent.start();
        await node.released();
        for (const talk of [outside, neighbour, local]) t.deepEqual(await talk.ask(), CUT);
      },
    );
  }

  test.serial(
    `${layout.name}: V8: narrowing allow-from cuts the connections of sources that it no longer holds, and no others`,
    async (t) => {
      await using node = new Node(layout);
      const { topology, one } = node;
      await node.map(one);
      using client = new Talk(topology.client, { to: NODE, port: PORT, source: CLIENT });
      using stranger = new Talk(topology.client, { to: NODE, port: PORT, source: STRANGER });
      using local = new Talk(topology.node, { to: NODE, port: PORT });
      using loopback = new Talk(topology.node, { to: LOOPBACK, port: PORT, families: [4] });
      for (const talk of [client, stranger, local, loopback])
        for (const answer of await talk.ask()) t.regex(answer, /^one sees /);
      const staying = () =>
        [client, local, loopback].map((talk) => talk.tracked(topology.node).map((entry) => entry?.id));
      const before = staying();

      node.declare(one, CLIENT, { anew: false });
      const cut = () => stranger.tracked(topology.node).every((entry) => entry === undefined) || undefined;
      await answered(cut, 'the connections of the stranger are gone');
      t.deepEqual(await stranger.ask(), CUT);
      t.deepEqual(await client.ask(), allSee('one', CLIENT));
      t.deepEqual(await local.ask(), allSee('one', NODE));
      t.deepEqual(await loopback.ask(), [`one sees ${GATEWAY[4]}`, `one sees ${GATEWAY[4]}`]);
      t.deepEqual(staying(), before, 'the very same connections');

      // The other way round the same sockets are served again: UDP has no connection that could be lost.
      node.declare(one, undefined, { anew: false });
      const served = async () => (await stranger.ask(100))[1] === `one sees ${STRANGER[4]}` || undefined;
      t.true(await answered(served, 'the stranger is served again'));
    },
  );

  test.serial(
    `${layout.name}: I4, V8: connections of other ports, other programs and other hosts survive whatever happens to a mapping`,
    async (t) => {
      await using node = new Node(layout);
      const { topology, agent, one, two } = node;
      const { client, remote } = topology;
      const bystander = topology.place('bystander');
      node.serve(new Server(bystander.namespace, 8080, 'bystander'));
      node.serve(new Server(remote, PORT, 'remote'));
      node.serve(new Server(client, PORT, 'client'));
      node.serve(new Server(topology.node, 7000, 'node'));
      agent.declare(bystander, { annotations: { 'berth.dev/ports': '', 'berth.dev/pool': 'other' }, ports: BOTH });
      for (const family of FAMILIES) {
        const to = { address: bystander.address[family], port: 8080 };
        translate(topology.node, 'nft', { address: VIPS.nft[family], port: PORT }, to);
        translate(topology.node, 'iptables', { address: NODE[family], port: 30_080 }, to);
      }
      await agent.mapped('bystander');
      await node.map(one);

      using talks = new DisposableStack();
      const talk = (from: Place | Topology['node'], to: Addresses, port: number) =>
        talks.use(new Talk('namespace' in from ? from.namespace : from, { to, port }));
      const others = {
        'another mapping': talk(client, NODE, 20_100),
        'a Service with the same number': talk(client, VIPS.nft, PORT),
        'a NodePort': talk(client, NODE, 30_080),
        'a service of the node': talk(client, NODE, 7000),
        'from the pod to a host beyond, same number': talk(one, REMOTE, PORT),
        'from a client to a host beyond, same number': talk(client, REMOTE, PORT),
        'from a host beyond to a client, same number': talk(remote, CLIENT, PORT),
        'from the node to a host beyond, same number': talk(topology.node, REMOTE, PORT),
      };
      const seen = new Map<string, { answers: readonly string[]; ids: readonly (string | undefined)[] }>();
      const look = async (one: Talk) => {
        const answers = await one.ask();
        return { answers, ids: one.tracked(topology.node).map((entry) => entry?.id) };
      };
      for (const [name, one] of Object.entries(others)) {
        const { answers, ids } = await look(one);
        for (const answer of answers) t.regex(answer, / sees /, name);
        for (const id of ids) t.truthy(id, name);
        seen.set(name, { answers, ids });
      }
      const unharmed = async (after: string) => {
        for (const [name, one] of Object.entries(others))
          t.deepEqual(await look(one), seen.get(name), `${name}, after ${after}`);
      };

      await node.map(two);
      await unharmed('the pod was replaced');
      node.declare(two, STRANGER, { anew: false });
      await refused(topology);
      await unharmed('allow-from was narrowed');
      await agent.stop();
      agent.start();
      await agent.adopted();
      await unharmed('a restart');
      node.declare(two, undefined, { anew: false });
      await reached(topology);
      topology.node.run('/usr/sbin/nft', ['delete', 'table', 'inet', 'berth']);
      await reached(topology);
      await unharmed('the table was healed');
      agent.withdraw('app');
      await agent.released('app');
      await unharmed('the pod is gone');
    },
  );

  test.serial(
    `${layout.name}: I6: open connections to a live mapping survive kill -9, a restart and a healing`,
    async (t) => {
      await using node = new Node(layout);
      const { topology, agent, one, two } = node;
      await node.map(one);
      using outside = new Talk(topology.client, { to: NODE, port: PORT });
      using neighbour = new Talk(two.namespace, { to: NODE, port: PORT });
      using hairpin = new Talk(one.namespace, { to: NODE, port: PORT });
      using loopback = new Talk(topology.node, { to: LOOPBACK, port: PORT, families: [4] });
      const look = async () => {
        const answers = [];
        for (const talk of [outside, neighbour, hairpin, loopback]) answers.push(await talk.ask());
        return answers;
      };
      const before = await look();
      for (const answer of before.flat()) t.regex(answer, /^one sees /);
      await agent.stop();
      t.deepEqual(await look(), before, 'no agent');
      agent.start();
      await agent.adopted();
      t.deepEqual(await look(), before, 'the next agent');
      topology.node.run('/usr/sbin/nft', ['flush', 'ruleset']);
      await reached(topology);
      t.deepEqual(await look(), before, 'healed');
    },
  );

  test.serial(
    `${layout.name}: a live number that moves to another pod in one transaction fails no connection`,
    async (t) => {
      await using node = new Node(layout);
      const { topology } = node;
      await node.map(node.one);
      // The rules stay, and nobody but this test changes them.
      await node.agent.stop();
      await using transport = topology.node.enter(() => new NetlinkTransport());
      using flood = new Flood(topology.client, { source: CLIENT, target: NODE, port: PORT, patience: 5_000 });
      let moves = 0;
      for (let asked = 0; asked < 3_000; { asked } = await flood.tally()) {
        const [from, to] = moves++ % 2 === 0 ? [node.one, node.two] : [node.two, node.one];
        t.true(await transport.commit({ remove: elementsAt(from, PORT), add: elementsAt(to, PORT) }));
      }
      const tally = await flood.stop();
      t.log(`${tally.answered} of ${tally.asked} answered over ${moves} moves`);
      t.is(tally.answered, tally.asked);
    },
  );

  test.serial(
    `${layout.name}: I2, I6: while one pod after another takes the place of its predecessor, no client is refused`,
    async (t) => {
      await using node = new Node(layout);
      const { topology, one, two } = node;
      await node.map(one);
      using flood = new Flood(topology.client, { source: CLIENT, target: NODE, port: PORT, patience: 2_000 });
      for (let move = 0; move < 6; move++) {
        await flood.more(200);
        await node.map(move % 2 === 0 ? two : one);
      }
      const tally = await flood.stop();
      // Lost is what was open to the predecessor when it was gone.
      t.log(`${tally.asked} asked, ${tally.answered} answered, ${tally.refused} refused, ${tally.lost} cut off`);
      t.is(tally.refused, 0);
    },
  );
}

const QUESTION = { protocol: 'TCP', source: CLIENT[4], address: NODE[4], port: PORT } as const;

async function refused({ client }: Topology): Promise<void> {
  await answered(async () => (await probe(client, QUESTION)) === 'ECONNREFUSED' || undefined, 'the client is refused');
}

async function reached({ client }: Topology): Promise<void> {
  await answered(async () => (await probe(client, QUESTION)).includes(' sees ') || undefined, 'the client is served');
}
