/**
 * The socket that keeps a number from every other process: bound without SO_REUSEADDR (which libuv sets, so that a
 * handle of Node reserves nothing) and close-on-exec. A TCP socket must never listen: a host port without a rule answers
 * RST at once. A UDP socket drops every datagram before it is queued.
 */
import { isIPv6 } from 'node:net';
import { isErrno } from '../native/errno.ts';
import { BPF_RET_K, makeFilter } from '../native/filter.ts';
import { bind, close, libcFunction, setsockopt, socket } from '../native/libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

// Made once: 10,000 reservations at a start would leave megabytes of garbage.
const ZERO = new Uint8Array(4);
const ANY4 = sockaddr(AF_INET);
const ANY6 = sockaddr(AF_INET6);

const inetPton = libcFunction<(family: number, text: string, bytes: Uint8Array) => number>(
  'int inet_pton(int, const char *, void *)',
);

/** A socket that could not be made, or not be bound: the second tells about the number, the first about the agent. */
export type Held =
  | { readonly kind: 'bound'; readonly descriptor: number }
  | { readonly kind: 'refused'; readonly at: 'socket' | 'bind'; readonly error: unknown };

/**
 * Binds the number on one address, or on any: one dual-stack socket then, IPv4 alone where IPv6 is off (`ipv6.disable=1`
 * answers EAFNOSUPPORT). Never throws for what the kernel refuses.
 */
export function holdNumber(protocol: 'TCP' | 'UDP', port: number, address: string): Held {
  if (address !== '') {
    const family = isIPv6(address) ? AF_INET6 : AF_INET;
    const place = sockaddr(family);
    const parsed = inetPton()(family, address, place.subarray(family === AF_INET6 ? 8 : 4)) === 1;
    if (parsed) return hold(family, protocol, port, place);
    return { kind: 'refused', at: 'bind', error: new RangeError(`"${address}" is not an IP address`) };
  }
  const dual = hold(AF_INET6, protocol, port, ANY6);
  if (dual.kind === 'bound' || !isErrno(dual.error, 'EAFNOSUPPORT', 'EADDRNOTAVAIL')) return dual;
  return hold(AF_INET, protocol, port, ANY4);
}

function hold(family: number, protocol: 'TCP' | 'UDP', port: number, address: Uint8Array): Held {
  let descriptor: number | undefined;
  let at: 'socket' | 'bind' = 'socket';
  try {
    descriptor = socket(family, protocol === 'TCP' ? SOCK_STREAM : SOCK_DGRAM, 0);
    // net.ipv6.bindv6only may say otherwise.
    if (family === AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, ZERO);
    if (protocol === 'UDP') dropEverything(descriptor);
    at = 'bind';
    address[2] = port >> 8;
    address[3] = port & 0xff;
    bind(descriptor, address);
    return { kind: 'bound', descriptor };
  } catch (error) {
    if (descriptor !== undefined) close(descriptor);
    return { kind: 'refused', at, error };
  }
}

/** Before bind: not one datagram may be queued. The buffer is a second fence, the kernel raises 0 to its minimum. */
function dropEverything(descriptor: number): void {
  dropAll ??= makeFilter([{ code: BPF_RET_K }]);
  setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, dropAll);
  setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, ZERO);
}

let dropAll: Uint8Array | undefined;

/** A `struct sockaddr_in` or `sockaddr_in6` of the wildcard address: family, port in network order, address. */
function sockaddr(family: number): Uint8Array {
  const bytes = new Uint8Array(family === AF_INET6 ? 28 : 16);
  new Uint16Array(bytes.buffer)[0] = family;
  return bytes;
}
