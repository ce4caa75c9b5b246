/**
 * The table of cases: who asks whom at a host port, and who answers and sees which client. Every case is asked over TCP and
 * UDP, IPv4 and IPv6, in every layout.
 */
import type { Family } from '../../../daemon/core/vocabulary.ts';
import type { Namespace } from '../namespace.ts';
import { VIPS } from './otherprogram.ts';
import { type BlockName, blockOf, type PodName, type Scene } from './scene.ts';
import { CLIENT, GATEWAY, LOOPBACK, NODE, REMOTE, SECOND, STRANGER } from './topology.ts';

export interface Asked {
  readonly from: Namespace;
  readonly source?: string;
  readonly address: string;
  readonly port: number;
  /** As `probe` answers. */
  readonly answer: string;
}

export interface Case {
  /** A sentence. */
  readonly title: string;
  /** Undefined where there is nothing to be asked. */
  readonly ask: (scene: Scene, family: Family) => Asked | undefined;
}

/** The kernel's word for RST and for ICMP port unreachable: somebody said no at once. */
const REFUSED = 'ECONNREFUSED';

/** What the other family is called in a pod that names only one. */
const other = (family: Family): Family => (family === 4 ? 6 : 4);

function fromClient({ topology }: Scene, source: string, to: Omit<Asked, 'from' | 'source'>): Asked {
  return { from: topology.client, source, ...to };
}

function fromNode({ topology }: Scene, to: Omit<Asked, 'from'>): Asked {
  return { from: topology.node, ...to };
}

/** Only neighbours on a bridge whose traffic iptables does not see need masquerade. */
function neighbourSeen({ topology, neighbour }: Scene, family: Family): string {
  const masked = topology.layout.bridge && !topology.layout.callIptables;
  return masked ? GATEWAY[family] : neighbour.address[family];
}

const host = (family: Family): PodName => `host${family}`;
const listed = (family: Family): PodName => `listed${family}`;
const single = (family: Family): PodName => `open${family}`;
const hostblock = (family: Family): BlockName => `hostblock${family}`;

