/**
 * Which ports a process holds, asked of its sockets one by one: a TCP socket that is bound and does not listen stands in no
 * list of the kernel. Reads only; needs root.
 */

import { readdirSync, readlinkSync } from 'node:fs';
import { isErrno } from '../../daemon/native/errno.ts';
import { check, close, getsockname, libcFunction } from '../../daemon/native/libc.ts';

const syscall = libcFunction<(number: number, a: number, b: number, c: number) => number>(
  'long syscall(long, long, long, long)',
);
const getsockopt = libcFunction<
  (fd: number, level: number, option: number, value: Int32Array, length: Uint32Array) => number
>('int getsockopt(int, int, int, void *, void *)');

const getpeername = libcFunction<(fd: number, address: Uint8Array, length: Uint32Array) => number>(
  'int getpeername(int, void *, void *)',
);

/** The same on every architecture (asm-generic/unistd.h). */
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const AF_INET = 2;
const AF_INET6 = 10;
const PROTOCOLS = new Map([
  [1, 'TCP'],
  [2, 'UDP'],
]);

/** `TCP/20001`, `UDP/20002`: every port to which an idle socket of the process is bound, sorted. */
export function heldSockets(pid: number): readonly string[] {
  const process = check('pidfd_open', syscall()(PIDFD_OPEN, pid, 0, 0));
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .filter((fd) => isSocket(`/proc/${pid}/fd/${fd}`))
      .map((fd) => portOf(process, Number(fd)))
      .filter((port) => port !== undefined)
      .sort();
  } finally {
    close(process);
  }
}

function isSocket(link: string): boolean {
  try {
    return readlinkSync(link).startsWith('socket:');
  } catch {
    // Closed meanwhile.
    return false;
  }
}

/** Undefined for a socket of another family, one that is listening, connected, bound to nothing, or closed. */
function portOf(process: number, fd: number): string | undefined {
  const copy = syscall()(PIDFD_GETFD, process, fd, 0);
  if (copy < 0) return undefined;
  try {
    const address = getsockname(copy);
    const view = new DataView(address.buffer, address.byteOffset);
    const family = view.getUint16(0, true);
    const protocol = PROTOCOLS.get(option(copy, SO_TYPE));
    if ((family !== AF_INET && family !== AF_INET6) || protocol === undefined) return undefined;
    const port = view.getUint16(2);
    const busy = option(copy, SO_ACCEPTCONN) === 1 || isConnected(copy);
    return port === 0 || busy ? undefined : `${protocol}/${port}`;
  } catch (error) {
    // Since the link was read the descriptor was closed, and its number given to a file.
    if (isErrno(error, 'ENOTSOCK')) return undefined;
    throw error;
  } finally {
    close(copy);
  }
}

function isConnected(fd: number): boolean {
  return getpeername()(fd, new Uint8Array(128), new Uint32Array([128])) === 0;
}

function option(fd: number, name: number): number {
  const value = new Int32Array(1);
  check('getsockopt', getsockopt()(fd, SOL_SOCKET, name, value, new Uint32Array([4])));
  return value[0] ?? 0;
}
