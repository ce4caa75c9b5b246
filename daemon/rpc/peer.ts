/** Who has connected to a unix socket, as the kernel saw it then (SO_PEERCRED, unix(7)): nothing that a client could claim. */
import type { Socket } from 'node:net';
import { getsockopt } from '../native/libc.ts';

export interface Peer {
  /** 0 when the process is in another pid namespace than this one. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** sizeof(struct ucred) */
const UCRED = 12;

/** Undefined when the connection is closed already. Throws SYSCALL_FAILED. */
export function peerOf(connection: Socket): Peer | undefined {
  // Node has no public name for the descriptor of a connection.
  const { _handle: handle } = connection as Socket & { readonly _handle?: { readonly fd?: number } | null };
  if (handle?.fd === undefined || handle.fd < 0) return undefined;
  const bytes = getsockopt(handle.fd, SOL_SOCKET, SO_PEERCRED, UCRED);
  const [pid = 0, uid = 0, gid = 0] = new Uint32Array(bytes.buffer, bytes.byteOffset, UCRED / 4);
  return { pid, uid, gid };
}