export const CASES: readonly Case[] = [
  {
    title: 'I5: an outside client reaches the pod, which sees the client itself',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: scene.port('open'),
        answer: `open sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'I5: an outside client reaches the pod at the address of another device of the node',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: GATEWAY[family],
        port: scene.port('open'),
        answer: `open sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'I5: a host beyond the node reaches the pod, which sees that host itself',
    ask: (scene, family) => ({
      from: scene.topology.remote,
      address: NODE[family],
      port: scene.port('open'),
      answer: `open sees ${REMOTE[family]}`,
    }),
  },
  {
    title: 'a pod reaches itself at its own mapping (hairpin), masked by the node',
    ask: (scene, family) => ({
      from: scene.topology.place('open').namespace,
      address: NODE[family],
      port: scene.port('open'),
      answer: `open sees ${GATEWAY[family]}`,
    }),
  },
  {
    title: 'the node reaches the pod at its own address, under that address',
    ask: (scene, family) =>
      fromNode(scene, { address: NODE[family], port: scene.port('open'), answer: `open sees ${NODE[family]}` }),
  },
  {
    title: 'the node reaches the pod at 127.0.0.1, masked; [::1] cannot work and is refused at once',
    ask: (scene, family) =>
      fromNode(scene, {
        address: LOOPBACK[family],
        port: scene.port('open'),
        answer: family === 4 ? `open sees ${GATEWAY[4]}` : REFUSED,
      }),
  },
  {
    title: 'I5: a neighbour pod reaches the pod; it is seen itself, but on one bridge with bridge-nf-call-iptables=0',
    ask: (scene, family) => ({
      from: scene.neighbour.namespace,
      address: NODE[family],
      port: scene.port('open'),
      answer: `open sees ${neighbourSeen(scene, family)}`,
    }),
  },
  {
    title: 'a neighbour pod reaches the pod at the address of the gateway',
    ask: (scene, family) => ({
      from: scene.neighbour.namespace,
      address: GATEWAY[family],
      port: scene.port('open'),
      answer: `open sees ${neighbourSeen(scene, family)}`,
    }),
  },
  {
    title: 'a pod with addresses of one family is reached over that',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: scene.port(single(family)),
        answer: `open${family} sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'a pod with addresses of one family refuses at once over the other',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: scene.port(single(other(family))),
        answer: REFUSED,
      }),
  },
  {
    title: 'a pod with addresses of one family refuses the node at once at the loopback address of the other',
    ask: (scene, family) =>
      fromNode(scene, { address: LOOPBACK[family], port: scene.port(single(other(family))), answer: REFUSED }),
  },

  {
    title: 'I4: the same number of a host beyond the node is that host, for a client that is routed through the node',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: REMOTE[family],
        port: scene.port('open'),
        answer: `remote sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'I4: the same number of a client is that client, for a host beyond the node',
    ask: (scene, family) => ({
      from: scene.topology.remote,
      address: CLIENT[family],
      port: scene.port('open'),
      answer: `client sees ${REMOTE[family]}`,
    }),
  },
  {
    title: 'I4: the same number of a host beyond the node is that host, for the pod that has the mapping',
    ask: (scene, family) => {
      const { namespace, address } = scene.topology.place('open');
      return {
        from: namespace,
        address: REMOTE[family],
        port: scene.port('open'),
        answer: `remote sees ${address[family]}`,
      };
    },
  },
  {
    title: 'I4: the same number of another host is that host, for the node',
    ask: (scene, family) =>
      fromNode(scene, { address: CLIENT[family], port: scene.port('open'), answer: `client sees ${NODE[family]}` }),
  },
  {
    title: 'I4: the same number of a pod, at its own address, is that pod, for a host beyond the node',
    ask: (scene, family) => ({
      from: scene.topology.remote,
      address: scene.neighbour.address[family],
      port: scene.port('open'),
      answer: `neighbour itself sees ${REMOTE[family]}`,
    }),
  },
  {
    title: 'I4: the same number of the mapped pod, at its own address, is not translated, for its neighbour',
    ask: (scene, family) => ({
      from: scene.neighbour.namespace,
      address: scene.topology.place('open').address[family],
      port: scene.port('open'),
      answer: `open itself sees ${scene.neighbour.address[family]}`,
    }),
  },

  {
    title: 'V2: a Service of another nftables program with the same number goes on, for an outside client',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: VIPS.nft[family],
        port: scene.port('open'),
        answer: `service sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'V2: a Service of iptables with the same number goes on, for an outside client',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: VIPS.iptables[family],
        port: scene.port('open'),
        answer: `service sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'V2: a Service of another nftables program with the same number goes on, for the mapped pod',
    ask: (scene, family) => {
      const { layout } = scene.topology;
      // The answer takes the short way over the bridge and is not translated back: so it is without Berth, too.
      if (layout.bridge && !layout.callIptables) return undefined;
      const { namespace, address } = scene.topology.place('open');
      return {
        from: namespace,
        address: VIPS.nft[family],
        port: scene.port('open'),
        answer: `service sees ${address[family]}`,
      };
    },
  },
  {
    title: 'V2: a Service of another nftables program with the same number goes on, for the node',
    ask: (scene, family) =>
      fromNode(scene, { address: VIPS.nft[family], port: scene.port('open'), answer: `service sees ${NODE[family]}` }),
  },
  {
    title: 'V2: a Service of iptables with the same number goes on, for the node',
    ask: (scene, family) =>
      fromNode(scene, {
        address: VIPS.iptables[family],
        port: scene.port('open'),
        answer: `service sees ${NODE[family]}`,
      }),
  },

  {
    title: 'berth.dev/host-ip: that address answers an outside client',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: SECOND[family],
        port: scene.port(host(family)),
        answer: `host${family} sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'berth.dev/host-ip: another address of the node refuses an outside client at once',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], { address: NODE[family], port: scene.port(host(family)), answer: REFUSED }),
  },
  {
    title: 'berth.dev/host-ip: that address answers the node',
    ask: (scene, family) =>
      fromNode(scene, {
        source: SECOND[family],
        address: SECOND[family],
        port: scene.port(host(family)),
        answer: `host${family} sees ${SECOND[family]}`,
      }),
  },
  {
    title: 'berth.dev/host-ip: loopback refuses the node at once',
    ask: (scene, family) =>
      fromNode(scene, { address: LOOPBACK[family], port: scene.port(host(family)), answer: REFUSED }),
  },
  {
    title: 'berth.dev/host-ip: the address of the other family refuses at once',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: SECOND[family],
        port: scene.port(host(other(family))),
        answer: REFUSED,
      }),
  },
  {
    title: 'berth.dev/host-ip: the pod reaches itself at that address',
    ask: (scene, family) => ({
      from: scene.topology.place(host(family)).namespace,
      address: SECOND[family],
      port: scene.port(host(family)),
      answer: `host${family} sees ${GATEWAY[family]}`,
    }),
  },
  {
    title: 'berth.dev/host-ip: a neighbour pod reaches the pod at that address',
    ask: (scene, family) => ({
      from: scene.neighbour.namespace,
      address: SECOND[family],
      port: scene.port(host(family)),
      answer: `host${family} sees ${neighbourSeen(scene, family)}`,
    }),
  },

  {
    title: 'berth.dev/allow-from: a source of the list is served',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: scene.port('listed'),
        answer: `listed sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'berth.dev/allow-from: every other source is refused at once',
    ask: (scene, family) =>
      fromClient(scene, STRANGER[family], { address: NODE[family], port: scene.port('listed'), answer: REFUSED }),
  },
  {
    title: 'berth.dev/allow-from: a neighbour pod that is not in the list is refused at once',
    ask: (scene, family) => ({
      from: scene.neighbour.namespace,
      address: NODE[family],
      port: scene.port('listed'),
      answer: REFUSED,
    }),
  },
  {
    title: 'berth.dev/allow-from: the node itself is always served',
    ask: (scene, family) =>
      fromNode(scene, { address: NODE[family], port: scene.port('listed'), answer: `listed sees ${NODE[family]}` }),
  },
  {
    title: 'berth.dev/allow-from: the node itself is served at 127.0.0.1; [::1] is refused at once',
    ask: (scene, family) =>
      fromNode(scene, {
        address: LOOPBACK[family],
        port: scene.port('listed'),
        answer: family === 4 ? `listed sees ${GATEWAY[4]}` : REFUSED,
      }),
  },
  {
    title: 'berth.dev/allow-from: a list of one family serves its source over that family',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: scene.port(listed(family)),
        answer: `listed${family} sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'berth.dev/allow-from: a family without an entry is refused at once',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: scene.port(listed(other(family))),
        answer: REFUSED,
      }),
  },
  {
    title: 'berth.dev/allow-from: the node itself is served over a family without an entry',
    ask: (scene, family) => {
      const pod = listed(other(family));
      return fromNode(scene, { address: NODE[family], port: scene.port(pod), answer: `${pod} sees ${NODE[family]}` });
    },
  },

  ...(['first', 'middle', 'last'] as const).map(
    (which): Case => ({
      title: `a block is reached at its ${which} number`,
      ask: (scene, family) =>
        fromClient(scene, CLIENT[family], {
          address: NODE[family],
          port: blockOf('block')[which],
          answer: `block sees ${CLIENT[family]}`,
        }),
    }),
  ),
  {
    title: 'a block ends: the number after its last is refused at once, though the pod listens there',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], { address: NODE[family], port: blockOf('block').last + 1, answer: REFUSED }),
  },
  {
    title: 'a pod reaches itself at its own block',
    ask: (scene, family) => ({
      from: scene.topology.place('block').namespace,
      address: NODE[family],
      port: blockOf('block').last,
      answer: `block sees ${GATEWAY[family]}`,
    }),
  },
  {
    title: 'a neighbour pod reaches a block',
    ask: (scene, family) => ({
      from: scene.neighbour.namespace,
      address: NODE[family],
      port: blockOf('block').middle,
      answer: `block sees ${neighbourSeen(scene, family)}`,
    }),
  },
  {
    title: 'a block with an allow-list serves a source of the list',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: blockOf('blocklisted').last,
        answer: `blocklisted sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'a block with an allow-list refuses every other source at once',
    ask: (scene, family) =>
      fromClient(scene, STRANGER[family], {
        address: NODE[family],
        port: blockOf('blocklisted').last,
        answer: REFUSED,
      }),
  },
  {
    title: 'a block of one address, with an allow-list, serves a source of the list at that address',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: SECOND[family],
        port: blockOf(hostblock(family)).middle,
        answer: `hostblock${family} sees ${CLIENT[family]}`,
      }),
  },
  {
    title: 'a block of one address, with an allow-list, refuses every other source at once',
    ask: (scene, family) =>
      fromClient(scene, STRANGER[family], {
        address: SECOND[family],
        port: blockOf(hostblock(family)).middle,
        answer: REFUSED,
      }),
  },
  {
    title: 'a block of one address, with an allow-list, serves the node',
    ask: (scene, family) =>
      fromNode(scene, {
        source: SECOND[family],
        address: SECOND[family],
        port: blockOf(hostblock(family)).middle,
        answer: `hostblock${family} sees ${SECOND[family]}`,
      }),
  },
  {
    title: 'a block of one address refuses at another address of the node',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], {
        address: NODE[family],
        port: blockOf(hostblock(family)).middle,
        answer: REFUSED,
      }),
  },
  {
    title: 'a number of the pool that nobody has is refused at once',
    ask: (scene, family) =>
      fromClient(scene, CLIENT[family], { address: NODE[family], port: blockOf('block').last + 2, answer: REFUSED }),
  },
];
