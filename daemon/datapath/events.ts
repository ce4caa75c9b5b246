/**
 * What rtnetlink tells of itself: that links, addresses or routes changed. It only says that something did; whoever is told
 * reads the present state. Never blocks, and costs nothing while nothing happens (a timer of 100 ms would cost 0.2 % of a
 * core).
 */
import { attribute } from '../native/attributes.ts';
import { NETLINK_ROUTE, type NetlinkMessage, NetlinkSocket } from '../native/netlink.ts';
import { RTA_GATEWAY, RTA_VIA, RTM_DELROUTE, RTM_NEWROUTE, RTMSG } from './rtnetlink.ts';

/** RTNLGRP_LINK (also the settings of bridge ports), IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE */
const GROUPS = [1, 5, 7, 9, 11];
/** A pod's device comes with a dozen messages within milliseconds: they are gathered into one call. */
const GATHER_MS = 100;

/** Listens in the network namespace of the process until the signal aborts. Throws SYSCALL_FAILED. */
export function watchEvents(onChange: () => void, signal: AbortSignal): void {
  using opened = new DisposableStack();
  const socket = opened.use(NetlinkSocket.open(NETLINK_ROUTE));
  for (const group of GROUPS) socket.subscribe(group);
  let timer: NodeJS.Timeout | undefined;
  const listen = (): void => socket.whenReadable(gather);
  const gather = (): void => {
    timer = setTimeout(() => {
      const changed = drain(socket);
      listen();
      if (changed) onChange();
    }, GATHER_MS).unref();
  };
  signal.addEventListener(
    'abort',
    () => {
      clearTimeout(timer);
      socket[Symbol.dispose]();
    },
    { once: true },
  );
  listen();
  opened.move();
}

/** True when something relevant has happened, or may have: lost messages, or a socket that cannot be read. */
function drain(socket: NetlinkSocket): boolean {
  let relevant = false;
  try {
    const lost = socket.drain((message) => {
      relevant ||= !isRouteElsewhere(message);
    });
    return relevant || lost;
  } catch {
    return true;
  }
}

/** Routes over another router (from BGP, from router advertisements) come and go, and lead to no pod of this node. */
function isRouteElsewhere({ type, body }: NetlinkMessage): boolean {
  if (type !== RTM_NEWROUTE && type !== RTM_DELROUTE) return false;
  return attribute(body, RTA_GATEWAY, RTMSG) !== undefined || attribute(body, RTA_VIA, RTMSG) !== undefined;
}
