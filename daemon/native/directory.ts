/**
 * Makes directories, one by one. node:fs's own way (`recursive`) must not be used: it never returns, at a full core, where
 * the kernel says ENOENT inside a directory that exists, as in procfs and behind a link that leads nowhere.
 */
import { mkdirSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes what is missing of the path, with this mode. Throws what mkdir(2) says. */
export function makeDirectory(path: string, mode: number): void {
  if (at(path)?.isDirectory()) return;
  const parent = dirname(path);
  if (at(parent) === undefined) makeDirectory(parent, mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Another process may have made it in between.
    if (!at(path)?.isDirectory()) throw error;
  }
}

function at(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}
