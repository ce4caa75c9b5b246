/**
 * A file of pools that may change while the agent runs, as Kubernetes mounts it from a ConfigMap. A bad content is
 * reported and never used: what was good stays in force.
 */
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { PoolConfig } from '../core/pool.ts';
import { readConfigText } from './configfile.ts';
import { parsePoolsFile } from './pools.ts';

export interface WatchPoolsOptions {
  /** Throws to refuse pools that are well-formed, such as ones that overlap the NodePorts. */
  readonly accept?: (pools: readonly PoolConfig[]) => void;
  /** How often the file is read without an event, in ms: the kernel gives a user 128 inotify instances for a whole node. */
  readonly pollMs?: number;
}

/**
 * Calls `onChange` with the pools now and after every change of the file, and `onError` once for each content that is not
 * usable, until the signal aborts.
 *
 * A mounted ConfigMap changes by a rename of the link `..data` in the directory, so the directory is watched: a watch of
 * the file says nothing when a link on its path is swapped, and ends with the file's inode.
 */
export function watchPools(
  path: string,
  onChange: (pools: readonly PoolConfig[]) => void,
  onError: (error: unknown) => void,
  signal: AbortSignal,
  { accept = () => {}, pollMs = 30_000 }: WatchPoolsOptions = {},
): void {
  if (signal.aborted) return;
  let seen: string | undefined;
  const look = () => {
    const text = attempt(() => readConfigText(path));
    const now = text.ok ? `text ${text.value}` : `error ${text.error}`;
    if (now === seen) return;
    seen = now;
    const pools = text.ok ? attempt(() => acceptedPools(text.value)) : text;
    if (pools.ok) onChange(pools.value);
    else onError(pools.error);
  };
  const acceptedPools = (text: string) => {
    const pools = parsePoolsFile(text, path);
    accept(pools);
    return pools;
  };
  const watcher = watchDirectory(dirname(path), look);
  const poll = setInterval(look, pollMs);
  signal.addEventListener('abort', () => {
    clearInterval(poll);
    watcher?.close();
  });
  look();
}

/** Undefined when the directory cannot be watched (it is not there, or the kernel gives no more watches). */
function watchDirectory(path: string, onEvent: () => void): FSWatcher | undefined {
  const watcher = attempt(() => watch(path, onEvent));
  if (!watcher.ok) return undefined;
  // What stops this watch leaves the polling.
  watcher.value.on('error', () => watcher.value.close());
  return watcher.value;
}

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

function attempt<T>(action: () => T): Attempt<T> {
  try {
    return { ok: true, value: action() };
  } catch (error) {
    return { ok: false, error };
  }
}
