/**
 * Tells pods where they stand: annotations, a condition, and Events. What is to be written is kept for each pod by itself: one that
 * cannot be written is tried again later and never holds up another (I8). All writes share one budget (I10), out of which
 * results come first: an Event can wait, a pod that waits for its number cannot.
 */
import { BerthError, messageOf } from '../core/errors.ts';
import { type Pod, type PodEvent, type PodRef, type PodResult, podLabel } from '../core/vocabulary.ts';
import type { Clock, Publisher, Random } from '../reconcile/ports.ts';
import { TokenBucket } from '../reconcile/tokenbucket.ts';
import { isConflict, isForbidden, isInvalid, isNotFound, retryAfterOf } from './api/apierror.ts';
import { backoff } from './api/backoff.ts';
import type { Api } from './api/client.ts';
import { decodeApiPod, fieldsOf, standingOf } from './apipod.ts';
import { EventWriter } from './eventwriter.ts';
import { Forbidden } from './forbidden.ts';
import { type Patch, pathOf } from './podpatch.ts';
import { PodSlot } from './podslot.ts';

/** Writes that are on their way at the same time. */
const MAX_RUNNING = 8;
const BACKOFF = { first: 200, cap: 30_000 } as const;
/** Least wait before what was forbidden is tried again, in ms: with every pod of a node it must leave room for the rest. */
const FORBIDDEN_MS = 60_000;
const RATE = { perSecond: 10, burst: 50 } as const;
/** How long a result waits for the one that follows it, in ms: a pass takes a tenth of it. */
const HOLD_MS = 200;
/** What the agent has to be allowed. */
const PATCH = 'patch pods/status';
/** Longest wait of `flush`, in ms. */
const FLUSH_MS = 2_000;

export interface ApiPublisherOptions {
  readonly client: Api;
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Told of each write that failed (PUBLISH_FAILED). */
  readonly onError: (error: BerthError) => void;
}

export class ApiPublisher implements Publisher {
  readonly #options: ApiPublisherOptions;
  readonly #bucket: TokenBucket;
  readonly #events: EventWriter;
  readonly #forbidden: Forbidden;
  /** By uid: the pods that were told something and are not gone. */
  readonly #slots = new Map<string, PodSlot>();
  #queue: PodSlot[] = [];
  #running = 0;
  #ending = false;
  #cancelPump: (() => void) | undefined;
  readonly #idle: (() => void)[] = [];

  constructor(options: ApiPublisherOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(options.clock, RATE.perSecond, RATE.burst);
    this.#forbidden = new Forbidden(options.onError);
    this.#events = new EventWriter({ ...options, forbidden: this.#forbidden, onWork: () => this.#pump() });
  }

