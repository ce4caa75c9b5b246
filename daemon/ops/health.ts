/** Whether the agent is alive and whether it is ready, and if not, why. It only watches; it never ends the process. */
import type { AgentEvent, Clock, Recorder } from '../reconcile/ports.ts';

export interface Verdict {
  readonly ok: boolean;
  /** One line for people. */
  readonly text: string;
}

/**
 *   waiting (why) --lockTaken--> first full pass not done --pass--> ready, for good
 *
 * Alive: always, until the first full pass (the lock and the API server may take any time); then as long as passes end.
 */
export class Health implements Recorder {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #maxAgeMs: number;
  #why = 'starting';
  #holdsLock = false;
  #lastPass: number | undefined;
  /** Since the last pass that came to its end: what failed before does not keep the next one from ending. */
  readonly #failing = new Set<string>();

  /** `fullPassIntervalMs`: how often a pass is to be expected at least. */
  constructor(clock: Pick<Clock, 'monotonic'>, fullPassIntervalMs: number) {
    this.#clock = clock;
    this.#maxAgeMs = Math.max(3 * fullPassIntervalMs, 60_000);
  }

  /** Why the agent cannot begin yet: who holds the lock. */
  waiting(why: string): void {
    this.#why = why;
  }

  lockTaken(): void {
    this.#holdsLock = true;
  }

  record(event: AgentEvent): void {
    if (event.kind === 'failure') this.#failing.add(event.operation);
    if (event.kind === 'recovered') this.#failing.delete(event.operation);
    if (event.kind !== 'pass') return;
    this.#failing.clear();
    if (event.full || this.#lastPass !== undefined) this.#lastPass = this.#clock.monotonic();
  }

  live(): Verdict {
    if (this.#lastPass === undefined) return { ok: true, text: 'alive' };
    const age = this.#clock.monotonic() - this.#lastPass;
    if (age <= this.#maxAgeMs) return { ok: true, text: 'alive' };
    return { ok: false, text: `the last pass ended ${Math.round(age / 1_000)} s ago${this.#trouble()}` };
  }

  ready(): Verdict {
    if (!this.#holdsLock) return { ok: false, text: `not ready: ${this.#why}` };
    if (this.#lastPass !== undefined) return { ok: true, text: 'ready' };
    return { ok: false, text: `not ready: the first full pass has not ended yet${this.#trouble()}` };
  }

  #trouble(): string {
    return this.#failing.size === 0 ? '' : `; failing: ${[...this.#failing].join(', ')}`;
  }
}
