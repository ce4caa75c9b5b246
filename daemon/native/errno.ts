/**
 * Error numbers of the kernel as an error type, so that callers decide by name and people read names.
 * Holds no state and makes no system call.
 */
import { constants } from 'node:os';
import { BerthError, type ErrorCode } from '../core/errors.ts';

const names = new Map<number, string>();
// The first name of a number wins: EAGAIN, not its synonym EWOULDBLOCK.
for (const [name, number] of Object.entries(constants.errno)) if (!names.has(number)) names.set(number, name);

/** `EADDRINUSE` for 98; `errno 1234` for a number without a name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

/** What the kernel refused, with its reason: code SYSCALL_FAILED or NETLINK_FAILED. */
export class SystemError extends BerthError {
  /** Positive, as in errno(3). */
  readonly errno: number;
  /** The symbolic name: `EADDRINUSE`. */
  readonly errnoName: string;

  constructor(code: ErrorCode, what: string, errno: number, detail = '') {
    super(code, `${what}: ${errnoName(errno)}${detail === '' ? '' : ` (${detail})`}`);
    this.errno = errno;
    this.errnoName = errnoName(errno);
  }
}

/** The thrown thing is a refusal by the kernel for one of these reasons (`ENOENT`, …). */
export function isErrno(error: unknown, ...wanted: readonly string[]): error is SystemError {
  return error instanceof SystemError && wanted.includes(error.errnoName);
}
