/** One mapping added and removed beside 10,000 others: the agent's way against CNI portmap's. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Nft } from '../../daemon/datapath/nft.ts';
import { Table } from '../../daemon/datapath/table.ts';
import { elementsOf } from '../../rules/elements.ts';
import { Namespace } from '../kernel/namespace.ts';
import type { Measure } from './items.ts';
import { FIRST_PORT, mapping } from './mappings.ts';
import {
  type Backend,
  fillPortmap,
  nftablesText,
  type PeerMapping,
  PortmapPlugin,
  removeFromNftables,
} from './portmap.ts';
import { ms, row, times } from './row.ts';
import { median, p99 } from './statistics.ts';

interface Times {
  readonly add: number[];
  readonly remove: number[];
}

export const measure: Measure = async (scale, tell) => {
  const installed = scale.pick(10_000, 2_000);
  const others = Array.from({ length: installed }, (_, index) => peerMapping(index));
  const rounds = scale.pick(5, 3);
  using pod = Namespace.create('pod');
  const directory = mkdtempSync(join(tmpdir(), 'berth-bench-'));
  try {
    const results = new Map<Backend, Times>();
    for (const backend of ['iptables-legacy', 'iptables-nft', 'nftables'] as const) {
      if (backend !== 'nftables' && !PortmapPlugin.installed) {
        tell(row(`portmap ${backend}: not measured, install containernetworking-plugins`));
        continue;
      }
      using node = Namespace.create('portmap');
      // portmap looks for the device that leads to the pod.
      node.link('pods', node, 'peer');
      node.address('pods', '10.244.0.1/16');
      fillPortmap(node, backend, others);
      results.set(backend, timePortmap(node, backend, directory, pod, rounds));
    }
    const own = await timeBerth(installed, scale.pick(300, 100));
    for (const verb of ['add', 'remove'] as const) {
      const factor = verb === 'add' ? 100 : 500;
      const mine = median(own[verb]);
      const best = Math.min(...[...results.values()].map((found) => median(found[verb])));
      for (const [backend, found] of results) {
        const how = backend === 'nftables' ? 'its nft commands alone' : `plugin ${PortmapPlugin.version}`;
        tell(
          row(`portmap ${backend} (${how}), ${verb}, ${installed} installed`, {
            median: ms(median(found[verb])),
            p99: ms(p99(found[verb])),
            ratio: `${times(median(found[verb]) / mine)} of Berth`,
          }),
        );
      }
      tell(
        row(`Berth, ${verb} one mapping, ${installed} installed`, {
          budget: `≥ ${factor} × faster than the best portmap`,
          median: ms(mine),
          p99: ms(p99(own[verb])),
          ratio: `${times(best / mine)} faster`,
          met: best / mine >= factor,
        }),
      );
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

function peerMapping(index: number): PeerMapping {
  const { hostPort, podIPs, containerPort } = mapping(index);
  return { hostPort, podIP: podIPs[0] ?? '', containerPort };
}

function timePortmap(node: Namespace, backend: Backend, directory: string, pod: Namespace, rounds: number): Times {
  const plugin = backend === 'nftables' ? undefined : new PortmapPlugin(node, backend, directory);
  const found: Times = { add: [], remove: [] };
  for (let round = 0; round < rounds; round++) {
    const one = { ...peerMapping(round), hostPort: FIRST_PORT - 1 - round };
    found.add.push(
      timed(() => {
        if (plugin === undefined) node.run('/usr/sbin/nft', ['-f', '-'], nftablesText([one]));
        else plugin.run('ADD', one, pod);
      }),
    );
    found.remove.push(
      timed(() => {
        if (plugin === undefined) removeFromNftables(node, one);
        else plugin.run('DEL', one, pod);
      }),
    );
  }
  return found;
}

function timed(action: () => void): number {
  const start = performance.now();
  action();
  return performance.now() - start;
}

async function timeBerth(installed: number, rounds: number): Promise<Times> {
  using node = Namespace.create('berth');
  node.stay();
  await using transport = new NetlinkTransport();
  await using table = new Table({ nft: await Nft.find(), transport });
  await table.read();
  const add = Array.from({ length: installed }, (_, index) => mapping(index)).flatMap(elementsOf);
  await table.apply({ add, remove: [] });
  const found: Times = { add: [], remove: [] };
  for (let round = 0; round < rounds; round++) {
    const elements = elementsOf(mapping(installed + (round % 10)));
    let start = performance.now();
    await table.apply({ add: elements, remove: [] });
    found.add.push(performance.now() - start);
    start = performance.now();
    await table.apply({ add: [], remove: elements });
    found.remove.push(performance.now() - start);
  }
  return found;
}
