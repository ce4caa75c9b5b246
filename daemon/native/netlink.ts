/**
 * A netlink socket: requests, dumps and multicast, each in the form that its users need. A socket belongs to the network
 * namespace in which it was opened, and carries one exchange at a time: an exchange must end before the next begins.
 * Knows no family's messages.
 */

import type { node } from 'koffi';
import { Answer, frameOf, framesOf, HEADER, type NetlinkMessage, NLMSG_ERROR, NLMSG_MIN_TYPE } from './answer.ts';
import { isErrno, SystemError } from './errno.ts';
import {
  bind,
  close,
  closeAsync,
  loadKoffi,
  recv,
  recvAsync,
  send,
  sendAsync,
  setsockopt,
  socket,
  tryRecv,
} from './libc.ts';

export type { NetlinkMessage } from './answer.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export const NLM_F_CREATE = 0x400;

const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;

const AF_NETLINK = 16;
/** struct sockaddr_nl: the kernel chooses the port id. Without one of its own a socket is told no multicast. */
const SOCKADDR_NL = Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

/** The kernel fills at most 32 KiB a datagram of a dump, and less to a reader with less. */
const BUFFER = 65_536;
/** The kernel answers within the request; this only keeps a worker thread from being lost. */
const TIMEOUT_SECONDS = 10;
const DUMP_ATTEMPTS = 10;

/** A command of a batch. `flags` beyond NLM_F_REQUEST: NLM_F_CREATE, …. */
export interface NetlinkCommand {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

/** A descriptor of a socket that tells why a request is refused, and no more of the request than it must. Throws SYSCALL_FAILED. */
export function openNetlink(protocol: number): number {
  const fd = socket(AF_NETLINK, 3 /* SOCK_RAW */, protocol);
  try {
    setsockopt(fd, 1 /* SOL_SOCKET */, 20 /* SO_RCVTIMEO */, timeval(TIMEOUT_SECONDS));
    setsockopt(fd, 270 /* SOL_NETLINK */, 10 /* NETLINK_CAP_ACK */, 1);
    setsockopt(fd, 270 /* SOL_NETLINK */, 11 /* NETLINK_EXT_ACK */, 1);
    bind(fd, SOCKADDR_NL);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

export class NetlinkSocket implements Disposable, AsyncDisposable {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER);
  #sequence = 0;
  #open = true;
  #poll: node.PollHandle | undefined;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** `protocol`: NETLINK_ROUTE, NETLINK_NETFILTER. Throws SYSCALL_FAILED. */
  static open(protocol: number): NetlinkSocket {
    return new NetlinkSocket(openNetlink(protocol));
  }

  /** Asks for one object; two system calls. Throws NETLINK_FAILED (`errnoName` ENOENT, ENODEV, … when it does not exist). */
  get(type: number, body: Uint8Array): NetlinkMessage {
    return this.#exchange(type, 0, body)[0] ?? unanswered(type);
  }

  /** A change, acknowledged by the kernel. Throws NETLINK_FAILED. */
  command(type: number, flags: number, body: Uint8Array): void {
    this.#exchange(type, flags | NLM_F_ACK, body);
  }

  /** Everything of a kind; repeated while the kernel says that it changed meanwhile. Throws NETLINK_FAILED. */
  dump(type: number, body: Uint8Array): readonly NetlinkMessage[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const { messages, interrupted } = this.#run(type, NLM_F_DUMP, body);
      if (!interrupted) return messages;
    }
    throw inconsistent(type);
  }

  /**
   * Shows each message of a dump to `visit`, whose `body` is valid only during the visit: half the cost of `dump`. Returns true
   * when the kernel says that the dump is not consistent. Throws NETLINK_FAILED.
   */
  look(type: number, body: Uint8Array, visit: (message: NetlinkMessage) => void): boolean {
    return this.#ask(type, NLM_F_DUMP, body, visit);
  }

  /** `dump` with every system call on a worker thread. Rejects with NETLINK_FAILED. */
  async dumpAsync(type: number, body: Uint8Array): Promise<readonly NetlinkMessage[]> {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const messages: NetlinkMessage[] = [];
      const keep = ({ type, body }: NetlinkMessage) => messages.push({ type, body: Buffer.from(body) });
      if (!(await this.scan(type, body, keep))) return messages;
    }
    throw inconsistent(type);
  }

