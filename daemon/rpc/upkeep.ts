/** Lets time pass over a cluster's registry, and says from when on it may be asked: once every known node has reported. */
import type { ClusterRegistry } from '../core/cluster.ts';
import type { Clock } from '../reconcile/ports.ts';

const SWEEP_MS = 1_000;
/** While there is more: 300,000 mappings go stale in 3 s, and who watches can follow. */
const MORE_MS = 100;
/** A sweep that comes so late was kept from running, as was everything that agents sent meanwhile: they are heard first. */
const STALLED_MS = 5_000;
const CATCH_UP_MS = 250;

export class Upkeep implements Disposable {
  readonly #cluster: ClusterRegistry;
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #deadline: number;
  #sweptAt: number;
  #cancel: () => void = () => {};
  #ready = false;

  /** After `readyMs` it is ready in any case: some nodes may be gone for good. */
  constructor(cluster: ClusterRegistry, clock: Clock, readyMs: number, onReady: () => void) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#onReady = onReady;
    this.#sweptAt = clock.monotonic();
    this.#deadline = this.#sweptAt + readyMs;
    this.#next(SWEEP_MS);
  }

  get ready(): boolean {
    return this.#ready;
  }

  [Symbol.dispose](): void {
    this.#cancel();
    this.#ready = false;
  }

  #next(ms: number): void {
    const due = this.#ready ? ms : Math.min(ms, this.#deadline - this.#clock.monotonic());
    this.#cancel = this.#clock.after(Math.max(0, due), () => this.#tick());
  }

  #tick(): void {
    const monotonic = this.#clock.monotonic();
    const stalled = monotonic - this.#sweptAt > STALLED_MS;
    this.#sweptAt = monotonic;
    const more = !stalled && this.#cluster.sweep({ now: this.#clock.now(), monotonic });
    if (!this.#ready && (this.#cluster.complete || monotonic >= this.#deadline)) {
      this.#ready = true;
      this.#onReady();
    }
    this.#next(stalled ? CATCH_UP_MS : more ? MORE_MS : SWEEP_MS);
  }
}
