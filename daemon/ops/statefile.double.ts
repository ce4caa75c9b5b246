/**
 * The state file in memory, with the faults of a disk: a full one, a slow one, a crash in the middle of a save. It keeps
 * text, not objects, so that what a caller changes later never leaks into what was saved.
 */
import type { BerthError } from '../core/errors.ts';
import type { AgentState } from '../core/state.ts';
import type { StateStore } from '../reconcile/ports.ts';
import { type Decoded, decodeState, encodeState } from './stateformat.ts';

interface Write {
  text: string;
  readonly done: PromiseWithResolvers<void>;
}

export class StateFileDouble implements StateStore {
  /** What stands on the disk; undefined: no file. A test may write anything here (torn, hostile, of another version). */
  text: string | undefined;
  /** While set, every save rejects with it and changes nothing. */
  fault: BerthError | undefined;
  /** While true, saves begin but do not end: `resume` ends them, `crash` cuts them off. */
  stalled = false;
  /** How many saves were asked for, and how many writes reached the disk (fewer: saves are coalesced). */
  saves = 0;
  writes = 0;
  #writing: Write | undefined;
  #next: Write | undefined;

  constructor(state?: AgentState) {
    if (state !== undefined) this.text = encodeState(state);
  }

  async load(): Promise<Decoded> {
    if (this.text === undefined) return { state: undefined };
    const found = decodeState(this.text);
    if (found.state === undefined) this.text = undefined;
    return found;
  }

  save(state: AgentState): Promise<void> {
    this.saves++;
    const text = encodeState(state);
    if (this.#writing === undefined) return this.#begin({ text, done: Promise.withResolvers() });
    if (this.#next === undefined) this.#next = { text, done: Promise.withResolvers() };
    else this.#next.text = text;
    return this.#next.done.promise;
  }

  /** Whether a save has begun and not ended. */
  get unfinished(): boolean {
    return this.#writing !== undefined;
  }

  /** The disk answers again. */
  resume(): void {
    this.stalled = false;
    this.#finish();
  }

  /**
   * The process dies: what it was saving never ends, and the `new` text, or the `old` one, is what stands on the disk. A
   * save that waited for another had not begun: it is lost.
   */
  crash(survives: 'old' | 'new'): void {
    if (survives === 'new' && this.#writing !== undefined) this.text = this.#writing.text;
    this.#writing = undefined;
    this.#next = undefined;
    this.stalled = false;
  }

  #begin(write: Write): Promise<void> {
    this.#writing = write;
    // A write never ends in the call that began it.
    queueMicrotask(() => this.#finish());
    return write.done.promise;
  }

  #finish(): void {
    if (this.stalled || this.#writing === undefined) return;
    const { text, done } = this.#writing;
    if (this.fault === undefined) {
      this.text = text;
      this.writes++;
      done.resolve();
    } else {
      done.reject(this.fault);
    }
    this.#writing = undefined;
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined) void this.#begin(next);
  }
}
