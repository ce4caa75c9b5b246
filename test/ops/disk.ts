/** Directories of the file system for tests, removed when the test ends, however it ends. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** An empty directory of the test's own. */
export function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'berth-test-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** An empty file system of this size (`64k`), mounted on a directory of the test's own. Needs root. */
export function disk(t: ExecutionContext, size: string): { readonly path: string; remount(options: string): void } {
  const path = directory(t);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'berth-test', path]);
  t.teardown(() => execFileSync('umount', ['--lazy', path]));
  return {
    path,
    remount: (options) => {
      execFileSync('mount', ['-o', `remount,${options}`, path]);
    },
  };
}
