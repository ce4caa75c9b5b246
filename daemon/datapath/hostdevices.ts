/**
 * The devices of the host as they decide whether mappings can work: which lead to clients, which tell of another datapath, and
 * the kernel's settings on them. Reads only.
 */
import { readFileSync } from 'node:fs';
import { classifyAddress, parseAddress } from '../core/address.ts';
import type { Uplink } from '../core/diagnosis.ts';
import type { NodeAddress } from '../core/vocabulary.ts';
import { AttributeWriter, attribute, attributeText } from '../native/attributes.ts';
import { isErrno } from '../native/errno.ts';
import type { NetlinkSocket } from '../native/netlink.ts';
import { assignedAddresses } from './addresses.ts';
import { AF_INET, IFINFOMSG, ifinfomsg, RTM_GETLINK, RTM_GETROUTE, RTMSG } from './rtnetlink.ts';

export interface HostDevice {
  readonly index: number;
  readonly name: string;
  /** `veth`, `bridge`, …; undefined for hardware and for loopback. */
  readonly kind: string | undefined;
}

const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_OIF = 4;
const NOTHING = Buffer.alloc(0);

/** Devices of these kinds lead to other hosts; undefined is hardware. Of the others nobody outside knows an address. */
const UPLINK_KINDS: ReadonlySet<string | undefined> = new Set([undefined, 'bond', 'team', 'vlan', 'macvlan', 'ipvlan']);
/** Made by Cilium, and by Calico in eBPF mode. A netkit device is only made for eBPF host routing. */
const EBPF_DEVICE = /^(cilium_host|bpfin\.cali|bpfout\.cali)$/;
/** Somebody far away (TEST-NET-2, RFC 5737): which way do answers to it leave? */
const FAR_CLIENT = '198.51.100.1';

/** Every device of the namespace. Throws NETLINK_FAILED. */
export function hostDevices(socket: NetlinkSocket): readonly HostDevice[] {
  return socket.dump(RTM_GETLINK, ifinfomsg(0, 0)).map(({ body }) => {
    const kind = attribute(attribute(body, IFLA_LINKINFO, IFINFOMSG) ?? NOTHING, IFLA_INFO_KIND);
    return {
      index: body.readInt32LE(4),
      name: attributeText(attribute(body, IFLA_IFNAME, IFINFOMSG) ?? NOTHING),
      kind: kind && attributeText(kind),
    };
  });
}

/** The devices through which clients outside reach the served IPv4 addresses. Throws NETLINK_FAILED, or ENOENT of /proc. */
export function uplinks(
  socket: NetlinkSocket,
  served: readonly NodeAddress[],
  devices: readonly HostDevice[],
): readonly Uplink[] {
  const all = setting('ipv4/conf/all/rp_filter');
  return served.flatMap(({ family, address, device }) => {
    const known = devices.find(({ name }) => name === device);
    if (family !== 4 || known === undefined || !leadsOut(known)) return [];
    const reply = replyIndex(socket, address);
    const replyDevice = devices.find(({ index }) => index === reply)?.name;
    return {
      device,
      address,
      // IN_DEV_MAXCONF: the larger of the two counts, and 2 is the loose mode.
      strict: Math.max(all, setting(`ipv4/conf/${device}/rp_filter`)) === 1,
      forwards: setting(`ipv4/conf/${device}/forwarding`) === 1,
      ...(replyDevice === undefined ? {} : { replyDevice }),
    };
  });
}

/** A veth leads to a pod as a rule, and only in a node that is a container itself is it the uplink, under its usual name. */
function leadsOut({ name, kind }: HostDevice): boolean {
  return name !== 'lo' && (kind === 'veth' ? name.startsWith('eth') : UPLINK_KINDS.has(kind));
}

/** The index of the device through which an answer from this address to a far client leaves; undefined: no route. */
function replyIndex(socket: NetlinkSocket, from: string): number | undefined {
  const header = Buffer.alloc(RTMSG);
  header.writeUInt8(AF_INET, 0);
  header.writeUInt8(32, 1);
  header.writeUInt8(32, 2);
  const request = new AttributeWriter(header)
    .bytes(RTA_DST, parseAddress(FAR_CLIENT)?.bytes ?? NOTHING)
    .bytes(RTA_SRC, parseAddress(from)?.bytes ?? NOTHING);
  try {
    const { body } = socket.get(RTM_GETROUTE, request.body());
    return attribute(body, RTA_OIF, RTMSG)?.readUInt32LE(0);
  } catch (error) {
    if (isErrno(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL')) return undefined;
    throw error;
  }
}

/** Devices that only a CNI with an eBPF datapath makes. */
export function ebpfDevices(devices: readonly HostDevice[]): readonly string[] {
  return devices.filter(({ name, kind }) => kind === 'netkit' || EBPF_DEVICE.test(name)).map(({ name }) => name);
}

/**
 * Addresses that stand on `kube-ipvs0` and that the node serves all the same, as another device has them too. Undefined when
 * there is no such device. Throws NETLINK_FAILED.
 */
export function servedServices(
  socket: NetlinkSocket,
  served: readonly NodeAddress[],
  devices: readonly HostDevice[],
): readonly string[] | undefined {
  const ipvs = devices.find(({ name }) => name === 'kube-ipvs0');
  if (ipvs === undefined) return undefined;
  return assignedAddresses(socket)
    .filter((one) => one.device === ipvs.index && classifyAddress(one) === 'ordinary')
    .map(({ text }) => text)
    .filter((text) => served.some(({ address }) => address === text));
}

/** Whether bridged packets pass iptables (br_netfilter); undefined when there is no bridge. */
export function bridgeFilter(devices: readonly HostDevice[]): boolean | undefined {
  if (!devices.some(({ kind }) => kind === 'bridge')) return undefined;
  try {
    return setting('bridge/bridge-nf-call-iptables') === 1;
  } catch (error) {
    // The file is there when br_netfilter is loaded.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

/** A number below /proc/sys/net, which is that of the process's namespace. Throws what reading a file throws. */
export function setting(path: string): number {
  return Number(readFileSync(`/proc/sys/net/${path}`, 'utf8').trim());
}
