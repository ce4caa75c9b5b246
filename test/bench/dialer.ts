/**
 * New TCP connections by system calls of this thread: client and server in one, so that everything that the kernel does for a
 * connection (both hosts and the node between them are namespaces of this machine) is CPU time of this thread.
 */
import { bind, check, close, errno, libcFunction, recv, send, setsockopt, socket } from '../../daemon/native/libc.ts';
import type { Namespace } from '../kernel/namespace.ts';

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SOMAXCONN = 4_096;
const EINTR = 4;

const connect = libcFunction<(fd: number, address: Uint8Array, length: number) => number>(
  'int connect(int, void *, uint32_t)',
);
const listen = libcFunction<(fd: number, backlog: number) => number>('int listen(int, int)');
const accept = libcFunction<(fd: number, address: null, length: null) => number>('int accept(int, void *, void *)');

const clockGettime = libcFunction<(clock: number, time: BigInt64Array) => number>('int clock_gettime(int, void *)');
const CLOCK_THREAD_CPUTIME_ID = 3;

/** `struct linger` { on, 0 s }: close sends RST, so that no TIME_WAIT stays. */
const RESET = new Uint8Array(new Int32Array([1, 0]).buffer);
/** `struct timeval`. */
const SECONDS = new Uint8Array(new BigInt64Array([3n, 0n]).buffer);

/** A listening socket of the namespace, on any address. Returns its descriptor. */
export function listenIn(namespace: Namespace, port: number): number {
  return namespace.enter(() => {
    const fd = socket(AF_INET, SOCK_STREAM, 0);
    bind(fd, sockaddr('0.0.0.0', port));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, SECONDS);
    check('listen', listen()(fd, SOMAXCONN));
    return fd;
  });
}

/** What a connection carries: nothing, or a request and an answer of the size of a small HTTP exchange. */
export type Talk = 'nothing' | 'exchange';

const REQUEST = new Uint8Array(128);
const ANSWER = new Uint8Array(1_024);
const BUFFER = new Uint8Array(4_096);

/** Connects so many times from the namespace, to the addresses in turn. Returns the CPU time of one connection, ms. */
export function dial(
  from: Namespace,
  listener: number,
  addresses: readonly Uint8Array[],
  count: number,
  talk: Talk,
): number {
  return from.enter(() => {
    const before = threadCpuMs();
    for (let index = 0; index < count; index++) {
      const fd = socket(AF_INET, SOCK_STREAM, 0);
      setsockopt(fd, SOL_SOCKET, SO_LINGER, RESET);
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, SECONDS);
      const address = addresses[index % addresses.length] as Uint8Array;
      let connected: number;
      // The end of a child process interrupts it; asked again it goes on waiting.
      do connected = connect()(fd, address, address.length);
      while (connected < 0 && errno() === EINTR);
      check('connect', connected);
      const answered = check('accept', accept()(listener, null, null));
      if (talk === 'exchange') {
        send(fd, REQUEST);
        recv(answered, BUFFER);
        send(answered, ANSWER);
        recv(fd, BUFFER);
      }
      close(fd);
      close(answered);
    }
    return (threadCpuMs() - before) / count;
  });
}

/** To the nanosecond; getrusage (process.threadCpuUsage) counts a running thread in ticks. */
function threadCpuMs(): number {
  const time = new BigInt64Array(2);
  check('clock_gettime', clockGettime()(CLOCK_THREAD_CPUTIME_ID, time));
  return Number(time[0]) * 1_000 + Number(time[1]) / 1e6;
}

/** A `struct sockaddr_in`. */
export function sockaddr(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new Uint16Array(bytes.buffer)[0] = AF_INET;
  bytes.set([port >> 8, port & 0xff, ...address.split('.').map(Number)], 2);
  return bytes;
}
