/**
 * Entries of the connection table made by hand over ctnetlink, by the hundred thousand, for tests. Each stands for a
 * connection that was sent to a pod (or was not), without a packet.
 */

import type { Flow } from '../../daemon/core/flow.ts';
import { addressBytes } from '../../daemon/core/iptext.ts';
import { IPPROTO } from '../../daemon/datapath/conntrack.ts';
import { AttributeWriter } from '../../daemon/native/attributes.ts';
import { NETLINK_NETFILTER, NetlinkSocket, NLM_F_CREATE } from '../../daemon/native/netlink.ts';
import type { Namespace } from './namespace.ts';

/** NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW */
const CT_NEW = 1 << 8;
const NLM_F_EXCL = 0x200;
/** SEEN_REPLY, ASSURED, CONFIRMED, SRC_NAT_DONE, DST_NAT_DONE; the kernel finds out by itself whether it is translated. */
const STATUS = 0x18e;

/** A flow, its fields mostly by default: 198.51.100.1:5000 → 192.0.2.1:20000 → 10.244.0.5:8080, UDP. */
export function flow(fields: Partial<Flow> = {}): Flow {
  return {
    protocol: 'UDP',
    source: '198.51.100.1',
    sourcePort: 5000,
    destination: '192.0.2.1',
    port: 20_000,
    replySource: '10.244.0.5',
    replyPort: 8080,
    ...fields,
  };
}

/** Adds the connections to the namespace's table. `zone` 0 is the default zone. */
export async function track(namespace: Namespace, flows: readonly Flow[], zone = 0): Promise<void> {
  await using socket = namespace.enter(() => NetlinkSocket.open(NETLINK_NETFILTER));
  for (let index = 0; index < flows.length; index += 100) {
    const commands = flows
      .slice(index, index + 100)
      .map((flow) => ({ type: CT_NEW, flags: NLM_F_CREATE | NLM_F_EXCL, body: entry(flow, zone) }));
    const refused = (await socket.batch(commands)).find((errno) => errno !== 0);
    if (refused !== undefined) throw new Error(`the kernel refused an entry: errno ${refused}`);
  }
}

/** How many connections the namespace tracks. */
export function tracked(namespace: Namespace): number {
  return Number(namespace.run('conntrack', ['-C']));
}

function entry(flow: Flow, zone: number): Uint8Array {
  const { protocol, source, sourcePort, destination, port, replySource, replyPort } = flow;
  const writer = new AttributeWriter(Uint8Array.of(source.includes(':') ? 10 : 2, 0, 0, 0));
  tuple(writer, 1, protocol, [source, sourcePort], [destination, port]);
  tuple(writer, 2, protocol, [replySource, replyPort], [source, sourcePort]);
  writer.be32(3 /* CTA_STATUS */, STATUS).be32(7 /* CTA_TIMEOUT */, 600);
  if (zone !== 0) writer.be16(18 /* CTA_ZONE */, zone);
  return writer.body();
}

type End = readonly [address: string, port: number];

function tuple(writer: AttributeWriter, type: number, protocol: Flow['protocol'], from: End, to: End): void {
  const first = from[0].includes(':') ? 3 : 1;
  writer.nest(type, (tuple) =>
    tuple
      .nest(1 /* CTA_TUPLE_IP */, (ip) => ip.bytes(first, bytes(from[0])).bytes(first + 1, bytes(to[0])))
      .nest(2 /* CTA_TUPLE_PROTO */, (proto) => proto.u8(1, IPPROTO[protocol]).be16(2, from[1]).be16(3, to[1])),
  );
}

function bytes(address: string): Uint8Array {
  const found = addressBytes(address);
  if (found === undefined) throw new Error(`${address} is no address`);
  return found;
}
