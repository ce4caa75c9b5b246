/**
 * Carries out steps. What was seen may be old: before something is done that could give one number to two claims, the API server is
 * asked what is so now, in an order that leaves no room between.
 *
 * A claim becomes bound by a write that names the claim's revision r, after its HostPort was read (or written) later than r.
 * A HostPort is taken from a claim without a number by (1) deleting it, which its finalizer only marks, (2) a write to the claim, (3)
 * removing the finalizer. Whoever read the HostPort before (1) writes by a revision from before (2) and is refused, or was
 * faster, and then (2) is refused; whoever reads it after (2) sees that it is being deleted. From a claim that is gone, or is
 * bound to another number, it can be taken at once: neither is ever undone.
 */

import { nameOfNumber, numberOfName } from '../core/claims/numbers.ts';
import {
  type Claim,
  type ClaimName,
  FINALIZER,
  type HostPort,
  hasFinalizer,
  isTied,
  type Target,
} from '../core/claims/objects.ts';
import { isSame } from '../core/claims/same.ts';
import type { News, Owned, Step } from '../core/claims/steps.ts';
import type { Uses } from '../core/claims/view.ts';
import type { About, ClaimApi, PodUse, Seen, Written } from './ports.ts';
import type { Shelves } from './shelves.ts';
import { Ties } from './ties.ts';

/** `stale`: nothing, or not all of it, was done, because what was seen was old. */
export type Outcome = 'done' | 'stale';

/** As many pods are named that hold up the end of a claim. */
const NAMED = 5;
/** How soon the pods of a namespace are listed again for a claim that they hold up, in ms: less and less often while they are the same. */
const ASK_AGAIN_MS = { first: 10_000, cap: 60_000 } as const;

export interface CarrierOptions {
  readonly api: ClaimApi;
  readonly shelves: Shelves;
  readonly uses: Map<string, Uses>;
  readonly monotonic: () => number;
  readonly tell: (about: About, news: News) => void;
}

type StepOf<K extends Step['kind']> = Extract<Step, { readonly kind: K }>;

export class Carrier {
  readonly #options: CarrierOptions;
  readonly #ties: Ties;

  constructor(options: CarrierOptions) {
    this.#options = options;
    this.#ties = new Ties(options);
  }

  /** Rejects when the API server gave no answer; then it is not known what was done. */
  async carry(step: Step): Promise<Outcome> {
    const outcome = await this.#carry(step);
    if (outcome === 'done' && 'news' in step && step.news !== undefined) this.#options.tell(aboutOf(step), step.news);
    return outcome;
  }

  async #carry(step: Step): Promise<Outcome> {
    const { api } = this.#options;
    switch (step.kind) {
      case 'hold':
        return this.#hold(step.owned);
      case 'tell-class':
        return this.#take('class', await api.setStatus('class', targetOf(step.object), step.status));
      case 'tell-claim':
        return this.#take('claim', await api.setStatus('claim', targetOf(step.object), step.status));
      case 'tell-hostport':
        return this.#take('hostport', await api.setStatus('hostport', targetOf(step.object), step.status));
      case 'bind':
        return this.#bind(step);
      case 'remake':
        return this.#remake(step);
      case 'restore':
        return this.#restore(step);
      case 'lose':
        return this.#lose(step);
      case 'retain':
        if (!(await this.#isAbandoned(step.hostPort))) return 'stale';
        return this.#take('hostport', await api.setStatus('hostport', targetOf(step.hostPort), step.status));
      case 'release':
        return this.#release(step);
      case 'withdraw':
        return this.#withdraw(step);
      case 'let-go':
        return this.#letGo(step.hostPort);
      case 'ask':
        return this.#ask(step);
      case 'finish':
        return this.#free('claim', step.claim);
      case 'retire':
        return this.#retire(step);
      case 'provide':
        return this.#take('claim', await api.makeClaim(step.claim, step.className, step.statefulSet));
    }
  }

  async #hold({ kind, object }: Owned): Promise<Outcome> {
    const { api } = this.#options;
    return this.#take(kind, await api.setFinalizers(kind, targetOf(object), [...object.meta.finalizers, FINALIZER]));
  }