  /**
   * Shows each message of a dump to `visit`, whose `body` is valid only during the visit. Every system call is made on a
   * worker thread and the loop runs between datagrams (32 KiB). Resolves to true when the kernel says that the dump is not
   * consistent. When it rejects, or `visit` throws, the socket is good for nothing but closing. Rejects with NETLINK_FAILED.
   */
  async scan(type: number, body: Uint8Array, visit: (message: NetlinkMessage) => void): Promise<boolean> {
    const request = this.#frame(type, NLM_F_DUMP, body);
    const answer = new Answer(this.#sequence, false);
    // The first datagram of a dump is made within send.
    await sendAsync(this.#fd, request);
    let buffer = this.#buffer;
    let spare = Buffer.allocUnsafeSlow(BUFFER);
    let length = await recvAsync(this.#fd, buffer);
    for (;;) {
      // The kernel fills one buffer while the loop reads the other.
      const next = answer.endsWithin(buffer, length) ? undefined : recvAsync(this.#fd, spare);
      try {
        answer.read(buffer, length, visit);
      } catch (error) {
        await Promise.allSettled([next]);
        throw error;
      }
      if (next === undefined) return answer.interrupted;
      length = await next;
      [buffer, spare] = [spare, buffer];
    }
  }

  /**
   * Sends commands in one datagram, on a worker thread; the kernel carries out each for itself. Resolves to the errno of
   * each, 0 for success. Keep it to a hundred or so: refusals wait in the socket's buffer.
   */
  async batch(commands: readonly NetlinkCommand[]): Promise<readonly number[]> {
    const first = this.#sequence + 1;
    const frames = commands.map(({ type, flags, body }) => this.#frame(type, flags, body));
    const errnos = commands.map(() => 0);
    await sendAsync(this.#fd, Buffer.concat(frames));
    // Without NLM_F_ACK only refusals are answered, and they are there when send returns.
    for (let length = tryRecv(this.#fd, this.#buffer); length !== undefined; length = tryRecv(this.#fd, this.#buffer)) {
      for (const { type, sequence, offset } of framesOf(this.#buffer, length)) {
        const index = sequence - first;
        if (type === NLMSG_ERROR && index in errnos) errnos[index] = -this.#buffer.readInt32LE(offset + HEADER);
      }
    }
    return errnos;
  }

  /** Joins a multicast group of the protocol. Throws SYSCALL_FAILED. */
  subscribe(group: number): void {
    setsockopt(this.#fd, 270 /* SOL_NETLINK */, 1 /* NETLINK_ADD_MEMBERSHIP */, group);
  }

  /** Only datagrams that the program lets through are queued; in effect for multicast from then on. Throws SYSCALL_FAILED. */
  attachFilter(program: Uint8Array): void {
    setsockopt(this.#fd, 1 /* SOL_SOCKET */, 26 /* SO_ATTACH_FILTER */, program);
  }

  /** How many bytes of multicast may wait, also beyond net.core.rmem_max: that needs NET_ADMIN. Throws SYSCALL_FAILED. */
  setReceiveBuffer(bytes: number): void {
    setsockopt(this.#fd, 1 /* SOL_SOCKET */, 33 /* SO_RCVBUFFORCE */, bytes);
  }

  /**
   * Shows `visit` every message that waits, without blocking. Returns true when messages were lost (ENOBUFS): then
   * anything may have changed. Throws SYSCALL_FAILED.
   */
  drain(visit: (message: NetlinkMessage) => void): boolean {
    let lost = false;
    for (;;) {
      try {
        const length = tryRecv(this.#fd, this.#buffer);
        if (length === undefined) return lost;
        for (const { type, offset, end } of framesOf(this.#buffer, length)) {
          if (type >= NLMSG_MIN_TYPE) visit({ type, body: this.#buffer.subarray(offset + HEADER, end) });
        }
      } catch (error) {
        if (!isErrno(error, 'ENOBUFS')) throw error;
        lost = true;
      }
    }
  }

  /** Calls back once, as soon as messages wait to be drained. Costs nothing until then, and keeps no process alive. */
  whenReadable(callback: () => void): void {
    const ready = (): void => {
      this.#poll?.stop();
      callback();
    };
    const wanted = { readable: true };
    if (this.#poll === undefined) this.#poll = loadKoffi().node.poll(this.#fd, wanted, ready);
    else this.#poll.start(wanted, ready);
    this.#poll.unref();
  }

  [Symbol.dispose](): void {
    if (this.#end()) close(this.#fd);
  }

  /** Closes on a worker thread: see `closeAsync`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end()) await closeAsync(this.#fd);
  }

  /** False when it has ended before: the descriptor may be another's by now. */
  #end(): boolean {
    const open = this.#open;
    this.#open = false;
    this.#poll?.close();
    this.#poll = undefined;
    return open;
  }

  #exchange(type: number, flags: number, body: Uint8Array): readonly NetlinkMessage[] {
    return this.#run(type, flags, body).messages;
  }

  #run(type: number, flags: number, body: Uint8Array): { messages: NetlinkMessage[]; interrupted: boolean } {
    const messages: NetlinkMessage[] = [];
    const interrupted = this.#ask(type, flags, body, ({ type, body }) =>
      messages.push({ type, body: Buffer.from(body) }),
    );
    return { messages, interrupted };
  }

  #ask(type: number, flags: number, body: Uint8Array, visit: (message: NetlinkMessage) => void): boolean {
    const request = this.#frame(type, flags, body);
    const answer = new Answer(this.#sequence, flags === 0);
    send(this.#fd, request);
    while (!answer.complete) answer.read(this.#buffer, recv(this.#fd, this.#buffer), visit);
    return answer.interrupted;
  }

  #frame(type: number, flags: number, body: Uint8Array): Buffer {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return frameOf(type, flags | NLM_F_REQUEST, this.#sequence, body);
  }
}

function inconsistent(type: number): SystemError {
  return new SystemError('NETLINK_FAILED', `netlink dump ${type}`, 4 /* EINTR */, 'changed during every attempt');
}

function unanswered(type: number): never {
  throw new SystemError('NETLINK_FAILED', `netlink request ${type}`, 61 /* ENODATA */, 'the kernel sent no answer');
}

/** `struct timeval` on 64-bit platforms. */
function timeval(seconds: number): Uint8Array {
  return new Uint8Array(BigInt64Array.of(BigInt(seconds), 0n).buffer);
}
