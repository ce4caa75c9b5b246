/**
 * The C library, bound through koffi: thin wrappers that throw instead of returning -1. Whoever needs another function
 * binds it with `libcFunction`. Nothing is loaded before the first call (loading costs 20 ms, which a client that
 * only lists must not pay), and nothing here knows what the descriptors are for.
 */
import { createRequire } from 'node:module';
import type { KoffiFunc, LibraryHandle } from 'koffi';
import { SystemError } from './errno.ts';

export type Koffi = typeof import('koffi');

let koffi: Koffi | undefined;
let library: LibraryHandle | undefined;

/** The koffi module, loaded at the first call. It throws what `require` throws where there is no build for the platform. */
export function loadKoffi(): Koffi {
  koffi ??= createRequire(import.meta.url)('koffi') as Koffi;
  return koffi;
}

/**
 * A function of the C library that the process itself runs on (glibc or musl), bound at the first call:
 * `const setns = libcFunction<(fd: number, type: number) => number>('int setns(int fd, int nstype)')`,
 * then `setns()(fd, 0)`. koffi has no `ssize_t`: say `long`.
 */
export function libcFunction<F extends (...args: never[]) => unknown>(prototype: string): () => KoffiFunc<F> {
  let bound: KoffiFunc<F> | undefined;
  return () => {
    if (bound === undefined) {
      library ??= loadKoffi().load(null);
      bound = library.func(prototype) as unknown as KoffiFunc<F>;
    }
    return bound;
  };
}

/** errno of the last call that failed on this thread (in a callback of an async call: of that call). */
export function errno(): number {
  return loadKoffi().errno();
}

/** Passes a result through, or throws SYSCALL_FAILED with the errno when it is negative. */
export function check(call: string, result: number): number {
  if (result < 0) throw new SystemError('SYSCALL_FAILED', call, errno());
  return result;
}

const EINTR = 4;
const EAGAIN = 11;
const MSG_DONTWAIT = 0x40;
const SOCK_CLOEXEC = 0o2000000;
const LOCK_EX = 2;
const LOCK_NB = 4;
const RLIM_INFINITY = 2n ** 64n - 1n;

const c = {
  socket: libcFunction<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)'),
  close: libcFunction<(fd: number) => number>('int close(int)'),
  bind: libcFunction<(fd: number, address: Uint8Array, length: number) => number>('int bind(int, void *, uint32_t)'),
  setsockopt: libcFunction<(fd: number, level: number, option: number, value: Uint8Array, length: number) => number>(
    'int setsockopt(int, int, int, void *, uint32_t)',
  ),
  getsockname: libcFunction<(fd: number, address: Uint8Array, length: Uint32Array) => number>(
    'int getsockname(int, void *, void *)',
  ),
  getsockopt: libcFunction<
    (fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array) => number
  >('int getsockopt(int, int, int, void *, void *)'),
  send: libcFunction<(fd: number, data: Uint8Array, length: number, flags: number) => number>(
    'long send(int, void *, size_t, int)',
  ),
  recv: libcFunction<(fd: number, buffer: Uint8Array, length: number, flags: number) => number>(
    'long recv(int, void *, size_t, int)',
  ),
  flock: libcFunction<(fd: number, operation: number) => number>('int flock(int, int)'),
  prlimit: libcFunction<
    (pid: number, resource: number, wanted: BigUint64Array | null, present: BigUint64Array | null) => number
  >('int prlimit(int, int, void *, void *)'),
};

/** A new descriptor, close-on-exec. Throws SYSCALL_FAILED. */
export function socket(domain: number, type: number, protocol: number): number {
  return check('socket', c.socket()(domain, type | SOCK_CLOEXEC, protocol));
}

/** Closes; that it was closed already is no error, since nothing could be done about it. */
export function close(fd: number): void {
  c.close()(fd);
}

/** Closes on a worker thread: closing a netfilter socket may wait for an RCU grace period (10–20 ms). */
export function closeAsync(fd: number): Promise<void> {
  return new Promise((resolve) => c.close().async(fd, () => resolve()));
}

/** Binds to a `struct sockaddr` in memory. Throws SYSCALL_FAILED. */
export function bind(fd: number, address: Uint8Array): void {
  check('bind', c.bind()(fd, address, address.length));
}

/** Sets an option to the bytes of a struct, or to an int. Throws SYSCALL_FAILED. */
export function setsockopt(fd: number, level: number, option: number, value: Uint8Array | number): void {
  const bytes = typeof value === 'number' ? new Uint8Array(new Int32Array([value]).buffer) : value;
  check('setsockopt', c.setsockopt()(fd, level, option, bytes, bytes.length));
}

