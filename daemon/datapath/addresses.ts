/** The addresses that are assigned to the node's devices, over rtnetlink. Reads only. */
import { type Address, addressOf } from '../core/address.ts';
import { attribute } from '../native/attributes.ts';
import type { NetlinkSocket } from '../native/netlink.ts';
import { IFADDRMSG, RTM_GETADDR } from './rtnetlink.ts';

export interface AssignedAddress extends Address {
  /** Index of the device. */
  readonly device: number;
}

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_OPTIMISTIC = 0x04;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;

/**
 * Every address that the node answers for, in the kernel's order. Left out: IPv6 addresses whose duplicate detection still
 * runs or has failed (an event follows when it has ended). A deprecated address serves those who know it. Throws
 * NETLINK_FAILED.
 */
export function assignedAddresses(socket: NetlinkSocket): readonly AssignedAddress[] {
  return socket.dump(RTM_GETADDR, new Uint8Array(IFADDRMSG)).flatMap(({ body }) => {
    // On a point-to-point link IFA_ADDRESS is the peer's; without a peer IPv6 has no IFA_LOCAL.
    const bytes = attribute(body, IFA_LOCAL, IFADDRMSG) ?? attribute(body, IFA_ADDRESS, IFADDRMSG);
    const address = bytes && addressOf(bytes);
    if (address === undefined || !isUsable(attribute(body, IFA_FLAGS, IFADDRMSG)?.readUInt32LE(0) ?? 0)) return [];
    return [{ ...address, device: body.readUInt32LE(4) }];
  });
}

function isUsable(flags: number): boolean {
  if ((flags & IFA_F_DADFAILED) !== 0) return false;
  return (flags & IFA_F_TENTATIVE) === 0 || (flags & IFA_F_OPTIMISTIC) !== 0;
}
