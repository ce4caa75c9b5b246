/**
 * A topology with the real agent on its node, pods of every kind that ask for ports, a server in each, and other programs
 * that use the same numbers: what the table of cases is asked of.
 */
import { Agent, BOTH } from './agent.ts';
import { translate, VIPS } from './otherprogram.ts';
import { Server } from './server.ts';
import { CLIENT, FAMILIES, type Layout, type Place, SECOND, Topology } from './topology.ts';

/** The pods that ask for a port, each with one number for TCP and UDP: their names and annotations. */
const WISHES = {
  /** For everybody, on every address. */
  open: {},
  /** Has an address of this family only. */
  open4: {},
  open6: {},
  /** Only on one address of the node. */
  host4: { 'berth.dev/host-ip': SECOND[4] },
  host6: { 'berth.dev/host-ip': SECOND[6] },
  /** Only for the client. */
  listed: { 'berth.dev/allow-from': `${CLIENT[4]}, ${CLIENT[6]}` },
  /** Only for the client, and for nobody over the other family. */
  listed4: { 'berth.dev/allow-from': CLIENT[4] },
  listed6: { 'berth.dev/allow-from': CLIENT[6] },
} as const;

export type PodName = keyof typeof WISHES;

/** The pods that ask for a block of numbers, the same for TCP and UDP. */
const BLOCKS = {
  block: {},
  blocklisted: { 'berth.dev/allow-from': `${CLIENT[4]}, ${CLIENT[6]}` },
  hostblock4: { 'berth.dev/host-ip': SECOND[4], 'berth.dev/allow-from': CLIENT[4] },
  hostblock6: { 'berth.dev/host-ip': SECOND[6], 'berth.dev/allow-from': CLIENT[6] },
} as const;

export type BlockName = keyof typeof BLOCKS;

/** Some numbers of the pod's block. The twenty after its last are nobody's. */
export function blockOf(name: BlockName): Readonly<Record<'first' | 'middle' | 'last', number>> {
  const first = 20_500 + 50 * Object.keys(BLOCKS).indexOf(name);
  return { first, middle: first + 17, last: first + 29 };
}

/** Port of pod `sctp`. */
export const SCTP_PORT = 9_000;
const POOLS = ['--pool', 'default=20000-20199', '--pool', 'blocks=20500-20699'];

export class Scene implements AsyncDisposable {
  readonly topology: Topology;
  readonly agent: Agent;
  /** A pod without mappings, behind a device of its own. */
  readonly neighbour: Place;
  readonly #ports = new Map<PodName, number>();
  readonly #servers: Server[] = [];

  private constructor(layout: Layout) {
    this.topology = new Topology(layout);
    this.agent = new Agent(this.topology, POOLS);
    this.neighbour = this.topology.place('neighbour');
  }

  static async open(layout: Layout): Promise<Scene> {
    const scene = new Scene(layout);
    try {
      await scene.#prepare();
      return scene;
    } catch (error) {
      await scene[Symbol.asyncDispose]();
      throw error;
    }
  }

  port(name: PodName): number {
    return this.#ports.get(name) ?? 0;
  }

  async #prepare(): Promise<void> {
    const { topology, agent } = this;
    for (const [name, annotations] of Object.entries(WISHES)) {
      const place = topology.place(name);
      const only = name === 'open4' ? [4 as const] : name === 'open6' ? [6 as const] : FAMILIES;
      const podIPs = only.map((family) => place.address[family]);
      agent.declare(place, { annotations: { 'berth.dev/ports': '', ...annotations }, ports: BOTH, podIPs });
      this.#serve(place, 8080);
    }
    for (const [name, limits] of Object.entries(BLOCKS) as [BlockName, Record<string, string>][]) {
      const { first, middle, last } = blockOf(name);
      const annotations = { 'berth.dev/ports': `rtp=${first}-${last}/tcp+udp`, 'berth.dev/pool': 'blocks', ...limits };
      agent.declare(topology.place(name), { annotations, ports: [] });
      for (const number of [first, middle, last, last + 1]) this.#serve(topology.place(name), number);
    }
    const declared = [{ name: 'diameter', containerPort: SCTP_PORT, protocol: 'SCTP' }] as const;
    agent.declare(topology.place('sctp'), { annotations: { 'berth.dev/ports': '' }, ports: declared });
    agent.start();
    for (const name of Object.keys(WISHES) as PodName[]) this.#ports.set(name, (await agent.mapped(name)).web ?? 0);
    for (const name of Object.keys(BLOCKS)) await agent.mapped(name);

    // The number of the open pod's mapping, everywhere else.
    const port = this.port('open');
    for (const place of [topology.place('open'), this.neighbour]) this.#serve(place, port, `${place.name} itself`);
    this.#servers.push(new Server(topology.remote, port, 'remote'), new Server(topology.client, port, 'client'));
    this.#serve(this.neighbour, 8081, 'service');
    for (const program of ['nft', 'iptables'] as const) {
      for (const family of FAMILIES) {
        translate(
          topology.node,
          program,
          { address: VIPS[program][family], port },
          { address: this.neighbour.address[family], port: 8081 },
        );
      }
    }
  }

  #serve(place: Place, port: number, name = place.name): void {
    this.#servers.push(new Server(place.namespace, port, name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    for (const server of this.#servers) server[Symbol.dispose]();
    this.topology[Symbol.dispose]();
  }
}
