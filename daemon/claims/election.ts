/**
 * One leader among replicas, by a Lease of coordination.k8s.io, as client-go has it: a lease has run out when this replica has seen no
 * change of it for as long as it says, by this replica's own monotonic clock; what stands in it as times is for people. Two leaders
 * at once are rare, not impossible: nothing that they do may rely on being the only one.
 *
 *              the lease is free, or has run out, and was written
 *   following ---------------------------------------------------> leading
 *       ^                                                             |
 *       +-------------------------------------------------------------+
 *          not renewed for `renewMs`, or somebody else has it
 */
import { messageOf } from '../core/errors.ts';
import { pause } from '../reconcile/pause.ts';
import type { Clock, Random } from '../reconcile/ports.ts';

export interface LeaseRecord {
  /** Empty: nobody. */
  readonly holder: string;
  readonly seconds: number;
  readonly transitions: number;
}

export interface StoredLease {
  readonly record: LeaseRecord;
  readonly revision: string;
}

/** Where the lease is. All reject when there is no answer; a write resolves to false when somebody else was faster. */
export interface LeaseStore {
  read(signal?: AbortSignal): Promise<StoredLease | undefined>;
  create(record: LeaseRecord, signal?: AbortSignal): Promise<boolean>;
  /** `acquired`: it changes hands. */
  update(record: LeaseRecord, revision: string, acquired: boolean, signal?: AbortSignal): Promise<boolean>;
}

export interface ElectionTimes {
  /** How long a lease lasts that is not renewed, in ms; whole seconds. */
  readonly leaseMs: number;
  /** A leader that could not renew for so long gives up. Less than `leaseMs`. */
  readonly renewMs: number;
  /** Between attempts. */
  readonly retryMs: number;
}

/** As kube-controller-manager has them. */
export const ELECTION_TIMES: ElectionTimes = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2_000 };
/** A lease of so many times one's own is believed, of another version's; longer ones somebody wrote by hand. */
const MAX_LEASE = 4;
/** A write that is under way when the lease runs out can be too late: none is begun in the last moment of it. */
const LAST_MS = 1_000;

/** How long it is certain that nobody else leads, in ms; 0 or less: it is not. */
export interface Fence {
  left(): number;
}

export interface ElectionOptions {
  readonly store: LeaseStore;
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly times?: ElectionTimes;
  /** Leads until the signal aborts; must write nothing when the fence is closed. */
  readonly lead: (fence: Fence, signal: AbortSignal) => Promise<void>;
  readonly onLeading: (leading: boolean) => void;
  readonly onError: (error: Error) => void;
}

export class Election {
  readonly #options: ElectionOptions;
  readonly #times: ElectionTimes;
  /** The newest that was seen, and when it was seen to be so. */
  #seen: { readonly stored: StoredLease; readonly at: number } | undefined;
  /** When the lease was last known to be this replica's: before it was asked for. */
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#times = options.times ?? ELECTION_TIMES;
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (await this.#attempt(signal)) await this.#lead(signal);
      else await this.#pause(signal);
    }
  }

  async #lead(signal: AbortSignal): Promise<void> {
    const { lead, onLeading } = this.#options;
    const lost = new AbortController();
    const cancel = this.#watch(lost);
    const ends = AbortSignal.any([signal, lost.signal]);
    onLeading(true);
    const leading = lead({ left: () => this.#left() }, ends);
    while (!ends.aborted) {
      await this.#pause(ends);
      if (!ends.aborted && !(await this.#attempt(ends)) && this.#isOthers()) lost.abort();
    }
    cancel();
    await leading;
    onLeading(false);
    // Others need not wait until it runs out.
    if (signal.aborted) await this.#release();
  }

  /** Gives up when the lease was not renewed, also while an attempt is under way. */
  #watch(lost: AbortController): () => void {
    const { clock } = this.#options;
    let cancel = () => {};
    const look = () => {
      const left = this.#renewedAt + this.#times.renewMs - clock.monotonic();
      if (left <= 0) lost.abort();
      else cancel = clock.after(left, look);
    };
    look();
    return () => cancel();
  }

  #left(): number {
    if (this.#isOthers()) return 0;
    return this.#renewedAt + this.#times.leaseMs - LAST_MS - this.#options.clock.monotonic();
  }

  #isOthers(): boolean {
    return this.#seen?.stored.record.holder !== this.#options.identity;
  }

  /** Whether the lease is this replica's now. */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    const { store, clock, onError } = this.#options;
    try {
      const stored = await store.read(signal);
      const before = clock.monotonic();
      if (stored === undefined) return await this.#created(before, signal);
      this.#note(stored);
      return await this.#taken(stored, before, signal);
    } catch (error) {
      if (!signal.aborted) onError(error instanceof Error ? error : new Error(messageOf(error)));
      return false;
    }
  }

  async #created(before: number, signal: AbortSignal): Promise<boolean> {
    const record = this.#record(0);
    if (!(await this.#options.store.create(record, signal))) return false;
    this.#hold(record, before);
    return true;
  }

  async #taken({ record, revision }: StoredLease, before: number, signal: AbortSignal): Promise<boolean> {
    const { store, identity } = this.#options;
    const own = record.holder === identity;
    if (!own && record.holder !== '' && !this.#hasRunOut(record, before)) return false;
    const wanted = this.#record(own ? record.transitions : record.transitions + 1);
    if (!(await store.update(wanted, revision, !own, signal))) return false;
    this.#hold(wanted, before);
    return true;
  }

  #hasRunOut({ seconds }: LeaseRecord, now: number): boolean {
    const lasts = Math.min(Math.max(seconds * 1_000, this.#times.leaseMs), MAX_LEASE * this.#times.leaseMs);
    return this.#seen !== undefined && now - this.#seen.at >= lasts;
  }

  /** Every change of it is a sign of life. */
  #note(stored: StoredLease): void {
    if (this.#seen?.stored.revision === stored.revision) return;
    this.#seen = { stored, at: this.#options.clock.monotonic() };
  }

  #hold(record: LeaseRecord, before: number): void {
    // Which revision it has now is seen at the next look.
    this.#seen = { stored: { record, revision: '' }, at: this.#options.clock.monotonic() };
    this.#renewedAt = before;
  }

  #record(transitions: number): LeaseRecord {
    return { holder: this.#options.identity, seconds: Math.ceil(this.#times.leaseMs / 1_000), transitions };
  }

  async #release(): Promise<void> {
    const { store, identity, onError } = this.#options;
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    try {
      const stored = await store.read();
      if (stored?.record.holder !== identity) return;
      await store.update({ ...stored.record, holder: '', seconds: 1 }, stored.revision, false);
    } catch (error) {
      onError(error instanceof Error ? error : new Error(messageOf(error)));
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    await pause(this.#options.clock, this.#times.retryMs * (1 + this.#options.random() / 5), signal);
  }
}