  async #bind({ claim, className, source, status }: StepOf<'bind'>): Promise<Outcome> {
    const { api } = this.#options;
    const hostPort = await this.#sourced(claim, className, source);
    if (hostPort === undefined || !isFor(claim, className, hostPort)) return 'stale';
    return this.#take('claim', await api.setStatus('claim', targetOf(claim), status));
  }

  /** The HostPort as it is now, after the claim's revision was seen. */
  async #sourced(claim: Claim, className: string, source: StepOf<'bind'>['source']): Promise<HostPort | undefined> {
    const { api } = this.#options;
    if (source.kind === 'have') return this.#look(source.hostPort.meta.name);
    const written =
      source.kind === 'make'
        ? await api.makeHostPort(source.number, className, refOf(claim))
        : await api.setClaimRef(targetOf(source.hostPort), refOf(claim), held(source.hostPort));
    if (this.#take('hostport', written) === 'done' && written.kind === 'written') return written.object;
    // So that the next look is not as old as this one.
    await this.#look(source.kind === 'make' ? nameOfNumber(source.number) : source.hostPort.meta.name);
    return undefined;
  }

  async #remake({ claim, className, number }: StepOf<'remake'>): Promise<Outcome> {
    const { api } = this.#options;
    const name = nameOfNumber(number);
    if (!(await this.#isBoundTo(claim, name))) return 'stale';
    const outcome = this.#take('hostport', await api.makeHostPort(number, className, refOf(claim)));
    if (outcome === 'stale') await this.#look(name);
    return outcome;
  }

  async #restore({ claim, hostPort }: StepOf<'restore'>): Promise<Outcome> {
    const { api } = this.#options;
    if (!(await this.#isBoundTo(claim, hostPort.meta.name))) return 'stale';
    return this.#take('hostport', await api.setClaimRef(targetOf(hostPort), refOf(claim), hostPort.meta.finalizers));
  }

  async #lose({ claim, status }: StepOf<'lose'>): Promise<Outcome> {
    const { api } = this.#options;
    const hostPort = await this.#look(claim.status.hostPortName);
    const ref = hostPort?.claimRef;
    if (hostPort === undefined || ref?.uid === undefined || ref.uid === claim.meta.uid) return 'stale';
    const other = await this.#lookForClaim(ref);
    if (other?.meta.uid !== ref.uid || other.status.hostPortName !== hostPort.meta.name) return 'stale';
    return this.#take('claim', await api.setStatus('claim', targetOf(claim), status));
  }

  async #release({ hostPort, keep }: StepOf<'release'>): Promise<Outcome> {
    const { api } = this.#options;
    if (!(await this.#isAbandoned(hostPort))) return 'stale';
    if (!keep) return this.#remove(hostPort);
    return this.#take('hostport', await api.setClaimRef(targetOf(hostPort), undefined, hostPort.meta.finalizers));
  }

  async #withdraw({ hostPort, claim, status }: StepOf<'withdraw'>): Promise<Outcome> {
    const { api } = this.#options;
    const now = await this.#lookForClaim(claim.meta);
    if (now?.meta.uid !== claim.meta.uid || isTied(now)) return 'stale';
    const marked = await this.#mark(hostPort);
    if (marked === undefined) return 'stale';
    // What it is told names this life of the HostPort, and is written to nobody before that is being deleted.
    if (!isSame(status, now.status)) {
      const told = this.#take('claim', await api.setStatus('claim', targetOf(now), status));
      if (told === 'stale') return told;
    }
    return this.#free('hostport', marked);
  }

  /** That a claim has it can have been erased by hand, but not that the claim says so. */
  async #letGo(hostPort: HostPort): Promise<Outcome> {
    const { name } = hostPort.meta;
    // What is no number is nobody's, whatever stands in a claim.
    if (numberOfName(name) !== undefined && (await this.#ties.since(hostPort)).has(name)) return 'stale';
    return this.#free('hostport', hostPort);
  }

  async #ask({ namespace, claims }: StepOf<'ask'>): Promise<Outcome> {
    const { api, uses, monotonic } = this.#options;
    const pods = await api.podsOf(namespace);
    const at = monotonic();
    for (const { meta, status, deletedAt } of claims) {
      // Later ones wait for the next claim of this name: were they counted, a StatefulSet would hold up its own claim for ever.
      const holds = (pod: PodUse) => status.heldBy?.includes(pod.uid) ?? !isLater(pod, deletedAt);
      const users = pods.filter((one) => one.claims.includes(meta.name) && holds(one));
      const names = users.map(({ pod }) => pod).sort();
      const uids = users.map(({ uid }) => uid).sort();
      const wait = waitAfter(uses.get(meta.uid), uids, at);
      uses.set(meta.uid, { pods: names.slice(0, NAMED), uids, count: users.length, at, wait });
    }
    return 'done';
  }

  async #retire({ object }: StepOf<'retire'>): Promise<Outcome> {
    const { api, shelves } = this.#options;
    const left = (await api.hostPorts()).filter(({ className }) => className === object.meta.name);
    for (const hostPort of left) shelves.hostPorts.put(hostPort);
    return left.length > 0 ? 'stale' : this.#free('class', object);
  }

  async #remove(hostPort: HostPort): Promise<Outcome> {
    const marked = await this.#mark(hostPort);
    return marked === undefined ? 'stale' : this.#free('hostport', marked);
  }

  /** It is being deleted, if it is still as it was seen. */
  async #mark(hostPort: HostPort): Promise<HostPort | undefined> {
    if (hostPort.meta.deleting) return hostPort;
    const removed = await this.#options.api.removeHostPort(targetOf(hostPort));
    this.#take('hostport', removed);
    return removed.kind === 'written' ? removed.object : undefined;
  }

  /** Nothing relies on it any more. */
  async #free<K extends Owned['kind']>(kind: K, object: Seen[K]): Promise<Outcome> {
    const rest = object.meta.finalizers.filter((one) => one !== FINALIZER);
    return this.#take(kind, await this.#options.api.setFinalizers(kind, targetOf(object), rest));
  }

  /** Its claim is gone, or has another number: both are so for good. */
  async #isAbandoned({ claimRef, meta }: HostPort): Promise<boolean> {
    const claim = claimRef && (await this.#lookForClaim(claimRef));
    if (claim === undefined || claim.meta.uid !== claimRef?.uid) return true;
    return isTied(claim) && claim.status.hostPortName !== meta.name;
  }

  async #isBoundTo({ meta }: Claim, hostPortName: string): Promise<boolean> {
    const now = await this.#lookForClaim(meta);
    return now !== undefined && now.meta.uid === meta.uid && now.status.hostPortName === hostPortName;
  }

  async #look(name: string): Promise<HostPort | undefined> {
    const { api, shelves } = this.#options;
    const hostPort = await api.hostPort(name);
    if (hostPort !== undefined) shelves.hostPorts.put(hostPort);
    return hostPort;
  }

  async #lookForClaim(name: ClaimName): Promise<Claim | undefined> {
    const { api, shelves } = this.#options;
    const claim = await api.claim(name);
    if (claim !== undefined) shelves.claims.put(claim);
    return claim;
  }

  #take<K extends Owned['kind']>(kind: K, written: Written<Seen[K]>): Outcome {
    if (written.kind === 'stale') return 'stale';
    this.#options.shelves.of(kind).put(written.object);
    return 'done';
  }
}

