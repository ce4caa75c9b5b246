/** Raw sockets: packets of a transport protocol made by hand, for what no ordinary socket can send (raw(7)). */
import { addressBytes } from '../../../daemon/core/iptext.ts';
import { bind, check, libcFunction, socket } from '../../../daemon/native/libc.ts';

const connect = libcFunction<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int, void *, uint32_t)',
);
const SOCK_RAW = 3;

/** A descriptor that sends such packets to the address, from the source when one is given. Belongs to the namespace of the thread. */
export function openRaw(protocol: number, address: string, source?: string): number {
  const descriptor = socket(address.includes(':') ? 10 : 2, SOCK_RAW, protocol);
  if (source !== undefined) bind(descriptor, place(source));
  const target = place(address);
  check('connect', connect()(descriptor, target, target.length));
  return descriptor;
}

/** struct sockaddr_in or sockaddr_in6, without a port. */
function place(address: string): Uint8Array {
  const six = address.includes(':');
  const bytes = Buffer.alloc(six ? 28 : 16);
  bytes.writeUInt16LE(six ? 10 : 2, 0);
  bytes.set(addressBytes(address) ?? [], six ? 8 : 4);
  return bytes;
}
