/**
 * The node's network devices over rtnetlink: what they are, and the two switches that mappings need on them. It
 * must never change anything but `route_localnet` and `hairpin_mode`, each on one device.
 */
import { AttributeWriter, attribute, attributeLength, attributeText, findAttribute } from '../native/attributes.ts';
import type { NetlinkSocket } from '../native/netlink.ts';
import { AF_BRIDGE, AF_INET, IFINFOMSG, ifinfomsg, RTM_GETLINK, RTM_SETLINK } from './rtnetlink.ts';

export interface Device {
  readonly index: number;
  readonly name: string;
  /** `veth`, `bridge`, …; undefined for hardware and for loopback. */
  readonly kind: string | undefined;
  /** `net.ipv4.conf.<device>.route_localnet` */
  readonly routeLocalnet: boolean;
  /** A bridge that keeps its VLANs apart (`vlan_filtering`). */
  readonly vlans: boolean;
  /** For a port of a bridge: the bridge's index and `hairpin_mode`. */
  readonly port: { readonly bridge: number; readonly hairpin: boolean } | undefined;
}

const IFLA_IFNAME = 3;
const IFLA_MASTER = 10;
const IFLA_PROTINFO = 12;
const IFLA_LINKINFO = 18;
const IFLA_AF_SPEC = 26;
const IFLA_EXT_MASK = 29;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BR_VLAN_FILTERING = 7;
const IFLA_BRPORT_MODE = 4;
const IFLA_INET_CONF = 1;
/** enum in linux/ip.h. The array in IFLA_INET_CONF begins with number 1. */
const IPV4_DEVCONF_ROUTE_LOCALNET = 26;
const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** The device of this name. Throws NETLINK_FAILED, with `errnoName` ENODEV when there is none. */
export function deviceByName(socket: NetlinkSocket, name: string): Device {
  return read(socket, new AttributeWriter(ifinfomsg(0, 0)).text(IFLA_IFNAME, name));
}

/** The device of this index. Throws NETLINK_FAILED, with `errnoName` ENODEV when there is none. */
export function deviceByIndex(socket: NetlinkSocket, index: number): Device {
  return read(socket, new AttributeWriter(ifinfomsg(0, index)));
}

/**
 * The index of every device and whether `route_localnet` is set there. One dump costs a tenth of a question for each device.
 * `complete` is false when a change overtook the dump: devices may be missing. Throws NETLINK_FAILED.
 */
export function routeLocalnets(socket: NetlinkSocket): { readonly found: Map<number, boolean>; complete: boolean } {
  const request = new AttributeWriter(ifinfomsg(0, 0)).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  const found = new Map<number, boolean>();
  const interrupted = socket.look(RTM_GETLINK, request.body(), ({ body }) =>
    found.set(body.readInt32LE(4), isRouteLocalnet(body)),
  );
  return { found, complete: !interrupted };
}

function read(socket: NetlinkSocket, request: AttributeWriter): Device {
  const { body } = socket.get(RTM_GETLINK, request.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS).body());
  const info = attribute(body, IFLA_LINKINFO, IFINFOMSG) ?? NOTHING;
  const kind = attribute(info, IFLA_INFO_KIND);
  return {
    index: body.readInt32LE(4),
    name: attributeText(attribute(body, IFLA_IFNAME, IFINFOMSG) ?? NOTHING),
    kind: kind && attributeText(kind),
    routeLocalnet: isRouteLocalnet(body),
    vlans: attribute(attribute(info, IFLA_INFO_DATA) ?? NOTHING, IFLA_BR_VLAN_FILTERING)?.[0] === 1,
    port: bridgePort(body, info),
  };
}

const NOTHING = Buffer.alloc(0);

function isRouteLocalnet(body: Buffer): boolean {
  let [start, end] = [IFINFOMSG, body.length];
  for (const type of [IFLA_AF_SPEC, AF_INET, IFLA_INET_CONF]) {
    start = findAttribute(body, type, start, end);
    if (start === -1) return false;
    end = start + attributeLength(body, start);
  }
  const at = start + 4 * (IPV4_DEVCONF_ROUTE_LOCALNET - 1);
  return at + 4 <= end && body.readUInt32LE(at) !== 0;
}

function bridgePort(body: Buffer, info: Buffer): Device['port'] {
  const master = attribute(body, IFLA_MASTER, IFINFOMSG);
  const kind = attribute(info, IFLA_INFO_SLAVE_KIND);
  const data = attribute(info, IFLA_INFO_SLAVE_DATA);
  if (master === undefined || kind === undefined || data === undefined) return undefined;
  if (attributeText(kind) !== 'bridge') return undefined;
  return { bridge: master.readUInt32LE(0), hairpin: attribute(data, IFLA_BRPORT_MODE)?.[0] === 1 };
}

/** Sets `route_localnet`, also where /proc/sys is read-only. Needs NET_ADMIN. Throws NETLINK_FAILED. */
export function setRouteLocalnet(socket: NetlinkSocket, device: Device, on: boolean): void {
  const request = new AttributeWriter(ifinfomsg(0, device.index)).nest(IFLA_AF_SPEC, (families) =>
    families.nest(AF_INET, (inet) =>
      inet.nest(IFLA_INET_CONF, (conf) => conf.u32(IPV4_DEVCONF_ROUTE_LOCALNET, Number(on))),
    ),
  );
  socket.command(RTM_SETLINK, 0, request.body());
}

/** Sets `hairpin_mode` of a bridge port. Needs NET_ADMIN. Throws NETLINK_FAILED. */
export function setHairpin(socket: NetlinkSocket, port: Device): void {
  const request = new AttributeWriter(ifinfomsg(AF_BRIDGE, port.index)).nest(IFLA_PROTINFO, (info) =>
    info.u8(IFLA_BRPORT_MODE, 1),
  );
  socket.command(RTM_SETLINK, 0, request.body());
}
