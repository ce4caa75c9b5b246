/**
 * What is known of the claims that the node's pods name, and the questions by which it is found out. Beside the passes: an answer
 * that is long in coming holds nothing up (I8). What was known stays known while nobody answers.
 */
import { type ClaimKnowledge, type ClaimStatus, claimKey } from '../core/claim.ts';
import { messageOf } from '../core/errors.ts';
import type { Clock, Random, World } from './ports.ts';
import { TokenBucket } from './tokenbucket.ts';

/** How many questions are open at a time; those that failed do not keep their place. */
const ASKED_AT_ONCE = 8;
/** Questions to the API server, however many claims pods name: a rate, and a reserve for bursts (I10). */
const ASKS_PER_SECOND = 20;
const ASK_BURST = 250;
/** How soon a claim that has no number, or of which there was no answer, is asked for again, in ms: doubling, jittered. */
const WAIT_MS = { first: 1_000, cap: 30_000 } as const;
/** The number of a bound claim does not change; that it is gone, or that its class says otherwise now, is no hurry. */
const REFRESH_MS = 300_000;

const NOBODY: ReadonlySet<string> = new Set();
const UNASKED: ClaimKnowledge = { kind: 'unasked' };
const UNSUPPORTED: ClaimKnowledge = { kind: 'unsupported' };

/** A pod names it. */
export interface ClaimUse {
  readonly namespace: string;
  readonly claim: string;
  readonly uid: string;
}

interface Entry {
  readonly namespace: string;
  readonly claim: string;
  /** Of the pods that name it. */
  uids: ReadonlySet<string>;
  /** Of the pods that named it when what was answered last was asked. */
  heard: ReadonlySet<string>;
  knowledge: ClaimKnowledge;
  asking: boolean;
  /** Answers in a row that gave no number. */
  fruitless: number;
  /** Monotonic ms. */
  dueAt: number;
}

export class Claims {
  readonly #source: World['claims'];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #onFailure: (error: Error) => void;
  readonly #onAnswered: () => void;
  readonly #onChange: () => void;
  readonly #entries = new Map<string, Entry>();
  readonly #bucket: TokenBucket;
  /** When each namespace had its last turn, counted: those of one that names many claims hold up no other (I8). */
  #turns = new Map<string, number>();
  #turn = 0;
  #open = 0;
  #failing = false;
  #stopped = false;
  #cancelTimer: () => void = () => {};

