/**
 * A unix socket at a path, never open wider than 0660, not even for an instant. The caller holds the agent's lock: only then
 * is a socket that stands at the path surely a dead one's.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import { BerthError, messageOf } from '../core/errors.ts';
import { makeDirectory } from '../native/directory.ts';

/** sun_path has 108 bytes and a NUL at its end (unix(7)). */
const MAX_PATH_BYTES = 107;
const MODE = 0o660;

/**
 * Listens at `path`, replacing a socket that stands there; its directory is created when missing. Resolves to what removes
 * the socket again, unless another one stands there by then. Rejects with CONFIG_INVALID or SYSCALL_FAILED.
 */
export async function listenAt(server: Server, path: string): Promise<() => void> {
  // chmod after bind leaves a window and umask belongs to the whole process: so it is bound where nobody else can look.
  const nest = `${path}.new`;
  const hidden = join(nest, 's');
  refuseUnspeakable(path, hidden);
  try {
    refuseOccupied(path);
    makeDirectory(dirname(path), 0o755);
    rmSync(nest, { recursive: true, force: true });
    mkdirSync(nest, { mode: 0o700 });
    try {
      await bind(server, hidden);
      chmodSync(hidden, MODE);
      // A connection looks the path up only once: it may move afterwards. Whatever stood there is gone in the same instant.
      renameSync(hidden, path);
    } finally {
      rmSync(hidden, { force: true });
      rmdirSync(nest);
    }
    const { ino, dev } = lstatSync(path);
    return () => {
      const now = lstatSync(path, { throwIfNoEntry: false });
      if (now?.ino === ino && now.dev === dev) unlinkSync(path);
    };
  } catch (error) {
    server.close();
    if (error instanceof BerthError) throw error;
    const why = `cannot listen at the socket ${path}: ${messageOf(error)}: choose another path with --socket`;
    throw new BerthError('SYSCALL_FAILED', why, { cause: error });
  }
}

function refuseUnspeakable(path: string, hidden: string): void {
  // Relative would be `@…`, an abstract socket, to some programs: those have no file mode.
  if (!isAbsolute(path)) throw new BerthError('CONFIG_INVALID', `the socket path "${path}" must be absolute`);
  const spare = MAX_PATH_BYTES - Buffer.byteLength(hidden);
  if (spare < 0) {
    throw new BerthError('CONFIG_INVALID', `the socket path ${path} is ${-spare} bytes too long: choose a shorter one`);
  }
}

function refuseOccupied(path: string): void {
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present !== undefined && !present.isSocket()) {
    throw new BerthError('CONFIG_INVALID', `${path} is no socket: remove it, or choose another socket path`);
  }
}

function bind(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path }, () => {
    server.off('error', reject);
    resolve();
  });
  return promise;
}
