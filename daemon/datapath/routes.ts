/**
 * How packets leave the node for an address, over rtnetlink: the route, the neighbour's MAC address, the bridge port
 * behind which it is. Asks only; the one thing it may start is the resolution of a neighbour.
 */
import type { Address } from '../core/address.ts';
import { AttributeWriter, attribute } from '../native/attributes.ts';
import { isErrno } from '../native/errno.ts';
import { type NetlinkSocket, NLM_F_CREATE } from '../native/netlink.ts';
import type { Device } from './devices.ts';
import {
  AF_BRIDGE,
  addressFamily,
  ifinfomsg,
  NDMSG,
  RTA_GATEWAY,
  RTA_VIA,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_NEWNEIGH,
  RTMSG,
} from './rtnetlink.ts';

const RTA_DST = 1;
const RTA_OIF = 4;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_MASTER = 9;
const IFLA_MASTER = 10;
const NTF_USE = 1;

/**
 * The index of the device on which the address is a neighbour. Undefined when there is no route, when it is not a
 * unicast one (the node's own address, blackhole, …), and when it leads over another router.
 */
export function deviceToward(socket: NetlinkSocket, address: Address): number | undefined {
  const route = lookUp(socket, address);
  if (route === undefined || route[7] !== RTN_UNICAST || attribute(route, RTA_VIA, RTMSG) !== undefined)
    return undefined;
  const gateway = attribute(route, RTA_GATEWAY, RTMSG);
  // Cilium routes its pods `via` an address of the node itself (that of cilium_host): that is no other router.
  if (gateway !== undefined && !isOwn(socket, { ...address, bytes: gateway })) return undefined;
  return attribute(route, RTA_OIF, RTMSG)?.readUInt32LE(0);
}

function isOwn(socket: NetlinkSocket, address: Pick<Address, 'family' | 'bytes'>): boolean {
  return lookUp(socket, address)?.[7] === RTN_LOCAL;
}

function lookUp(socket: NetlinkSocket, { family, bytes }: Pick<Address, 'family' | 'bytes'>): Buffer | undefined {
  const header = Buffer.alloc(RTMSG);
  header.writeUInt8(addressFamily(family), 0);
  header.writeUInt8(8 * bytes.length, 1);
  try {
    return socket.get(RTM_GETROUTE, new AttributeWriter(header).bytes(RTA_DST, bytes).body()).body;
  } catch (error) {
    // In this order: no route, `unreachable`, `prohibit`, `blackhole`, and IPv6 switched off.
    if (isErrno(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'EAFNOSUPPORT', 'EOPNOTSUPP'))
      return undefined;
    throw error;
  }
}

/** The MAC address of a neighbour on the device; undefined while the kernel does not know it. */
export function neighbourMac(socket: NetlinkSocket, { family, bytes }: Address, device: number): Buffer | undefined {
  const request = new AttributeWriter(ndmsg(addressFamily(family), device, 0)).bytes(NDA_DST, bytes).body();
  return orUndefined(() => attribute(socket.get(RTM_GETNEIGH, request).body, NDA_LLADDR, NDMSG));
}

/** Makes the kernel ask for the neighbour (ARP, neighbour solicitation), as a packet to it would. Throws NETLINK_FAILED. */
export function resolveNeighbour(socket: NetlinkSocket, { family, bytes }: Address, device: number): void {
  const request = new AttributeWriter(ndmsg(addressFamily(family), device, NTF_USE)).bytes(NDA_DST, bytes).body();
  socket.command(RTM_NEWNEIGH, NLM_F_CREATE, request);
}

/**
 * The index of the bridge's port behind which the MAC address was last seen; undefined when it was not, or not lately
 * (entries age, 300 s by default).
 */
export function portOfMac(socket: NetlinkSocket, mac: Buffer, bridge: Device): number | undefined {
  // A lookup needs the VLAN, which nobody here knows: such a bridge is searched, 2 ms with 500 pods.
  return bridge.vlans ? searchPort(socket, mac, bridge.index) : lookUpPort(socket, mac, bridge.index);
}

function lookUpPort(socket: NetlinkSocket, mac: Buffer, bridge: number): number | undefined {
  const request = new AttributeWriter(ndmsg(AF_BRIDGE, 0, 0)).bytes(NDA_LLADDR, mac).u32(NDA_MASTER, bridge);
  return orUndefined(() => socket.get(RTM_GETNEIGH, request.body()).body.readInt32LE(4));
}

function searchPort(socket: NetlinkSocket, mac: Buffer, bridge: number): number | undefined {
  // The form with ifinfomsg and IFLA_MASTER selects one bridge in every kernel.
  const request = new AttributeWriter(ifinfomsg(AF_BRIDGE, 0)).u32(IFLA_MASTER, bridge).body();
  for (const { body } of socket.dump(RTM_GETNEIGH, request)) {
    const owner = attribute(body, NDA_MASTER, NDMSG)?.readUInt32LE(0);
    if (owner === bridge && attribute(body, NDA_LLADDR, NDMSG)?.equals(mac)) return body.readInt32LE(4);
  }
  return undefined;
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** struct ndmsg: family, index of the device, flags (NTF_*). */
function ndmsg(family: number, device: number, flags: number): Buffer {
  const header = Buffer.alloc(NDMSG);
  header.writeUInt8(family, 0);
  header.writeInt32LE(device, 4);
  header.writeUInt8(flags, 10);
  return header;
}
