/**
 * Whose turn it is to have the numbers of claims that several pods of the node name. Pure: it looks at pods and grants, and leaves
 * in each demand the claims that the pod may have in this pass. The pod that has a number keeps it until the next one was given it.
 */
import { type ClaimKnowledge, claimKey } from '../core/claim.ts';
import { append } from '../core/declared.ts';
import type { Ledger } from '../core/ledger.ts';
import type { Grant } from '../core/state.ts';
import { isPast, successorOf } from '../core/succession.ts';
import type { Unit } from '../core/unit.ts';
import type { Pod, Protocol } from '../core/vocabulary.ts';
import { handoverOf, isOpen, numberOf, resolveClaim } from './claimdemand.ts';
import type { ClaimUse } from './claims.ts';
import { bundlesOf, type Demand } from './demand.ts';

/** A pod names the claim, and another has its number. */
export interface OthersTurn {
  readonly demand: Demand;
  /** Who has the number, or comes before this pod; undefined: a pod of which it is not known whether it is gone. */
  readonly owner: Pod | undefined;
  /** The pod had its turn, or none is to come. */
  readonly past: boolean;
  /** It gets the number as soon as it is ready; otherwise not before the owner has ended. */
  readonly onReady: boolean;
  /** The owner has it at other addresses of the node than this pod is to have it: a live pod's number is not led there in one step. */
  readonly elsewhere: boolean;
  /** Nobody has answered yet whether the number is still the claim's, and was when this pod came. */
  readonly unheard: boolean;
}

/** The claims that pods name. */
export function* claimUses(demands: Iterable<Demand>): Generator<ClaimUse> {
  for (const { claims = [], pod } of demands) {
    for (const { claim = '' } of claims) yield { namespace: pod.namespace, claim, uid: pod.uid };
  }
}

export interface TurnView {
  readonly ledger: Ledger;
  readonly known: (namespace: string, claim: string) => ClaimKnowledge;
  /** What is known is no older than the pod. */
  readonly hasHeard: (use: ClaimUse) => boolean;
  /** A rule leads to the pod from the number of this part of its demand. */
  readonly stands: (part: Demand) => boolean;
  /** The pod's addresses are its own: no newer pod has one of them. */
  readonly reaches: (part: Demand) => boolean;
  /** The kernel refused the pod's rules lately: whoever has a number that it could have keeps it. */
  readonly isHeldBack: (uid: string) => boolean;
  /** The uids of pods that only an earlier agent saw, and that may live. */
  readonly suspects: ReadonlySet<string>;
  /** By uid of pods that were given nothing at the last look: the claim, or '' for a pool, that had no number for them. */
  readonly refused: ReadonlyMap<string, string>;
}

/** One claim. */
interface Turn {
  readonly claim: string;
  /** By uid of the pod. */
  readonly parts: ReadonlyMap<string, Demand>;
  readonly holder: Pod | undefined;
  /** Who is to have the number, the holder as a rule; undefined: nobody can be given it now. */
  readonly next: Pod | undefined;
  readonly onReady: boolean;
  /** The uids of those of whom an earlier agent may have known more. */
  readonly unheard: ReadonlySet<string>;
  /** The uids of those who could be given it, if the pools have what they ask for besides. */
  readonly able: readonly string[];
}

const NO_TURNS: readonly OthersTurn[] = [];
const NO_DEMANDS: readonly Demand[] = [];

export class Turns {
  /** Before anything is given: with the claims that each pod has, or is to be given. */
  readonly demands: ReadonlyMap<string, Demand>;
  readonly #assessed: ReadonlyMap<string, Demand>;
  readonly #turns = new Map<string, Turn>();
  #numbers: ReadonlySet<string> = new Set();
  #others = new Map<string, OthersTurn[]>();
  #former = new Map<string, Demand[]>();

  constructor(assessed: ReadonlyMap<string, Demand>, view: TurnView) {
    this.#assessed = assessed;
    const claims = Map.groupBy(
      [...assessed.values()].flatMap(({ claims = [] }) => claims),
      ({ pod, claim = '' }) => claimKey(pod.namespace, claim),
    );
    if (claims.size > 0) {
      const grants = grantsByClaim(view.ledger);
      for (const [key, parts] of claims) this.#turns.set(key, turnOf(parts, grants.get(key) ?? [], assessed, view));
      this.#numbers = numbersOf(this.#turns.values());
    }
    this.demands = this.#with(({ holder, next }, { uid }) => uid === holder?.uid || uid === next?.uid);
  }

  /** The number is that of a claim which some pod names, whether or not a pod has it. */
  readonly isClaimed = (protocol: Protocol, port: number): boolean => this.#numbers.has(`${protocol}/${port}`);