  publish(pod: Pod, result: PodResult): void {
    const slot = this.#slots.get(pod.uid) ?? new PodSlot(pod, result);
    this.#slots.set(pod.uid, slot);
    slot.see(standingOf(pod));
    slot.want(result);
    const { settled } = slot;
    if (slot.state === 'holding' && !slot.passing) this.#enqueue(slot);
    if (slot.state !== 'idle' || slot.next(this.#options.clock.now()) === undefined) return;
    if (settled) this.#quarrel(slot);
    else if (slot.passing && !this.#ending) this.#hold(slot);
    else this.#enqueue(slot);
  }

  event(pod: PodRef, event: PodEvent): void {
    this.#events.note(pod, event);
  }

  /** Events that are still to be written are: they outlive the pod, and say why it was so. */
  forget(pod: PodRef): void {
    const slot = this.#slots.get(pod.uid);
    if (slot === undefined) return;
    this.#drop(slot);
    this.#queue = this.#queue.filter((one) => one !== slot);
  }

  /** How many pods are still to be told something. What the API server refuses for good does not count. */
  get unfinished(): number {
    let count = 0;
    for (const { state } of this.#slots.values()) if (state !== 'idle') count++;
    return count;
  }

  /** For the end of the agent: tries everything once more, waits for it, at most two seconds, and leaves no timer behind. */
  async flush(): Promise<void> {
    const { clock } = this.#options;
    this.#ending = true;
    for (const slot of this.#slots.values()) {
      if (slot.state === 'waiting' || slot.state === 'holding') this.#enqueue(slot);
    }
    this.#events.hurry();
    if (this.#running > 0 || this.#cancelPump !== undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle.push(resolve);
      const cancel = clock.after(FLUSH_MS, resolve);
      await promise;
      cancel();
    }
    this.#cancelPump?.();
    this.#events.stop();
    for (const slot of this.#slots.values()) slot.end();
  }

  #enqueue(slot: PodSlot): void {
    slot.cancel();
    slot.state = 'queued';
    this.#queue.push(slot);
    this.#pump();
  }

  #pump(): void {
    while (this.#running < MAX_RUNNING) {
      const slot = this.#queue[0];
      const patch = slot?.next(this.#options.clock.now());
      if (slot !== undefined && patch === undefined) {
        slot.state = 'idle';
        this.#queue.shift();
        continue;
      }
      if (slot === undefined && !this.#events.waiting) break;
      if (!this.#bucket.take()) {
        this.#cancelPump ??= this.#options.clock.after(this.#bucket.waitMs, () => {
          this.#cancelPump = undefined;
          this.#pump();
        });
        return;
      }
      this.#running++;
      if (slot !== undefined && patch !== undefined) {
        this.#queue.shift();
        void this.#write(slot, patch).finally(() => this.#finished());
      } else void this.#events.writeNext().finally(() => this.#finished());
    }
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #finished(): void {
    this.#running--;
    this.#pump();
  }

  async #write(slot: PodSlot, patch: Patch): Promise<void> {
    slot.state = 'running';
    try {
      const reply = decodeApiPod(await this.#options.client.send(patch.request));
      if (!slot.curtailed) this.#forbidden.allowed(PATCH);
      slot.see(standingOf(reply));
      this.#written(slot, patch);
    } catch (error) {
      await this.#failed(slot, patch, error);
    }
  }

  #written(slot: PodSlot, patch: Patch): void {
    slot.failures = 0;
    slot.state = 'idle';
    if (!this.#lives(slot)) return;
    const next = slot.next(this.#options.clock.now());
    if (next === undefined) return;
    // An admission webhook that takes away what was written: writing it again at once would go on for ever.
    if (JSON.stringify(next.request) === JSON.stringify(patch.request)) this.#quarrel(slot);
    else if (slot.passing && !this.#ending) this.#hold(slot);
    else {
      // The rest of this pod before the next pod: whoever waits for a pod waits for all of it.
      slot.state = 'queued';
      this.#queue.unshift(slot);
    }
  }

  async #failed(slot: PodSlot, patch: Patch, error: unknown): Promise<void> {
    const report = (remedy: string) => this.#report(slot.pod, error, remedy);
    slot.state = 'idle';
    if (!this.#lives(slot)) return;
    if (isNotFound(error)) return this.#drop(slot);
    // Another uid is a conflict or an invalid change of an immutable field, as the version of the API server has it.
    if (isConflict(error) || isInvalid(error)) {
      slot.state = 'running';
      if (await this.#isGone(slot)) return this.#drop(slot);
      slot.state = 'idle';
      if (!this.#lives(slot)) return;
    }
    if (isForbidden(error) || isInvalid(error)) {
      const alone = slot.refuse(patch);
      if (isForbidden(error)) this.#pardonLater(slot, error);
      else if (alone) report('it is not tried again until there is something else to write');
      // The other part may be accepted.
      this.#enqueue(slot);
      return;
    }
    if (!patch.locked || !isConflict(error)) report('it is tried again');
    slot.failures++;
    this.#wait(slot, Math.max(retryAfterOf(error), backoff(BACKOFF, slot.failures, this.#options.random)));
  }

  /** A role may be put right while the agent runs. */
  #pardonLater(slot: PodSlot, error: unknown): void {
    const { clock, random } = this.#options;
    this.#forbidden.refused(PATCH, error);
    slot.cancelPardon();
    slot.cancelPardon = clock.after(FORBIDDEN_MS * (1 + random()), () => {
      slot.pardon();
      if (slot.state === 'idle') this.#enqueue(slot);
    });
  }

  /** Sees what stands on the pod when it is not gone. Rejects never: what cannot be known is not so. */
  async #isGone(slot: PodSlot): Promise<boolean> {
    try {
      const object = await this.#options.client.send({ method: 'GET', path: pathOf(slot.pod) });
      if (fieldsOf(fieldsOf(object).metadata).uid !== slot.pod.uid) return true;
      slot.see(standingOf(decodeApiPod(object)));
      return false;
    } catch (error) {
      return isNotFound(error);
    }
  }

  #quarrel(slot: PodSlot): void {
    const { clock, random, onError } = this.#options;
    const count = slot.quarrel(clock.monotonic());
    if (count === 3) {
      const why = `pod ${podLabel(slot.pod)}: somebody changes again and again what the agent writes on it; it is put right ever more slowly`;
      onError(new BerthError('PUBLISH_FAILED', `${why}: find out who edits berth.dev annotations or conditions`));
    }
    this.#wait(slot, backoff(BACKOFF, count, random));
  }

  #hold(slot: PodSlot): void {
    slot.state = 'holding';
    slot.cancel = this.#options.clock.after(HOLD_MS, () => this.#enqueue(slot));
  }

  #wait(slot: PodSlot, ms: number): void {
    slot.cancel();
    slot.state = 'waiting';
    if (!this.#ending) slot.cancel = this.#options.clock.after(ms, () => this.#enqueue(slot));
  }

  #lives(slot: PodSlot): boolean {
    return this.#slots.get(slot.pod.uid) === slot;
  }

  #drop(slot: PodSlot): void {
    slot.end();
    if (this.#lives(slot)) this.#slots.delete(slot.pod.uid);
  }

  #report(pod: PodRef, error: unknown, remedy: string): void {
    const why = `cannot tell pod ${podLabel(pod)} where it stands: ${messageOf(error)}; ${remedy}`;
    this.#options.onError(new BerthError('PUBLISH_FAILED', why, { cause: error }));
  }
}
