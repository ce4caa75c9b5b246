/**
 * The manifests of one directory and the pods that they hold, as last read. It must never let one file hide another (but for
 * one that holds the same pod), nor take a pod for gone because something could not be read.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BerthError, messageOf } from '../core/errors.ts';
import { type Pod, podLabel } from '../core/vocabulary.ts';
import type { Clock } from '../reconcile/ports.ts';
import { type Entry, readEntry, type Timing } from './entry.ts';
import { isManifestName, readBounded } from './manifest.ts';
import { type CatalogView, viewOf } from './view.ts';

/** Files that are read at the same time. */
const BATCH = 16;

export class Catalog {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #settleMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #dirty = new Set<string>();
  #clashes: CatalogView['clashes'] = new Map();
  #all = true;
  #identity = '';
  #epoch = 0;
  #listed = false;
  /** Files were removed or renamed during the last scan: what it did not find may be under another name. */
  #unsure = false;
  /** The scan that runs, or ran last, and the one that waits for it. */
  #scanning: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** `settleMs`: how long something may be wrong with a file before it is a problem. */
  constructor(directory: string, clock: Clock, settleMs: number) {
    this.#directory = directory;
    this.#clock = clock;
    this.#settleMs = settleMs;
  }

  /**
   * Grows when the directory could not be listed or is another one than before: a file that is missing since then need not
   * have been removed.
   */
  get epoch(): number {
    return this.#epoch;
  }

  /** The last scan could list the directory. */
  get listed(): boolean {
    return this.#listed;
  }

  /** Which directory was listed last, see `identityOf`. */
  get identity(): string {
    return this.#identity;
  }

  mark(name: string): void {
    this.#dirty.add(name);
  }

  markAll(): void {
    this.#all = true;
  }

  /** The files in trouble whose time has come. */
  markDue(): void {
    const now = this.#clock.monotonic();
    for (const [name, { trouble }] of this.#entries) {
      if (trouble !== undefined && trouble.retryAt <= now) this.mark(name);
    }
  }

  /** When to look again without an event, in monotonic ms; Infinity: never. */
  get dueAt(): number {
    const { now, settleMs } = this.#timing();
    let next = this.#unsure ? now : Number.POSITIVE_INFINITY;
    for (const { trouble } of this.#entries.values()) next = Math.min(next, trouble?.retryAt ?? next);
    for (const since of this.#clashes.values()) if (since + settleMs > now) next = Math.min(next, since + settleMs);
    return next;
  }

  /**
   * Reads what is marked and what is new, and drops what is gone. One scan at a time; calls during a scan share the next.
   * Rejects with PODS_UNREADABLE when the directory cannot be listed: then everything stays as it was, and marked.
   */
  refresh(): Promise<void> {
    if (this.#next === undefined) {
      const before = this.#scanning.catch(() => undefined);
      this.#next = before.then(() => {
        this.#next = undefined;
        return this.#scan();
      });
      this.#scanning = this.#next;
    }
    return this.#next;
  }

  view(): CatalogView {
    const view = viewOf(this.#directory, this.#entries, this.#clashes, this.#timing());
    this.#clashes = view.clashes;
    return view;
  }

  /**
   * The pod of this name as the files are now. Rejects with PODS_UNREADABLE when it may be in a file that cannot be
   * understood: one that changed a moment ago, that cannot be opened, or in which the name stands.
   */
  async find(namespace: string, name: string): Promise<Pod | undefined> {
    const { pods } = await this.#now();
    const label = podLabel({ namespace, name });
    const pod = pods.get(label);
    if (pod === undefined) await this.#exclude(name, `whether there is a pod ${label}`);
    return pod;
  }

  /** All pods as the files are now. Rejects with PODS_UNREADABLE when a file that cannot be understood may hold one. */
  async all(): Promise<readonly Pod[]> {
    const { pods } = await this.#now();
    await this.#exclude('Pod', 'which pods there are');
    return [...pods.values()];
  }

  async #now(): Promise<CatalogView> {
    do {
      this.markAll();
      await this.refresh();
    } while (this.#unsure);
    return this.view();
  }

  async #exclude(word: string, what: string): Promise<void> {
    for (const [file, { trouble }] of this.#entries) {
      if (trouble === undefined) continue;
      const settled = this.#clock.monotonic() - trouble.since >= this.#settleMs;
      if (settled && (await this.#isWithout(file, word))) continue;
      throw new BerthError('PODS_UNREADABLE', `${what} is not known: ${trouble.error.message}`);
    }
  }

  async #isWithout(file: string, word: string): Promise<boolean> {
    try {
      const bytes = await readBounded(join(this.#directory, file));
      return bytes === undefined || !bytes.includes(word);
    } catch {
      return false;
    }
  }

  async #scan(): Promise<void> {
    const all = this.#all;
    const dirty = new Set(this.#dirty);
    this.#all = false;
    this.#dirty.clear();
    const listed = new Set<string>();
    try {
      await this.#list(listed);
      // A file that is renamed while its directory is read may be missed under both names (readdir(3p)).
      if ([...this.#entries.keys()].some((name) => !listed.has(name))) await this.#list(listed);
    } catch (error) {
      this.#listed = false;
      this.#epoch++;
      this.#all = true;
      const why = `cannot read the directory of manifests ${this.#directory}: ${messageOf(error)}; the pods stay as they are`;
      throw new BerthError('PODS_UNREADABLE', why, { cause: error });
    }
    this.#listed = true;
    const wanted = [...listed].filter((name) => all || dirty.has(name) || !this.#entries.has(name)).sort();
    this.#unsure = false;
    for (let index = 0; index < wanted.length; index += BATCH) {
      await Promise.all(wanted.slice(index, index + BATCH).map((name) => this.#read(name)));
    }
    if (this.#unsure) return;
    for (const name of this.#entries.keys()) if (!listed.has(name)) this.#entries.delete(name);
  }

  async #list(into: Set<string>): Promise<void> {
    for (const name of await readdir(this.#directory)) if (isManifestName(name)) into.add(name);
    const identity = await identityOf(this.#directory);
    if (identity === this.#identity) return;
    this.#identity = identity;
    this.#epoch++;
  }

  async #read(name: string): Promise<void> {
    const reading = await readEntry(this.#directory, name, this.#entries.get(name), this.#timing());
    if (reading === 'vanished') this.#unsure = true;
    else if (reading === 'directory') this.#entries.delete(name);
    else this.#entries.set(name, reading);
  }

  #timing(): Timing {
    return { now: this.#clock.monotonic(), settleMs: this.#settleMs };
  }
}

/** Names one life of a directory: another one in its place has another identity even with the same inode number. */
export async function identityOf(directory: string): Promise<string> {
  const { dev, ino, birthtimeNs } = await stat(directory, { bigint: true });
  return `${dev}:${ino}:${birthtimeNs}`;
}
