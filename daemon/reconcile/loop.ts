/**
 * When a pass runs. Events only update the set of pods and set a flag; a lone event starts a pass at once, what comes while
 * one runs waits for it together. A full pass runs at start, when somebody else changed the ruleset, and from time to time.
 *
 *            event            pass done, nothing new
 *   idle ------------> running ----------------------> idle
 *                      |     ^
 *                event |     | pass done
 *                      v     |
 *                   running, dirty
 */
import { messageOf } from '../core/errors.ts';
import type { PoolConfig } from '../core/pool.ts';
import type { Pod, PodRef } from '../core/vocabulary.ts';
import type { StaticHostPorts } from './conflicts.ts';
import type { PodObserver, World } from './ports.ts';
import { Reconciler } from './reconciler.ts';

/** How long to wait after a pass that could do nothing: from … to, doubling, jittered, in ms. */
const BACKOFF = { first: 100, cap: 1_000 } as const;

export interface LoopOptions {
  readonly labels: Readonly<Record<string, string>>;
  readonly pools: readonly PoolConfig[];
  /** Between full passes, in ms; jittered by a tenth. */
  readonly fullPassMs: number;
  /** Absent: static hostPorts are another program's business, and only avoided. */
  readonly staticHostPorts?: StaticHostPorts;
}

export class Loop implements PodObserver {
  readonly reconciler: Reconciler;
  readonly #world: World;
  readonly #options: LoopOptions;
  #dirty = false;
  #full = true;
  #running = false;
  #stopped = false;
  #failures = 0;
  #cancelWake: () => void = () => {};
  #cancelFull: () => void = () => {};
  #idle: (() => void)[] = [];
  /** Monotonic time at which the last pass came to its end; undefined before the first. */
  lastPassAt: number | undefined;
  /** Why the last pass failed; undefined when it did not. */
  lastFailure: string | undefined;

  constructor(world: World, options: LoopOptions) {
    this.#world = world;
    this.#options = options;
    this.reconciler = new Reconciler(world, options.labels, () => this.#mark(false), options.staticHostPorts);
    this.reconciler.setPools(options.pools);
  }

  /** Adopts what stands, then watches and reconciles until the signal aborts and the pass at hand is done. */
  async run(signal: AbortSignal): Promise<void> {
    const { source, datapath, network } = this.#world;
    await this.#start(signal);
    if (signal.aborted) return;
    datapath.watch(() => this.#mark(true), signal);
    network.watch(() => {
      this.reconciler.networkChanged();
      this.#mark(false);
    }, signal);
    this.#scheduleFull();
    await source.watch(this, signal);
    this.#stopped = true;
    if (this.#running) await new Promise<void>((resolve) => this.#idle.push(resolve));
    // Not before: the pass at hand sets them too, and a timer that is left keeps the process from ending.
    this.#cancelWake();
    this.#cancelFull();
    this.reconciler.stop();
  }

  /** A kernel that cannot be asked yet is asked again: an agent that ended instead would come back minutes later. */
  async #start(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.reconciler.start();
        if (this.#failures > 0) this.#world.recorder.record({ kind: 'recovered', operation: 'start' });
        this.#failures = 0;
        return;
      } catch (error) {
        this.#failed('start', error);
        await this.#pause(signal);
      }
    }
  }

  setPools(pools: readonly PoolConfig[]): void {
    this.reconciler.setPools(pools);
    this.#mark(false);
  }

  listed(pods: readonly Pod[]): void {
    this.reconciler.pods.list(pods);
    this.#mark(false);
    this.#confirm();
  }

  changed(pod: Pod): void {
    this.reconciler.pods.set(pod);
    this.#mark(false);
    this.#confirm();
  }

  deleted(pod: PodRef): void {
    this.reconciler.pods.delete(pod.uid);
    this.#mark(false);
  }

  failed(error: Error): void {
    this.#world.recorder.record({ kind: 'failure', operation: 'pods', error });
  }

  /** Asks for the pods that may be gone, beside the passes: an API server that does not answer holds nothing up (I8). */
  #confirm(): void {
    const { recorder, source } = this.#world;
    this.reconciler.pods.ask(
      source,
      () => this.#mark(false),
      (error) => recorder.record({ kind: 'failure', operation: 'pods', error }),
    );
  }

  #mark(full: boolean): void {
    this.#dirty = true;
    this.#full ||= full;
    if (!this.#running && this.#failures === 0) void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#running || this.#stopped || !this.reconciler.pods.complete) return;
    this.#running = true;
    while (this.#dirty && !this.#stopped) {
      this.#dirty = false;
      const full = this.#full;
      this.#full = false;
      if (!(await this.#pass(full))) break;
    }
    this.#running = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** False when nothing could be done and the loop has to wait. */
  async #pass(full: boolean): Promise<boolean> {
    const { clock, recorder } = this.#world;
    this.#cancelWake();
    try {
      const retryAt = await this.reconciler.pass(full);
      if (this.#failures > 0) recorder.record({ kind: 'recovered', operation: 'pass' });
      this.#failures = 0;
      this.lastFailure = undefined;
      this.lastPassAt = clock.monotonic();
      if (full) this.#scheduleFull();
      if (retryAt !== undefined) this.#wakeIn(Math.max(1, retryAt - clock.monotonic()));
      return true;
    } catch (error) {
      this.#failed('pass', error);
      this.#full = true;
      this.#dirty = true;
      this.#wakeIn(this.#backoff());
      return false;
    }
  }

  #failed(operation: string, error: unknown): void {
    this.#failures++;
    this.lastFailure = messageOf(error);
    const failure = error instanceof Error ? error : new Error(messageOf(error));
    this.#world.recorder.record({ kind: 'failure', operation, error: failure });
  }

  #backoff(): number {
    const wait = Math.min(BACKOFF.cap, BACKOFF.first * 2 ** (this.#failures - 1));
    return wait * (0.5 + this.#world.random() / 2);
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#world.clock.after(this.#backoff(), resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    cancel();
  }

  #wakeIn(ms: number): void {
    this.#cancelWake();
    this.#cancelWake = this.#world.clock.after(ms, () => {
      this.#dirty = true;
      void this.#work();
    });
  }

  #scheduleFull(): void {
    this.#cancelFull();
    const jitter = 0.95 + this.#world.random() / 10;
    this.#cancelFull = this.#world.clock.after(this.#options.fullPassMs * jitter, () => {
      this.#scheduleFull();
      this.#mark(true);
    });
  }
}
