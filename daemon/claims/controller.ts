/**
 * The controller, as long as it leads: sees, decides, acts, again and again. News only set a flag; a pass derives everything from what is
 * seen then, so that nothing depends on which news came, in which order, or to whom.
 */
import { type Decision, decideInSteps } from '../core/claims/decide.ts';
import { isSame } from '../core/claims/same.ts';
import type { Complaint, News } from '../core/claims/steps.ts';
import type { ClaimView, NodePool, Uses } from '../core/claims/view.ts';
import { messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import { Carrier } from './carrier.ts';
import type { About, ClaimObserver, ClaimWorld, Seen, SeenKind } from './ports.ts';
import { Shelves } from './shelves.ts';
import { Work } from './work.ts';

/** Between passes, in ms: a burst of news is decided on together. */
const GAP_MS = 50;
/** A pass that took long is followed by so many times as much rest: the process has other work too. */
const REST = 4;
/** So long, in ms, a pass keeps the process from it at once; then it goes on a moment later, with what was seen when it began. */
const SLICE_MS = 5;
/** How often is looked what pools nodes have, and whether everything is as it should be. */
const LOOK_MS = 10_000;
/** Of what is told. */
const MAX_MESSAGE = 1_024;
/** Complaints that were told are told again only when they were forgotten. */
const MAX_COMPLAINTS = 1_000;

interface Pass {
  readonly deciding: Generator<void, Decision>;
  /** Without the moments between its slices. */
  busyMs: number;
  /** Something was heard since it began. */
  isOld: boolean;
}

export class ClaimController implements ClaimObserver {
  readonly #world: ClaimWorld;
  readonly #shelves = new Shelves();
  readonly #uses = new Map<string, Uses>();
  readonly #work: Work;
  readonly #complained = new Set<string>();
  #nodePools: readonly NodePool[] | undefined;
  /** When the next pass may begin, monotonic. */
  #nextPass = Number.NEGATIVE_INFINITY;
  #wakeAt = Number.POSITIVE_INFINITY;
  #pass: Pass | undefined;
  #cancel: () => void = () => {};
  #cancelLook: () => void = () => {};
  #stopped = false;
  #synced = false;

  constructor(world: ClaimWorld) {
    this.#world = world;
    const { clock, random, api, recorder } = world;
    const carrier = new Carrier({
      api,
      shelves: this.#shelves,
      uses: this.#uses,
      monotonic: () => clock.monotonic(),
      tell: (about, news) => this.#tell(about, news),
    });
    this.#work = new Work({
      clock,
      random,
      carry: (step) => carrier.carry(step),
      done: ({ kind }, outcome) => recorder.record({ kind: 'step', step: kind, outcome }),
      failed: (step, error) => this.#failed(step.kind, error),
      changed: () => this.#mark(),
    });
  }

  /** What is seen now; undefined before everything was listed. */
  get view(): ClaimView | undefined {
    return this.#shelves.complete ? this.#shelves.view(this.#uses, this.#nodePools) : undefined;
  }

  /** Until the signal aborts and what is under way has ended. */
  async run(signal: AbortSignal): Promise<void> {
    this.#look();
    await this.#world.api.watch(this, signal);
    this.#stopped = true;
    this.#cancel();
    this.#cancelLook();
    await this.#work.stop();
  }

  listed<K extends SeenKind>(kind: K, objects: readonly Seen[K][]): void {
    this.#shelves.of(kind).replace(objects);
    if (this.#shelves.complete && !this.#synced) {
      this.#synced = true;
      this.#world.recorder.record({ kind: 'synced' });
    }
    this.#mark();
  }

  changed<K extends SeenKind>(kind: K, object: Seen[K]): void {
    if (this.#shelves.of(kind).put(object)) this.#mark();
  }

  deleted<K extends SeenKind>(kind: K, object: Seen[K]): void {
    this.#shelves.of(kind).delete(object);
    this.#mark();
  }

  failed(error: Error): void {
    this.#failed('watch', error);
  }

  #failed(operation: string, error: unknown): void {
    const failure = error instanceof Error ? error : new Error(messageOf(error));
    this.#world.recorder.record({ kind: 'failure', operation, error: failure });
  }

  #look(): void {
    const { clock, random, nodePools } = this.#world;
    const pools = nodePools();
    if (!isSame(pools, this.#nodePools)) this.#mark();
    this.#nodePools = pools;
    this.#cancelLook = clock.after(LOOK_MS * (0.9 + random() / 10), () => {
      if (!this.#stopped) this.#look();
    });
  }

  /** A pass as soon as the last one is long enough ago: a lone piece of news is decided on at once. */
  #mark(): void {
    if (this.#pass === undefined) this.#wake(this.#nextPass);
    else this.#pass.isOld = true;
  }

  #wake(at: number): void {
    if (this.#stopped || at >= this.#wakeAt) return;
    const { clock } = this.#world;
    this.#wakeAt = at;
    this.#cancel();
    this.#cancel = clock.after(Math.max(0, at - clock.monotonic()), () => this.#begin());
  }

  #begin(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    if (this.#stopped || !this.#shelves.complete) return;
    this.#forget();
    this.#work.begin();
    const time = { monotonic: this.#world.clock.monotonic(), text: this.#world.timestamp() };
    const view = this.#shelves.view(new Map(this.#uses), this.#nodePools);
    this.#pass = { deciding: decideInSteps(view, time), busyMs: 0, isOld: false };
    this.#goOn(this.#pass);
  }

  #goOn(pass: Pass): void {
    const { clock } = this.#world;
    if (this.#stopped) return;
    const began = clock.monotonic();
    let next = pass.deciding.next();
    while (!next.done && clock.monotonic() - began < SLICE_MS) next = pass.deciding.next();
    if (next.done) this.#end(pass, next.value, began);
    else {
      pass.busyMs += clock.monotonic() - began;
      this.#cancel = clock.after(0, () => this.#goOn(pass));
    }
  }

  #end(pass: Pass, { steps, complaints, wakeAt }: Decision, sliceBegan: number): void {
    const { clock, recorder } = this.#world;
    this.#pass = undefined;
    this.#work.plan(steps);
    for (const complaint of complaints) this.#complain(complaint);
    const now = clock.monotonic();
    const ms = pass.busyMs + now - sliceBegan;
    this.#nextPass = now + Math.max(GAP_MS, REST * ms);
    recorder.record({ kind: 'pass', ms, steps: steps.length });
    const next = pass.isOld ? this.#nextPass : Math.min(wakeAt, this.#work.dueAt);
    if (next < Number.POSITIVE_INFINITY) this.#wake(Math.max(next, this.#nextPass));
  }

  /** Answers about claims that are gone. */
  #forget(): void {
    if (this.#uses.size === 0) return;
    const uids = new Set(this.#shelves.claims.values().map(({ meta }) => meta.uid));
    for (const uid of this.#uses.keys()) if (!uids.has(uid)) this.#uses.delete(uid);
  }

  #complain({ statefulSet, news }: Complaint): void {
    const key = `${statefulSet.meta.uid} ${news.reason} ${news.message}`;
    if (this.#complained.has(key)) return;
    if (this.#complained.size >= MAX_COMPLAINTS) this.#complained.clear();
    this.#complained.add(key);
    this.#tell({ kind: 'StatefulSet', object: statefulSet }, news);
  }

  /** Names in it may be anybody's. */
  #tell(about: About, { message, ...news }: News): void {
    this.#world.recorder.record({ kind: 'news', about, news: { ...news, message: printable(message, MAX_MESSAGE) } });
  }
}
