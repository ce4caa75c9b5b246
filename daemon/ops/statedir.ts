/** What can be wrong with the state directory, said with the remedy. It must never repair anything by itself. */
import { BerthError, messageOf } from '../core/errors.ts';
import { SystemError } from '../native/errno.ts';

/** By `error.code` of the system call that failed. */
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: 'the agent needs read and write permission for it: run as uid 0, or choose another --state-dir',
  EPERM: 'the agent needs read and write permission for it: run as uid 0, or choose another --state-dir',
  EROFS: 'the file system is read-only: mount it writable (not `readOnly: true`), or choose another --state-dir',
  ENOSPC: 'no space is left: free some on this file system, or give the state directory a larger one',
  EDQUOT: 'the quota is used up: free some space, or give the state directory a larger quota',
  ENOTDIR: 'a part of the path is not a directory: remove what stands there, or choose another --state-dir',
  EEXIST: 'something that is not a directory stands there: remove it, or choose another --state-dir',
  EISDIR: 'a directory stands where a file belongs: remove it',
  ERR_FS_EISDIR: 'a directory stands where a file belongs: remove it',
  ELOOP: 'a symbolic link stands where a file belongs: remove it',
  ENOENT: 'the state directory does not exist (any more): create it and restart the agent',
  EIO: 'the disk reports errors: check it, or choose another --state-dir',
  EMFILE: 'no file descriptor is left: raise the limit of open files of the agent (RLIMIT_NOFILE)',
  ENFILE: 'no file descriptor is left on the node: raise fs.file-max',
  ENOLCK: 'the file system cannot lock files: choose a --state-dir on a local disk',
  EOPNOTSUPP: 'the file system cannot lock files: choose a --state-dir on a local disk',
};

/** `action` as in "cannot `write` /var/lib/berth/state.json". The code of the system call chooses the remedy. */
export function stateUnusable(action: string, path: string, cause: unknown): BerthError {
  const code = codeOf(cause);
  const why = code === undefined ? messageOf(cause) : `${code}: ${REMEDIES[code] ?? 'choose another --state-dir'}`;
  return new BerthError('STATE_UNUSABLE', `cannot ${action} ${path}: ${why}`, { cause });
}

/** The name of the errno (`ENOSPC`) of whatever was thrown by a system call, be it of node:fs or of libc. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof SystemError) return error.errnoName;
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
