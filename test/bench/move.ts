/** A live port is moved from one pod to another and back, again and again, while clients connect to it. */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Nft } from '../../daemon/datapath/nft.ts';
import { Table } from '../../daemon/datapath/table.ts';
import { elementsOf, nodeElements } from '../../rules/elements.ts';
import { Namespace } from '../kernel/namespace.ts';
import type { Measure } from './items.ts';
import { mapping } from './mappings.ts';
import { row } from './row.ts';

const NODE = '192.0.2.1';
const PODS = ['10.244.1.2', '10.244.2.2'] as const;
const PORT = 8080;
/** Between two moves, in ms. */
const PAUSE_MS = 20;

export const measure: Measure = async (scale, tell) => {
  using node = Namespace.create('node');
  using client = Namespace.create('client');
  using one = pod(node, 'one', '10.244.1');
  using other = pod(node, 'two', '10.244.2');
  node.sysctl('net.ipv4.ip_forward', 1);
  node.link('eth0', client, 'eth0');
  node.address('eth0', `${NODE}/24`);
  client.address('eth0', '192.0.2.2/24');
  client.sysctl('net.ipv4.ip_local_port_range', '1024 65535');
  for (const [place, letter] of [
    [one, 'A'],
    [other, 'B'],
  ] as const) {
    const server = place.node(new URL('letter.ts', import.meta.url).pathname, [letter, String(PORT)], ipc());
    await once(server, 'message');
  }

  node.stay();
  await using transport = new NetlinkTransport();
  await using table = new Table({ nft: await Nft.find(), transport });
  await table.read();
  const places = PODS.map((ip) => elementsOf(mapping(0, ip, PORT)));
  const environment = nodeElements([{ family: 4, address: NODE, device: 'eth0' }]);
  const others = Array.from({ length: 500 }, (_, index) => mapping(1 + index)).flatMap(elementsOf);
  await table.apply({ add: [...environment, ...others, ...(places[0] ?? [])], remove: [] });

  const count = scale.pick(20_000, 3_000);
  const args = [NODE, String(mapping(0).hostPort), String(count)];
  const clients = client.node(new URL('dial.ts', import.meta.url).pathname, args, ipc());
  const report = once(clients, 'message');
  let done = false;
  let moves = 0;
  void report.then(() => {
    done = true;
  });
  while (!done) {
    const [from, to] = [places[moves % 2] ?? [], places[(moves + 1) % 2] ?? []];
    await table.apply({ remove: from, add: to });
    moves++;
    await setTimeout(PAUSE_MS);
  }
  const [{ failed, failures, letters }] = (await report) as [
    { failed: number; failures: readonly string[]; letters: Record<string, number> },
  ];
  if (failed > 0) console.error(failures.join('\n'));
  if ((letters.A ?? 0) === 0 || (letters.B ?? 0) === 0)
    throw new Error(`one pod was never reached: ${JSON.stringify(letters)}`);
  tell(
    row(`connections to a port that is moved ${moves} times, failed of ${count}`, {
      budget: '0 of 20000',
      median: String(failed),
      met: failed === 0,
    }),
  );
};

function ipc() {
  return { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] as ['ignore', 'inherit', 'inherit', 'ipc'] };
}

/** A pod behind a device of its own, at the second address of its network. */
function pod(node: Namespace, label: string, network: string): Namespace {
  const made = Namespace.create(label);
  node.link(`veth${label}`, made, 'eth0');
  node.address(`veth${label}`, `${network}.1/24`);
  made.address('eth0', `${network}.2/24`);
  made.ip(`route add default via ${network}.1`);
  return made;
}