/** Whether the claim may say that this HostPort, as it is now, is its own. One that it has already is kept for it while it is deleted. */
function isFor(claim: Claim, className: string, hostPort: HostPort): boolean {
  const kept = !hostPort.meta.deleting || claim.status.hostPortName === hostPort.meta.name;
  return (
    kept && hasFinalizer(hostPort) && hostPort.className === className && hostPort.claimRef?.uid === claim.meta.uid
  );
}

/** It came when the claim was being deleted already, and was given nothing. Clocks of API servers alone do not decide that. */
function isLater({ created, promised }: PodUse, deletedAt: string): boolean {
  return !promised && deletedAt !== '' && created > deletedAt;
}

/** Answers that came before this claim's turn, for another one's, make it no longer. */
function waitAfter(before: Uses | undefined, uids: readonly string[], at: number): number {
  const { first, cap } = ASK_AGAIN_MS;
  if (before === undefined || !isSame(before.uids, uids)) return first;
  return at < before.at + before.wait ? before.wait : Math.min(cap, before.wait * 2);
}

function held(hostPort: HostPort): readonly string[] {
  return hasFinalizer(hostPort) ? hostPort.meta.finalizers : [...hostPort.meta.finalizers, FINALIZER];
}

function refOf({ meta }: Claim): ClaimName & { readonly uid: string } {
  return { namespace: meta.namespace, name: meta.name, uid: meta.uid };
}

export function targetOf({ meta }: { readonly meta: Target }): Target {
  const { namespace, name, uid, revision, finalizers } = meta;
  return { ...(namespace === undefined ? {} : { namespace }), name, uid, revision, finalizers };
}

function aboutOf(step: Extract<Step, { readonly news?: News }>): About {
  switch (step.kind) {
    case 'tell-class':
      return { kind: 'HostPortClass', object: step.object };
    case 'retain':
    case 'release':
      return { kind: 'HostPort', object: step.hostPort };
    case 'tell-claim':
      return { kind: 'HostPortClaim', object: step.object };
    default:
      return { kind: 'HostPortClaim', object: step.claim };
  }
}
