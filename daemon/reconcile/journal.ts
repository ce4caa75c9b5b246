/**
 * Keeps the state file in step with the ledger. It is written before a number is promised and awaited there; otherwise in
 * the background. A disk that is full or does not answer delays nothing for long: it is reported and tried again.
 */
import { BerthError, messageOf } from '../core/errors.ts';
import type { Ledger } from '../core/ledger.ts';
import type { AgentState } from '../core/state.ts';
import type { World } from './ports.ts';
import type { Surroundings } from './surroundings.ts';

/** A save that failed is tried again after so many ms. */
const RETRY_MS = 5_000;
/** A promise waits so many ms for the disk; while it does not answer, no other promise waits. */
const PATIENCE_MS = 1_000;

export class Journal {
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #surroundings: Surroundings;
  #savedVersion = -1;
  #savedSettings = -1;
  #failing = false;
  /** The disk has not answered a save in time. */
  #overdue = false;
  #stopped = false;
  #cancelRetry: (() => void) | undefined;

  constructor(world: World, ledger: Ledger, surroundings: Surroundings) {
    this.#world = world;
    this.#ledger = ledger;
    this.#surroundings = surroundings;
  }

  /** What the last agent wrote, its quarantine and settings already taken over. */
  async load(): Promise<AgentState | undefined> {
    const { clock, recorder, store } = this.#world;
    const { state, problem } = await store.load();
    if (problem !== undefined) {
      recorder.record({ kind: 'failure', operation: 'state', error: new BerthError('STATE_UNUSABLE', problem) });
    }
    if (state !== undefined) {
      this.#ledger.restoreResting(state.resting, clock.monotonic(), clock.now());
      this.#surroundings.restoreSettings(state.settings);
    }
    return state;
  }

  /** Resolves when the present state is durable, or when there is no more sense in waiting for that. */
  async save(): Promise<void> {
    const saving = this.#save();
    if (this.#overdue) return;
    const { promise: patience, resolve } = Promise.withResolvers<void>();
    const cancel = this.#world.clock.after(PATIENCE_MS, () => {
      this.#overdue = true;
      this.#fail(
        new BerthError('STATE_UNUSABLE', `the state file was not written within ${PATIENCE_MS} ms: the disk is slow`),
      );
      resolve();
    });
    await Promise.race([saving, patience]);
    cancel();
  }

  /** Starts a save without waiting for it. */
  saveLater(): void {
    void this.#save();
  }

  /** Nothing is tried again any more. */
  stop(): void {
    this.#stopped = true;
    this.#cancelRetry?.();
  }

  async #save(): Promise<void> {
    const { recorder, store } = this.#world;
    const version = this.#ledger.version;
    const { settings, settingsVersion } = this.#surroundings;
    if (version === this.#savedVersion && settingsVersion === this.#savedSettings) return;
    try {
      await store.save({ ...this.#ledger.snapshot(), settings });
    } catch (error) {
      this.#overdue = false;
      this.#fail(error instanceof Error ? error : new Error(messageOf(error)));
      this.#retryLater();
      return;
    }
    this.#overdue = false;
    this.#savedVersion = Math.max(version, this.#savedVersion);
    this.#savedSettings = Math.max(settingsVersion, this.#savedSettings);
    if (this.#failing) recorder.record({ kind: 'recovered', operation: 'state' });
    this.#failing = false;
  }

  #fail(error: Error): void {
    this.#failing = true;
    this.#world.recorder.record({ kind: 'failure', operation: 'state', error });
  }

  #retryLater(): void {
    if (this.#stopped || this.#cancelRetry !== undefined) return;
    this.#cancelRetry = this.#world.clock.after(RETRY_MS, () => {
      this.#cancelRetry = undefined;
      this.saveLater();
    });
  }
}
