/**
 * The state file `<stateDir>/state.json`: which pod had which number. A save is atomic and durable: after a crash at any
 * moment the old or the new text stands there, whole. It must never follow a symbolic link, never be in the way of a
 * start (what cannot be read is kept aside and derived anew from the kernel), and belongs to the holder of the lock alone.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../core/errors.ts';
import type { AgentState } from '../core/state.ts';
import type { StateStore } from '../reconcile/ports.ts';
import { codeOf, stateUnusable } from './statedir.ts';
import { type Decoded, decodeState, encodeState } from './stateformat.ts';

/** Largest file that is read, in bytes: some 250,000 grants, more than a node has ports. */
const MAX_BYTES = 64 * 1024 * 1024;

export class StateFile implements StateStore {
  readonly #directory: string;
  readonly #path: string;
  readonly #temporary: string;
  readonly #aside: string;
  /** The newest state that no write has begun with. */
  #next: { state: AgentState; readonly done: PromiseWithResolvers<void> } | undefined;
  #writing = false;

  /** `directory` exists (the lock creates it). */
  constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, 'state.json');
    this.#temporary = join(directory, 'state.json.tmp');
    this.#aside = join(directory, 'state.json.corrupt');
  }

  async load(): Promise<Decoded> {
    // A write that a crash cut short; an older one may not stay either, as it holds space that the next one needs.
    await rm(this.#temporary, { force: true }).catch(() => undefined);
    let found: Decoded;
    try {
      const text = await this.#read();
      if (text === undefined) return { state: undefined };
      found = decodeState(text);
    } catch (error) {
      found = { state: undefined, problem: codeOf(error) === 'ELOOP' ? 'it is a symbolic link' : messageOf(error) };
    }
    if (found.problem === undefined) return found;
    const kept = await this.#keepAside(found.state === undefined);
    const rebuilt = found.state === undefined ? 'the state' : 'what is missing';
    return {
      state: found.state,
      problem: `${this.#path}: ${found.problem}; ${kept}, ${rebuilt} is rebuilt from the kernel and the pods`,
    };
  }

  /**
   * Writes are one at a time. A call during a write waits for the next one, and a newer call takes its place: each
   * promise resolves once its state, or a newer one, is durable. `state` must not change afterwards.
   */
  save(state: AgentState): Promise<void> {
    if (this.#next === undefined) this.#next = { state, done: Promise.withResolvers() };
    else this.#next.state = state;
    const { promise } = this.#next.done;
    if (!this.#writing) void this.#writeAll();
    return promise;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    for (let job = this.#next; job !== undefined; job = this.#next) {
      this.#next = undefined;
      await this.#write(job.state).then(job.done.resolve, job.done.reject);
    }
    this.#writing = false;
  }

  async #write(state: AgentState): Promise<void> {
    try {
      await rm(this.#temporary, { force: true });
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      await using file = await open(this.#temporary, flags, 0o600);
      await file.writeFile(encodeState(state));
      await file.sync();
      await rename(this.#temporary, this.#path);
      await this.#syncDirectory();
    } catch (error) {
      // On a full disk even the part that was written is in the way of others.
      await rm(this.#temporary, { force: true }).catch(() => undefined);
      throw stateUnusable('write', this.#path, error);
    }
  }

  /** The rename itself is durable only once the directory is (fsync(2), notes). */
  async #syncDirectory(): Promise<void> {
    await using directory = await open(this.#directory, constants.O_RDONLY | constants.O_DIRECTORY);
    await directory.sync();
  }

  /** Undefined when there is no file. O_NONBLOCK: opening a FIFO must not wait for a writer. */
  async #read(): Promise<string | undefined> {
    let opened: FileHandle;
    try {
      opened = await open(this.#path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    await using file = opened;
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error('it is not a regular file');
    if (stat.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length));
  }

  /** Of several bad files only the last is kept. A file that was partly good stays in place until the next save. */
  async #keepAside(move: boolean): Promise<string> {
    try {
      await rm(this.#aside, { force: true, recursive: true });
      await (move ? rename(this.#path, this.#aside) : link(this.#path, this.#aside));
      return `it is kept as ${this.#aside}`;
    } catch (error) {
      return `it could not be kept aside (${messageOf(error)})`;
    }
  }
}
