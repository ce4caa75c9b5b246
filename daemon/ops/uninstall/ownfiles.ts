/**
 * The files that the agent makes on a node: in the state directory, and its socket. The directories stay: they may be mounted, or
 * somebody else's. The caller holds the lock.
 */
import { lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { OwnFile, OwnFiles } from '../../reconcile/uninstall/ports.ts';

export class NodeFiles implements OwnFiles {
  readonly #stateDir: string;
  readonly #socket: string;

  constructor(stateDir: string, socket: string) {
    this.#stateDir = stateDir;
    this.#socket = socket;
  }

  /** The lock is the last: as long as the file is there no agent begins anew beside what is being removed. */
  find(): readonly OwnFile[] {
    return [
      ...this.#inStateDir('state.json.tmp', 'state.json.corrupt'),
      ...this.#inStateDir('state.json').map((file) => ({ ...file, memory: true })),
      // Where a socket is bound before it takes its place.
      ...present(`${this.#socket}.new`, 'directory'),
      ...present(this.#socket, 'socket'),
      ...this.#inStateDir('lock'),
    ];
  }

  remove({ path }: OwnFile): void {
    rmSync(path, { recursive: true, force: true });
  }

  #inStateDir(...names: readonly string[]): readonly OwnFile[] {
    return names.flatMap((name) => present(join(this.#stateDir, name), 'any'));
  }
}

/** What is of another kind is not the agent's. Links are not followed. */
function present(path: string, kind: 'any' | 'socket' | 'directory'): readonly OwnFile[] {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  const fits = kind === 'any' || (kind === 'socket' ? stat.isSocket() : stat.isDirectory());
  return fits ? [{ path, memory: false }] : [];
}