  /**
   * What is given together or not at all, in this pass. Numbers of claims are given to the pods whose turn comes: a holder that is to
   * be followed keeps what it has until then, and is given nothing.
   */
  bundles(): readonly (readonly Demand[])[] {
    const demands = this.#with(({ next }, { uid }) => uid === next?.uid);
    return [...demands.values()].flatMap(bundlesOf);
  }

  /** Nobody has a number, as there was nothing else that its next pod needs besides, and another could have it. */
  couldGoOn(refused: TurnView['refused']): boolean {
    return [...this.#turns.values()].some(({ claim, holder, next, able }) => {
      const lacks = (uid: string) => lacksOther(uid, claim, refused);
      return holder === undefined && next !== undefined && lacks(next.uid) && able.some((uid) => !lacks(uid));
    });
  }

  /** After numbers were given: the demands with the claims that each pod has, and no others. */
  settle(isGranted: (demand: Demand, unit: Unit) => boolean): ReadonlyMap<string, Demand> {
    this.#others = new Map();
    this.#former = new Map();
    const owners = new Map<Turn, Pod | undefined>();
    for (const turn of this.#turns.values()) {
      const { parts, holder, next } = turn;
      const taken = next !== undefined && isServed(parts.get(next.uid), isGranted);
      const owner = taken ? next : (holder ?? next);
      owners.set(turn, owner);
      for (const [uid, part] of parts)
        if (uid !== owner?.uid && numberOf(part) !== undefined) append(this.#former, uid, part);
    }
    return this.#with((turn, pod, demand) => {
      const owner = owners.get(turn);
      if (owner?.uid === pod.uid) return true;
      const past = owner !== undefined && isPast(pod, owner);
      const held = owner && turn.parts.get(owner.uid);
      const elsewhere = held !== undefined && held.hostIP !== demand.hostIP;
      const unheard = turn.unheard.has(pod.uid);
      append(this.#others, pod.uid, { demand, owner, past, onReady: turn.onReady && !elsewhere, elsewhere, unheard });
      return false;
    });
  }

  /** The claims of this pod that others have, once settled. */
  othersOf(uid: string): readonly OthersTurn[] {
    return this.#others.get(uid) ?? NO_TURNS;
  }

  /** What leads to this pod only if it had a claim's number before: it may have open connections, whatever becomes of its turn. */
  formerOf(uid: string): readonly Demand[] {
    return this.#former.get(uid) ?? NO_DEMANDS;
  }

  /** `has` is asked for every claim with a number; one without stays with all its pods, who are told so. */
  #with(has: (turn: Turn, pod: Pod, demand: Demand) => boolean): ReadonlyMap<string, Demand> {
    if (this.#turns.size === 0) return this.#assessed;
    const demands = new Map(this.#assessed);
    for (const [uid, demand] of this.#assessed) {
      if (demand.claims === undefined) continue;
      const kept = demand.claims.flatMap(({ pod, claim = '' }) => {
        const turn = this.#turns.get(claimKey(pod.namespace, claim)) as Turn;
        const part = turn.parts.get(uid) as Demand;
        return !takesPart(part, turn.holder) || has(turn, pod, part) ? [part] : [];
      });
      demands.set(uid, withClaims(demand, kept));
    }
    return demands;
  }
}

function turnOf(
  raw: readonly Demand[],
  grants: readonly Grant[],
  assessed: ReadonlyMap<string, Demand>,
  { known, hasHeard, ledger, stands, reaches, isHeldBack, suspects, refused }: TurnView,
): Turn {
  const [
    {
      pod: { namespace },
      claim = '',
    },
  ] = raw as [Demand];
  const knowledge = known(namespace, claim);
  const remembered = grants.at(-1)?.hostPort;
  const given = new Set(grants.map((grant) => grant.uid));
  const isHeld = raw.some(({ pod }) => given.has(pod.uid));
  // While a pod has the number and nobody has answered yet, the others are told nothing, and keep what they were promised.
  const isTold = knowledge.kind !== 'bound' && isHeld;
  const unheard = new Set(
    raw.map(({ pod }) => pod.uid).filter((uid) => !given.has(uid) && !hasHeard({ namespace, claim, uid })),
  );
  const waits = (uid: string) => !isTold && unheard.has(uid);
  const parts = new Map(
    raw.map((part) => [part.pod.uid, resolveClaim(part, knowledge, remembered, waits(part.pod.uid))]),
  );
  const standing = grants.filter((grant) => !ledger.isLeaving(grant));
  const holder = holderOf(parts, standing, stands);
  const onReady = handoverOf(knowledge) === 'OnReady';
  // Whether the pod that has the number lives is not known yet.
  if (holder === undefined && standing.some(({ uid }) => suspects.has(uid))) {
    return { claim, parts, holder, next: undefined, onReady, unheard, able: [] };
  }
  const numbered = [...parts.values()].filter(isNumbered);
  const able = numbered.filter((part) => isOpen(part) && assessed.get(part.pod.uid)?.denied === undefined);
  const served = able.filter(
    (part) => !lacksOther(part.pod.uid, claim, refused) && reaches(part) && !isHeldBack(part.pod.uid),
  );
  const candidates = candidatesOf(numbered, served, holder && parts.get(holder.uid)).map(({ pod }) => pod);
  const next = successorOf(candidates, holder, handoverOf(knowledge));
  return { claim, parts, holder, next, onReady, unheard, able: able.map(({ pod: { uid } }) => uid) };
}

