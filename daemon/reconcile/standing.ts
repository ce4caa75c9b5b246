/** Where each pod stands in a pass: what it wants, what it was promised, what is wrong. Pure. */
import { parseAddress } from '../core/address.ts';
import { messageOf } from '../core/errors.ts';
import type { Ledger } from '../core/ledger.ts';
import { isActive, isNewer } from '../core/podstate.ts';
import { printable, quoted } from '../core/text.ts';
import { type Mapping, type Pod, type Problem, podLabel } from '../core/vocabulary.ts';
import { numberOf } from './claimdemand.ts';
import { type Demand, partsOf } from './demand.ts';
import type { OthersTurn } from './turns.ts';
import { mappingsOf, reuse, turnMappings } from './wanted.ts';

const NO_ADDRESS: readonly string[] = [];

/** What other pods have of a pod's claims. */
export interface Others {
  readonly turnsOf: (uid: string) => readonly OthersTurn[];
  readonly formerOf: (uid: string) => readonly Demand[];
  /** What drained in the last pass, by mappingKey. */
  readonly draining: ReadonlyMap<string, Mapping>;
}

const NOBODY: Others = { turnsOf: () => [], formerOf: () => [], draining: new Map() };

/** The state of one pod as it is to be told. */
export interface PodStanding {
  readonly pod: Pod;
  readonly demand: Demand | undefined;
  /** Every mapping that has its number, with or without an address. */
  readonly promised: readonly Mapping[];
  readonly problem: Problem | undefined;
  /** Of claims: ports whose number another pod has now, as they were: connections stay with this pod until it has ended. */
  readonly draining: readonly Mapping[];
  /** Another pod has the number of a claim: whether it was handed over, or is still to come. */
  readonly turn?: { readonly reason: 'HandedOver' | 'HandoverPending'; readonly message: string };
  /** What it would be promised nobody has confirmed: it may have been told so by an earlier agent, and is told nothing. */
  readonly unheard?: true;
}

/** `before`: the mappings of the last pass, by mappingKey: those that are the same stay the same objects. */
export function standingsOf(
  pods: readonly Pod[],
  demands: ReadonlyMap<string, Demand>,
  problems: ReadonlyMap<string, Problem>,
  ledger: Ledger,
  before: ReadonlyMap<string, Mapping>,
  others: Others = NOBODY,
): readonly PodStanding[] {
  const owners = addressOwners(pods);
  return pods.map((pod) => {
    const demand = demands.get(pod.uid);
    const problem = problems.get(pod.uid);
    if (demand === undefined) return { pod, demand, promised: [], problem, draining: [] };
    const parts = partsOf(demand);
    const turns = others.turnsOf(pod.uid);
    const newer = [...parts, ...turns.map((turn) => turn.demand)]
      .map(({ podIPs }) => otherOwner(pod, podIPs, owners))
      .find((other) => other !== undefined);
    const own = parts.flatMap((part) =>
      mappingsOf(part, ledger, newer === undefined ? part.podIPs : NO_ADDRESS, before),
    );
    // The number is known, and the pod may count on it: it is promised, and leads nowhere as yet.
    const promised = turns.length === 0 ? own : [...own, ...turns.flatMap((turn) => turnPromises(turn, before))];
    const former = newer === undefined ? others.formerOf(pod.uid) : [];
    const draining = former.flatMap((part) => drains(part, others.draining));
    const turn = turns[0] && turnOf(turns[0]);
    const standing = { pod, demand, promised, problem: problem ?? (newer && lostAddress(pod, newer)), draining };
    const unheard = turns.some((one) => one.unheard);
    return turn === undefined ? standing : { ...standing, turn, ...(unheard ? { unheard } : {}) };
  });
}

function turnPromises({ demand }: OthersTurn, before: ReadonlyMap<string, Mapping>): readonly Mapping[] {
  return turnMappings(demand, NO_ADDRESS).map((mapping) => reuse(mapping, before));
}

function drains(demand: Demand, before: ReadonlyMap<string, Mapping>): readonly Mapping[] {
  if (demand.podIPs.length === 0) return [];
  return turnMappings(demand, demand.podIPs).map((mapping) => reuse(mapping, before));
}

/** How the pod is told of it. */
function turnOf({ demand, owner, past, onReady, elsewhere }: OthersTurn): NonNullable<PodStanding['turn']> {
  const { pod, claim = '' } = demand;
  const number = `host port ${numberOf(demand)} of claim ${quoted(claim)}`;
  const say = (reason: 'HandedOver' | 'HandoverPending', what: string) => ({
    reason,
    message: printable(`pod ${podLabel(pod)}: ${number} ${what}`, 1024),
  });
  if (owner === undefined)
    return say('HandoverPending', 'is with a pod of which it is not known yet whether it is gone');
  const other = `pod ${podLabel(owner)}`;
  if (past) return say('HandedOver', `leads to ${other} now; open connections stay here`);
  if (elsewhere)
    return say(
      'HandoverPending',
      `is with ${other}, at other addresses of the node (host-ip), until that one has ended`,
    );
  return say('HandoverPending', `is with ${other} until ${onReady ? 'this pod is ready' : 'that one has ended'}`);
}

/** Which pod has an address: the newest of the active pods that name it. */
export function addressOwners(pods: readonly Pod[]): ReadonlyMap<string, Pod> {
  const owners = new Map<string, Pod>();
  for (const pod of pods) {
    if (!isActive(pod) || pod.hostNetwork) continue;
    for (const ip of canonicalOnce(pod)) {
      const known = owners.get(ip);
      if (known === undefined || isNewer(pod, known)) owners.set(ip, pod);
    }
  }
  return owners;
}

const canonical = new WeakMap<Pod, readonly string[]>();

/** The same address may be written in several ways; what is no address belongs to nobody. */
function canonicalOnce(pod: Pod): readonly string[] {
  let texts = canonical.get(pod);
  if (texts === undefined) {
    texts = pod.podIPs.flatMap((ip) => parseAddress(ip)?.text ?? []);
    canonical.set(pod, texts);
  }
  return texts;
}

/** The newer pod to which one of the addresses belongs. */
export function otherOwner(pod: Pod, podIPs: readonly string[], owners: ReadonlyMap<string, Pod>): Pod | undefined {
  for (const ip of podIPs) {
    const owner = owners.get(ip);
    if (owner !== undefined && owner.uid !== pod.uid) return owner;
  }
  return undefined;
}

function lostAddress(pod: Pod, newer: Pod): Problem {
  return {
    reason: 'InvalidPodIP',
    message: `pod ${podLabel(pod)}: its address now belongs to the newer pod ${podLabel(newer)}; it is mapped again when it has an address of its own`,
  };
}

/** The standing, with the refusal of one of its rules as its problem when it has no other. */
export function withRefusal(standing: PodStanding, refusal: (mapping: Mapping) => Error | undefined): PodStanding {
  if (standing.problem !== undefined) return standing;
  for (const mapping of standing.promised) {
    const error = refusal(mapping);
    if (error === undefined) continue;
    const message = `pod ${podLabel(standing.pod)}: the kernel refused the rule of port "${mapping.name}": ${messageOf(error)}; it is tried again`;
    return { ...standing, problem: { reason: 'DatapathFailed', message } };
  }
  return standing;
}
