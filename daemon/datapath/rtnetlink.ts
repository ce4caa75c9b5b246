/**
 * The numbers of rtnetlink that more than one file here needs (include/uapi/linux/rtnetlink.h and its neighbours). Only
 * constants and headers.
 */
import type { Family } from '../core/vocabulary.ts';

export const AF_INET = 2;
export const AF_BRIDGE = 7;
export const AF_INET6 = 10;

export const RTM_SETLINK = 19;
export const RTM_GETLINK = 18;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_GETNEIGH = 30;

export const RTA_GATEWAY = 5;
export const RTA_VIA = 18;

/** Sizes of the fixed structs that answers begin with. */
export const IFADDRMSG = 8;
export const IFINFOMSG = 16;
export const NDMSG = 12;
export const RTMSG = 12;

export function addressFamily(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** struct ifinfomsg with a family and an index, 0 when the device is named by an attribute. */
export function ifinfomsg(family: number, index: number): Buffer {
  const header = Buffer.alloc(IFINFOMSG);
  header.writeUInt8(family, 0);
  header.writeInt32LE(index, 4);
  return header;
}
