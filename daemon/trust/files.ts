/**
 * Files with certificates, keys and tokens that others replace while the program runs: kubelet, cert-manager, an administrator. A
 * content that is not usable is reported once and never used: what was good stays in use.
 */
import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BerthError, messageOf } from '../core/errors.ts';

const MAX_BYTES = 1024 * 1024;
const MAX_TOKEN_BYTES = 64 * 1024;
/** How often they are read without an event, in ms: the kernel gives a user 128 inotify instances for a whole node. */
const POLL_MS = 30_000;

/** Throws CONFIG_INVALID. */
export function readSmallFile(path: string): string {
  try {
    const file = statSync(path);
    if (!file.isFile()) throw new Error('it is not a regular file');
    if (file.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new BerthError('CONFIG_INVALID', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** The token as it is now. Rejects with CONFIG_INVALID, without a part of it. */
export async function readToken(path: string): Promise<string> {
  const refuse = (why: string) => new BerthError('CONFIG_INVALID', `the token in ${path} cannot be used: ${why}`);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw refuse(error.code ?? 'it cannot be read');
  });
  const token = text.trim();
  if (token === '') throw refuse('the file is empty');
  if (token.length > MAX_TOKEN_BYTES || !/^[\x21-\x7e]+$/.test(token)) throw refuse('it is no token');
  return token;
}

export interface Following<T> {
  /** Makes something of the files' texts, in their order. Throws when it cannot. */
  readonly read: (...texts: readonly string[]) => T;
  readonly onChange: (value: T) => void;
  readonly onError: (error: Error) => void;
  readonly pollMs?: number;
}

/**
 * Calls back now and after every change, until the function that it returns is called. Directories are watched: a mounted Secret
 * changes by a rename of the link `..data`, of which a watch of the file hears nothing.
 */
export function followFiles<T>(paths: readonly string[], following: Following<T>): () => void {
  const { read, onChange, onError, pollMs = POLL_MS } = following;
  let seen: string | undefined;
  const look = () => {
    const content = attempt(() => paths.map(readSmallFile));
    const now = content.ok ? JSON.stringify(content.value) : messageOf(content.error);
    if (now === seen) return;
    seen = now;
    const used = content.ok ? attempt(() => onChange(read(...content.value))) : content;
    if (!used.ok) onError(used.error as Error);
  };
  const watchers = [...new Set(paths.map((path) => dirname(path)))].flatMap((directory) => watched(directory, look));
  const poll = setInterval(look, pollMs);
  poll.unref();
  look();
  return () => {
    clearInterval(poll);
    for (const watcher of watchers) watcher.close();
  };
}

/** None when the directory cannot be watched: it is read from time to time in any case. */
function watched(directory: string, look: () => void): FSWatcher[] {
  try {
    const watcher = watch(directory, { persistent: false }, look);
    watcher.on('error', () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

function attempt<T>(action: () => T): Attempt<T> {
  try {
    return { ok: true, value: action() };
  } catch (error) {
    return { ok: false, error };
  }
}
