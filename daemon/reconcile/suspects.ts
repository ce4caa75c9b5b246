/**
 * Pods that may be gone, and the questions by which that is found out: a GET by name, or, where nobody knows the name, a list
 * that is not from a cache. It decides nothing; an answer that is older than what was heard meanwhile does not count.
 */
import { messageOf } from '../core/errors.ts';
import { type Pod, type PodRef, podLabel } from '../core/vocabulary.ts';
import type { Clock, PodSource } from './ports.ts';

/** How many questions are open at a time; one that failed keeps its place until it is asked again. */
const ASKED_AT_ONCE = 8;
/** How soon a question that failed is asked again, in ms. */
const RETRY_MS = 1_000;
/** Stands for the list among the uids. */
const LIST = '';

/** Who is to be told. */
export interface Inquirer {
  /** `pod` is who has the suspect's name (or uid, when nobody knows the name) now; undefined: nobody. */
  answered(suspect: PodRef, pod: Pod | undefined): void;
  failed(error: Error): void;
}

export class Suspects {
  /** By uid. A suspect that is to be asked for anew is a new object. */
  readonly #suspects = new Map<string, PodRef>();
  /** Since when each is one, in monotonic ms. */
  readonly #since = new Map<string, number>();
  /** The uids of those whose answer is waited for. */
  readonly #open = new Set<string>();
  readonly #clock: Clock;
  readonly #cancels = new Set<() => void>();
  #stopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  uids(): Iterable<string> {
    return this.#suspects.keys();
  }

  /** What is asked for already is asked for again. */
  add({ namespace, name, uid }: PodRef): void {
    this.#suspects.set(uid, { namespace, name, uid });
    if (!this.#since.has(uid)) this.#since.set(uid, this.#clock.monotonic());
  }

  /** Since when it is not known whether another pod of this name lives, in monotonic ms; undefined when there is none. */
  since(namespace: string, name: string, but: string): number | undefined {
    for (const suspect of this.#suspects.values()) {
      if (suspect.name === name && suspect.namespace === namespace && suspect.uid !== but)
        return this.#since.get(suspect.uid);
    }
    return undefined;
  }

  /** Whether this pod lives is known. */
  settle(uid: string): void {
    this.#suspects.delete(uid);
    this.#since.delete(uid);
  }

  /** Something was heard of a pod of this name: it is newer than any answer that is still to come. */
  heard(label: string): void {
    for (const suspect of this.#suspects.values()) {
      if (suspect.name !== '' && podLabel(suspect) === label) this.add(suspect);
    }
  }

  /** Asks for those that nobody asks for yet. Each is asked by itself: an answer that is long in coming holds no other up (I8). */
  ask(source: PodSource, inquirer: Inquirer): void {
    for (const suspect of this.#suspects.values()) {
      if (this.#stopped || this.#open.size >= ASKED_AT_ONCE) return;
      const key = suspect.name === '' ? LIST : suspect.uid;
      if (this.#open.has(key)) continue;
      this.#open.add(key);
      const question = key === LIST ? this.#askList(source, inquirer) : this.#askName(suspect, source, inquirer);
      void this.#follow(key, question, source, inquirer);
    }
  }

  /** Nothing is asked any more. */
  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#cancels) cancel();
  }

  async #follow(key: string, question: Promise<void>, source: PodSource, inquirer: Inquirer): Promise<void> {
    try {
      await question;
    } catch (error) {
      if (this.#stopped) return;
      inquirer.failed(error instanceof Error ? error : new Error(messageOf(error)));
      await this.#pause();
    }
    this.#open.delete(key);
    this.ask(source, inquirer);
  }

  async #askName(suspect: PodRef, source: PodSource, inquirer: Inquirer): Promise<void> {
    const pod = await source.get(suspect.namespace, suspect.name);
    this.#tell(suspect, pod, inquirer);
  }

  /**
   * Tells of those without a name, and of the others as well: their own answer may be long in coming. Where the source has no
   * such list, what `watch` does not list is gone.
   */
  async #askList(source: PodSource, inquirer: Inquirer): Promise<void> {
    const suspects = [...this.#suspects.values()];
    const listed = await source.list?.();
    const uids = new Map(listed?.map((pod) => [pod.uid, pod]));
    const names = new Map(listed?.map((pod) => [podLabel(pod), pod]));
    for (const suspect of suspects) {
      if (suspect.name === '') this.#tell(suspect, uids.get(suspect.uid), inquirer);
      else if (listed !== undefined) this.#tell(suspect, names.get(podLabel(suspect)), inquirer);
    }
  }

  #tell(suspect: PodRef, pod: Pod | undefined, inquirer: Inquirer): void {
    if (!this.#stopped && this.#suspects.get(suspect.uid) === suspect) inquirer.answered(suspect, pod);
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(RETRY_MS, resolve);
    this.#cancels.add(cancel);
    await promise;
    this.#cancels.delete(cancel);
  }
}