/** The pod could not be given what it needs besides this claim's number: it would not be served with that either. */
function lacksOther(uid: string, claim: string, refused: TurnView['refused']): boolean {
  const lacking = refused.get(uid);
  return lacking !== undefined && lacking !== claim;
}

/**
 * Who has the number: whoever was given it, unless the rule of another pod stands still in its place. Then a hand-over was not carried
 * out, and whose turn comes is judged anew.
 */
function holderOf(
  parts: ReadonlyMap<string, Demand>,
  standing: readonly Grant[],
  stands: TurnView['stands'],
): Pod | undefined {
  const given = standing.flatMap(({ uid }) => parts.get(uid) ?? []);
  const holder = given.reduce<Demand | undefined>(
    (found, part) => (found === undefined || !isPast(part.pod, found.pod) ? part : found),
    undefined,
  );
  if (holder === undefined || parts.size === 1 || stands(holder)) return holder?.pod;
  return ([...parts.values()].find(stands) ?? holder).pod;
}

/** Who could have the number next: where nobody has it, somebody who would be served with it if there is one. */
function candidatesOf(
  numbered: readonly Demand[],
  served: readonly Demand[],
  holder: Demand | undefined,
): readonly Demand[] {
  if (holder !== undefined) return served.filter(follower(holder));
  const reached = served.filter(({ podIPs }) => podIPs.length > 0);
  return [reached, served, numbered].find(({ length }) => length > 0) ?? numbered;
}

/** Whom a live pod's number can be led to in one step: at the same address of the node, with one of its own. */
function follower(holder: Demand): (part: Demand) => boolean {
  return ({ podIPs, hostIP }) => podIPs.length > 0 && hostIP === holder.hostIP;
}

/** The claim has a number, and the pod may be given it. */
function isNumbered(part: Demand): boolean {
  return part.denied === undefined && part.awaited === undefined && numberOf(part) !== undefined;
}

/** The same, or the pod had its turn: what becomes of the claim is of no interest to it. */
function takesPart(part: Demand, holder: Pod | undefined): boolean {
  if (isNumbered(part)) return true;
  const { pod } = part;
  return numberOf(part) !== undefined && holder !== undefined && holder.uid !== pod.uid && isPast(pod, holder);
}

function isServed(part: Demand | undefined, isGranted: (demand: Demand, unit: Unit) => boolean): boolean {
  return part?.units.every((unit) => isGranted(part, unit)) === true;
}

function grantsByClaim(ledger: Ledger): ReadonlyMap<string, readonly Grant[]> {
  const byClaim = new Map<string, Grant[]>();
  for (const grant of ledger.grants()) {
    if (grant.claim === undefined) continue;
    append(byClaim, claimKey(grant.namespace, grant.claim), grant);
  }
  return byClaim;
}

function numbersOf(turns: Iterable<Turn>): ReadonlySet<string> {
  const numbers = new Set<string>();
  for (const { parts } of turns) {
    for (const part of parts.values()) {
      for (const { exact, protocols } of part.units)
        if (exact !== undefined) for (const protocol of protocols) numbers.add(`${protocol}/${exact}`);
    }
  }
  return numbers;
}

const chosen = new WeakMap<Demand, { readonly claims: readonly Demand[]; readonly demand: Demand }>();

/** The same object as long as the same claims are chosen. */
function withClaims(demand: Demand, claims: readonly Demand[]): Demand {
  const known = chosen.get(demand);
  if (known?.claims.length === claims.length && known.claims.every((one, index) => one === claims[index]))
    return known.demand;
  const result = { ...demand, claims };
  chosen.set(demand, { claims, demand: result });
  return result;
}