/** The `struct sockaddr` that the socket is bound to. Throws SYSCALL_FAILED. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  check('getsockname', c.getsockname()(fd, address, length));
  return address.subarray(0, length[0]);
}

/** The bytes of an option, at most `size`. Throws SYSCALL_FAILED. */
export function getsockopt(fd: number, level: number, option: number, size: number): Uint8Array {
  const value = new Uint8Array(size);
  const length = new Uint32Array([size]);
  check('getsockopt', c.getsockopt()(fd, level, option, value, length));
  return value.subarray(0, length[0]);
}

/** Returns the bytes sent. Throws SYSCALL_FAILED. */
export function send(fd: number, data: Uint8Array, flags = 0): number {
  return uninterrupted('send', () => c.send()(fd, data, data.length, flags));
}

/** Receives into the buffer. Returns the bytes received. Throws SYSCALL_FAILED. */
export function recv(fd: number, buffer: Uint8Array, flags = 0): number {
  return uninterrupted('recv', () => c.recv()(fd, buffer, buffer.length, flags));
}

/** Receives what is there without waiting; undefined when nothing is. Throws SYSCALL_FAILED. */
export function tryRecv(fd: number, buffer: Uint8Array): number | undefined {
  const result = c.recv()(fd, buffer, buffer.length, MSG_DONTWAIT);
  if (result >= 0) return result;
  const reason = errno();
  if (reason === EAGAIN || reason === EINTR) return undefined;
  throw new SystemError('SYSCALL_FAILED', 'recv', reason);
}

function uninterrupted(call: string, run: () => number): number {
  let result: number;
  do result = run();
  while (result < 0 && errno() === EINTR);
  return check(call, result);
}

/** `send` on a worker thread. Rejects with SYSCALL_FAILED. */
export function sendAsync(fd: number, data: Uint8Array, flags = 0): Promise<number> {
  return transferAsync('send', c.send(), fd, data, flags);
}

/** `recv` on a worker thread: give the socket a SO_RCVTIMEO, a thread is never taken back. Rejects with SYSCALL_FAILED. */
export function recvAsync(fd: number, buffer: Uint8Array, flags = 0): Promise<number> {
  return transferAsync('recv', c.recv(), fd, buffer, flags);
}

type Transfer = ReturnType<typeof c.send>;

function transferAsync(call: string, run: Transfer, fd: number, bytes: Uint8Array, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    // `bytes` is named inside the callback, so it is not collected while the thread reads or fills it.
    const attempt = (): void => run.async(fd, bytes, bytes.length, flags, finish);
    const finish = (fault: unknown, result: number): void => {
      if (fault instanceof Error) reject(fault);
      else if (result >= 0) resolve(result);
      else if (errno() === EINTR) attempt();
      else reject(new SystemError('SYSCALL_FAILED', call, errno()));
    };
    attempt();
  });
}

/**
 * Takes an exclusive lock on an open file (a descriptor of `node:fs` serves) without waiting; false when another open
 * file description holds it. The lock ends with the last descriptor, also by kill -9. Throws SYSCALL_FAILED.
 */
export function flock(fd: number): boolean {
  if (c.flock()(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const reason = errno();
  if (reason === EAGAIN) return false;
  throw new SystemError('SYSCALL_FAILED', 'flock', reason);
}

/** A resource limit; `Infinity` when there is none. */
export interface Limit {
  readonly soft: number;
  readonly hard: number;
}

/** The process's limit of a resource (RLIMIT_NOFILE is 7). Throws SYSCALL_FAILED. */
export function getrlimit(resource: number): Limit {
  const present = new BigUint64Array(2);
  check('getrlimit', c.prlimit()(0, resource, null, present));
  const [soft = 0, hard = 0] = [...present].map((value) => (value === RLIM_INFINITY ? Infinity : Number(value)));
  return { soft, hard };
}

/** Sets the process's limit of a resource. Raising `hard` needs CAP_SYS_RESOURCE. Throws SYSCALL_FAILED. */
export function setrlimit(resource: number, limit: Limit): void {
  const raw = [limit.soft, limit.hard].map((value) => (value === Infinity ? RLIM_INFINITY : BigInt(value)));
  check('setrlimit', c.prlimit()(0, resource, BigUint64Array.from(raw), null));
}
