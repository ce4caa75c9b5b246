/**
 * Tells foreign changes of the ruleset from own ones by its generation, which every commit makes larger by one: whatever
 * cannot be explained by an own commit is foreign. Reads only; it knows nothing of what the ruleset holds.
 */
import { Commits } from './commits.ts';
import { RulesetGeneration } from './generation.ts';

/** After so many foreign commits in between, a change is carried out whatever the generation is. */
const ATTEMPTS = 5;

export class ForeignChanges implements Disposable {
  readonly #generation: RulesetGeneration;
  readonly #listeners = new Set<() => void>();
  readonly #commits: Commits;
  #listening = false;
  /** Every change up to this generation was own, seen by a read, or reported; undefined: not known. */
  #known: number | undefined;
  #paused = false;

  /** `gatherMs`: foreign commits within so long are reported as one. */
  constructor(gatherMs: number) {
    using opened = new DisposableStack();
    this.#generation = opened.use(new RulesetGeneration());
    this.#commits = new Commits(gatherMs);
    // Both stand: from here on they are closed by `dispose`.
    opened.move();
  }

  /** The generation now. Throws NETLINK_FAILED. */
  generation(): number {
    return this.#generation.read();
  }

  /** The ruleset was read when it had this generation: what came before needs no report. */
  seen(generation: number): void {
    this.#known = generation;
  }

  /** Runs an operation that may commit something itself: until it ends, a new generation means nothing. One at a time. */
  async withoutLooking<T>(operation: () => Promise<T>): Promise<T> {
    this.#paused = true;
    try {
      return await operation();
    } finally {
      this.#paused = false;
      // What was committed meanwhile was told meanwhile.
      if (this.#listening) this.#look();
    }
  }

  /**
   * Runs one own commit, inside `withoutLooking`. `carryOut` gets the generation that it may rely on, and answers false when the ruleset had another
   * one and nothing was done; it is then called again. Foreign changes before, between and after are reported at the end.
   */
  async commit(carryOut: (generation?: number) => Promise<boolean>): Promise<void> {
    let foreign = false;
    try {
      for (let attempt = 1, done = false; !done; attempt++) {
        const before = this.generation();
        foreign ||= this.#known !== undefined && this.#known !== before;
        this.#known = before;
        done = await carryOut(attempt < ATTEMPTS ? before : undefined);
        const after = this.generation();
        // A commit that changed nothing does not count in the kernel.
        foreign ||= (after - before) >>> 0 > (done ? 1 : 0);
        this.#known = after;
      }
    } finally {
      if (foreign) this.#report();
    }
  }

  /** Calls back after every foreign change until the signal aborts. */
  watch(onForeignChange: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    const listener = () => onForeignChange();
    this.#listeners.add(listener);
    if (!this.#listening) this.#commits.listen(() => this.#look());
    this.#listening = true;
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
    // Before anybody listened nothing was told.
    if (!this.#paused) this.#look();
  }

  [Symbol.dispose](): void {
    this.#listeners.clear();
    this.#commits[Symbol.dispose]();
    this.#generation[Symbol.dispose]();
  }

  #look(): void {
    if (this.#paused) return;
    let now: number | undefined;
    try {
      now = this.generation();
    } catch {
      // Not visible is as good as changed: reading the table then says what is wrong. Reported once.
    }
    if (now === this.#known) return;
    this.#known = now;
    this.#report();
  }

  #report(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
