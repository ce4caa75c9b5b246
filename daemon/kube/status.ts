/**
 * Tells the pods of a directory where they stand: one file a pod, in `.status` beside the manifests, takes the place of the
 * annotations, the condition and the Events that a pod in Kubernetes would get. What is to be written is kept for each pod
 * by itself: a file that cannot be written is tried again and must never hold up another.
 *
 *     publish, event, forget --> queued --> running --written--> dropped, or queued again when there is more
 *                                  ^           |
 *                                  +- waiting <-failed
 */
import { isDeepStrictEqual } from 'node:util';
import { BerthError, messageOf } from '../core/errors.ts';
import { type PodEvent, type PodRef, type PodResult, podLabel } from '../core/vocabulary.ts';
import type { Clock, Publisher, Random } from '../reconcile/ports.ts';
import {
  isBlank,
  MAX_EVENTS,
  mergeStatus,
  readStatus,
  removeStatus,
  statusPath,
  statusPods,
  writeStatus,
} from './statusfile.ts';
import { combined, supersedes, type Task, taskFor } from './statustask.ts';

/** Files that are written at the same time: descriptors and the four threads of libuv are shared with the whole agent. */
const MAX_RUNNING = 16;
/** Waiting after a failure, in ms. */
const BACKOFF = { first: 100, cap: 30_000 } as const;
/** Longest wait of `flush`, in ms. */
const FLUSH_MS = 2_000;
/** Pods that are gone: a late Event must not bring their file back. The oldest is forgotten beyond. */
const MAX_GONE = 1_000;

export interface DirectoryPublisherOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Told of each write that failed (PUBLISH_FAILED) and will be tried again. */
  readonly onError?: (error: BerthError) => void;
}

/** The lives of one pod name follow each other in one file. */
interface Slot {
  readonly path: string;
  state: 'queued' | 'running' | 'waiting';
  /** Undefined only while what was the next is being written. */
  next: Task | undefined;
  failures: number;
  cancel: () => void;
}

export class DirectoryPublisher implements Publisher {
  readonly #directory: string;
  readonly #options: DirectoryPublisherOptions;
  /** By path; only while there is something to do. */
  readonly #slots = new Map<string, Slot>();
  /** Forgotten uids. */
  readonly #gone = new Set<string>();
  readonly #idle: (() => void)[] = [];
  #running = 0;
  #ending = false;

  /** `directory` holds the manifests. It need not exist yet, and is not made. */
  constructor(directory: string, options: DirectoryPublisherOptions) {
    this.#directory = directory;
    this.#options = options;
  }

  publish(pod: PodRef, result: PodResult): void {
    this.#gone.delete(pod.uid);
    this.#add(pod, (task) => {
      task.result = result;
      task.gone = false;
    });
  }

  event(pod: PodRef, event: PodEvent): void {
    if (this.#gone.has(pod.uid)) return;
    const at = this.#options.clock.now();
    this.#add(pod, (task) => {
      task.events = [...task.events, { event, at }].slice(-MAX_EVENTS);
    });
  }

  forget(pod: PodRef): void {
    this.#gone.add(pod.uid);
    const [oldest] = this.#gone;
    if (this.#gone.size > MAX_GONE && oldest !== undefined) this.#gone.delete(oldest);
    this.#add(pod, (task) => {
      task.result = undefined;
      task.events = [];
      task.gone = true;
    });
  }

  /**
   * Forgets the pods that files tell of and that are not listed any more: those that ended while no agent ran, and that the next
   * one never heard of. `list` is asked after the files were read, so that the file of a new pod stays. Rejects, having done
   * nothing, when it is not known which pods there are.
   */
  async forgetOthers(list: () => Promise<readonly PodRef[]>): Promise<void> {
    const told = await statusPods(this.#directory);
    if (told.length === 0) return;
    const uids = new Set((await list()).map(({ uid }) => uid));
    for (const pod of told) if (!uids.has(pod.uid)) this.forget(pod);
  }

  /**
   * For the end of the agent: tries everything once more, waits for it, at most two seconds, and gives up what could not be
   * written. Leaves no timer behind.
   */
  async flush(): Promise<void> {
    this.#ending = true;
    for (const slot of this.#slots.values()) if (slot.state === 'waiting') this.#queue(slot);
    if (this.#running === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.push(resolve);
    const cancel = this.#options.clock.after(FLUSH_MS, resolve);
    await promise;
    cancel();
  }

  #add(pod: PodRef, change: (task: Task) => void): void {
    let path: string;
    try {
      path = statusPath(this.#directory, pod);
    } catch (error) {
      this.#options.onError?.(error as BerthError);
      return;
    }
    const slot = this.#slots.get(path);
    const known = slot?.next;
    if (known?.pod.uid === pod.uid) {
      change(known);
      return;
    }
    const task = taskFor(pod);
    change(task);
    if (known !== undefined && !supersedes(task, known)) return;
    if (slot !== undefined) {
      slot.next = task;
      return;
    }
    const added: Slot = { path, state: 'queued', next: task, failures: 0, cancel: () => {} };
    this.#slots.set(path, added);
    this.#queue(added);
  }

  #queue(slot: Slot): void {
    slot.cancel();
    slot.state = 'queued';
    this.#pump();
  }

  #pump(): void {
    if (this.#running >= MAX_RUNNING) return;
    for (const slot of this.#slots.values()) {
      if (slot.state !== 'queued' || slot.next === undefined) continue;
      void this.#run(slot, slot.next);
      if (this.#running >= MAX_RUNNING) return;
    }
  }

  async #run(slot: Slot, task: Task): Promise<void> {
    slot.state = 'running';
    slot.next = undefined;
    this.#running++;
    try {
      await this.#write(slot.path, task);
      slot.failures = 0;
    } catch (error) {
      slot.failures++;
      slot.next = combined(task, slot.next);
      const why = `${slot.path}: cannot tell pod ${podLabel(task.pod)} where it stands: ${messageOf(error)}; it is tried again`;
      this.#options.onError?.(new BerthError('PUBLISH_FAILED', why, { cause: error }));
    }
    this.#running--;
    if (slot.next === undefined) this.#slots.delete(slot.path);
    else if (slot.failures > 0) this.#wait(slot);
    else slot.state = 'queued';
    this.#pump();
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #wait(slot: Slot): void {
    slot.state = 'waiting';
    if (this.#ending) return;
    const { clock, random } = this.#options;
    const wait = Math.min(BACKOFF.cap, BACKOFF.first * 2 ** (slot.failures - 1));
    slot.cancel = clock.after(wait * (0.5 + random() / 2), () => this.#queue(slot));
  }

  /** What stands there is always read: somebody else may have changed it, or removed it. */
  async #write(path: string, { pod, result, events, gone }: Task): Promise<void> {
    const stands = await readStatus(path);
    const another = stands !== undefined && stands.uid !== pod.uid && !this.#gone.has(stands.uid);
    // The file belongs to another life of the pod: a late word on a former one, or its removal, does not touch it.
    if (another && result === undefined) return;
    if (gone) {
      await removeStatus(path);
      return;
    }
    const status = mergeStatus(stands, pod, result, events, this.#options.clock.now());
    if (isBlank(status)) await removeStatus(path);
    else if (!isDeepStrictEqual(status, stands)) await writeStatus(path, status);
  }
}