  /** `onChange`: something is known that was not known before. */
  constructor(
    { claims, clock, random, recorder }: Pick<World, 'claims' | 'clock' | 'random' | 'recorder'>,
    onChange: () => void,
  ) {
    this.#source = claims;
    this.#clock = clock;
    this.#random = random;
    this.#onChange = onChange;
    this.#bucket = new TokenBucket(clock, ASKS_PER_SECOND, ASK_BURST);
    this.#onFailure = (error) => {
      this.#failing = true;
      recorder.record({ kind: 'failure', operation: 'claims', error });
    };
    this.#onAnswered = () => {
      if (this.#failing) recorder.record({ kind: 'recovered', operation: 'claims' });
      this.#failing = false;
    };
  }

  /** The same object as long as it says the same. */
  known(namespace: string, claim: string): ClaimKnowledge {
    if (this.#source === undefined) return UNSUPPORTED;
    return this.#entries.get(claimKey(namespace, claim))?.knowledge ?? UNASKED;
  }

  /**
   * What is known was asked for when this pod was there already. The number of a claim that is being deleted is kept for the
   * pods that were there before: to a later one an older answer would give what is another claim's soon.
   */
  hasHeard({ namespace, claim, uid }: ClaimUse): boolean {
    return this.#entries.get(claimKey(namespace, claim))?.heard.has(uid) === true;
  }

  /** From now on these are asked for, and no others. One that another pod names now is asked for at once. */
  follow(uses: Iterable<ClaimUse>): void {
    if (this.#source === undefined || this.#stopped) return;
    const now = this.#clock.monotonic();
    const wanted = new Map<string, { namespace: string; claim: string; uids: Set<string> }>();
    for (const { namespace, claim, uid } of uses) {
      const key = claimKey(namespace, claim);
      const known = wanted.get(key);
      if (known === undefined) wanted.set(key, { namespace, claim, uids: new Set([uid]) });
      else known.uids.add(uid);
    }
    if (wanted.size === 0 && this.#entries.size === 0) return;
    for (const key of this.#entries.keys()) if (!wanted.has(key)) this.#entries.delete(key);
    if (this.#entries.size === 0) this.#turns = new Map();
    for (const [key, { namespace, claim, uids }] of wanted) {
      const entry = this.#entries.get(key);
      if (entry === undefined) {
        const fresh = {
          knowledge: UNASKED,
          heard: NOBODY,
          asking: false,
          fruitless: 0,
          dueAt: now,
        };
        this.#entries.set(key, { namespace, claim, uids, ...fresh });
        continue;
      }
      if (!uids.isSubsetOf(entry.uids)) {
        entry.fruitless = 0;
        entry.dueAt = Math.min(entry.dueAt, now);
      }
      entry.uids = uids;
    }
    this.#ask();
  }

  /** Nothing is asked any more. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
  }

  #ask(): void {
    if (this.#stopped) return;
    const now = this.#clock.monotonic();
    let next = Number.POSITIVE_INFINITY;
    const due = new Set<Entry>();
    for (const entry of this.#entries.values()) {
      if (entry.asking) continue;
      if (entry.dueAt > now) next = Math.min(next, entry.dueAt);
      else due.add(entry);
    }
    while (due.size > 0 && this.#open < ASKED_AT_ONCE && this.#bucket.take()) {
      const entry = this.#nextOf(due);
      due.delete(entry);
      void this.#askFor(entry);
    }
    // Where all hands are full the next answer goes on.
    if (due.size > 0 && this.#open < ASKED_AT_ONCE) next = Math.min(next, now + this.#bucket.waitMs);
    this.#cancelTimer();
    this.#cancelTimer =
      next === Number.POSITIVE_INFINITY ? () => {} : this.#clock.after(Math.max(1, next - now), () => this.#ask());
  }

  /** Of the namespace whose last turn is longest ago, what is due longest. */
  #nextOf(due: ReadonlySet<Entry>): Entry {
    const turnOf = ({ namespace }: Entry) => this.#turns.get(namespace) ?? 0;
    const isBefore = (one: Entry, other: Entry) =>
      turnOf(one) === turnOf(other) ? one.dueAt < other.dueAt : turnOf(one) < turnOf(other);
    const next = [...due].reduce((found, entry) => (isBefore(entry, found) ? entry : found));
    this.#turns.set(next.namespace, ++this.#turn);
    return next;
  }

  async #askFor(entry: Entry): Promise<void> {
    this.#open++;
    entry.asking = true;
    const { uids } = entry;
    let status: ClaimStatus | undefined;
    let failure: Error | undefined;
    try {
      status = await this.#source?.get(entry.namespace, entry.claim);
    } catch (error) {
      failure = error instanceof Error ? error : new Error(messageOf(error));
    }
    this.#open--;
    entry.asking = false;
    if (this.#stopped) return;
    if (failure === undefined) this.#onAnswered();
    else this.#onFailure(failure);
    this.#conclude(entry, status ?? whatIsLeft(entry.knowledge, failure), failure === undefined ? uids : undefined);
    this.#ask();
  }

  /** `heard`: the pods that named it when it was asked for; undefined: nobody answered. */
  #conclude(entry: Entry, knowledge: ClaimKnowledge, heard: Entry['heard'] | undefined): void {
    const isBound = knowledge.kind === 'bound' && heard !== undefined;
    entry.fruitless = isBound ? 0 : entry.fruitless + 1;
    const wait = isBound
      ? REFRESH_MS * 1.25
      : Math.min(WAIT_MS.cap, WAIT_MS.first * 2 ** Math.min(entry.fruitless, 10));
    const isBehind = heard !== undefined && !entry.uids.isSubsetOf(heard);
    entry.dueAt = this.#clock.monotonic() + (isBehind ? 0 : wait * (0.5 + this.#random() / 2));
    const isNews = heard !== undefined && !heard.isSubsetOf(entry.heard);
    entry.heard = heard ?? entry.heard;
    const isSame = JSON.stringify(entry.knowledge) === JSON.stringify(knowledge);
    if (!isSame) entry.knowledge = knowledge;
    else if (!isNews) return;
    // Of what nobody names any more nobody need hear.
    if (this.#entries.get(claimKey(entry.namespace, entry.claim)) === entry) this.#onChange();
  }
}

/** Nobody answered: an answer that was there before counts still. */
function whatIsLeft(before: ClaimKnowledge, failure: Error | undefined): ClaimKnowledge {
  if (before.kind === 'bound' || before.kind === 'pending') return before;
  return { kind: 'unreachable', message: failure === undefined ? 'there was no answer' : failure.message };
}
