/** Where each pod stands in a pass: what it wants, what it was promised, what is wrong. Pure. */
import { parseAddress } from '../core/address.ts';
import { messageOf } from '../core/errors.ts';
import type { Ledger } from '../core/ledger.ts';
import { isActive, isNewer } from '../core/podstate.ts';
import { type Mapping, type Pod, type Problem, podLabel } from '../core/vocabulary.ts';
import { type Demand, partsOf } from './demand.ts';
import { mappingsOf } from './wanted.ts';

const NO_ADDRESS: readonly string[] = [];

/** The state of one pod as it is to be told. */
export interface PodStanding {
  readonly pod: Pod;
  readonly demand: Demand | undefined;
  /** Every mapping that has its number, with or without an address. */
  readonly promised: readonly Mapping[];
  readonly problem: Problem | undefined;
}

/** `before`: the mappings of the last pass, by mappingKey: those that are the same stay the same objects. */
export function standingsOf(
  pods: readonly Pod[],
  demands: ReadonlyMap<string, Demand>,
  problems: ReadonlyMap<string, Problem>,
  ledger: Ledger,
  before: ReadonlyMap<string, Mapping>,
): readonly PodStanding[] {
  const owners = addressOwners(pods);
  return pods.map((pod) => {
    const demand = demands.get(pod.uid);
    const problem = problems.get(pod.uid);
    if (demand === undefined) return { pod, demand, promised: [], problem };
    const parts = partsOf(demand);
    const newer = parts.map(({ podIPs }) => otherOwner(pod, podIPs, owners)).find((other) => other !== undefined);
    const promised = parts.flatMap((part) =>
      mappingsOf(part, ledger, newer === undefined ? part.podIPs : NO_ADDRESS, before),
    );
    return { pod, demand, promised, problem: problem ?? (newer && lostAddress(pod, newer)) };
  });
}

/** Which pod has an address: the newest of the active pods that name it. */
function addressOwners(pods: readonly Pod[]): ReadonlyMap<string, Pod> {
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

function otherOwner(pod: Pod, podIPs: readonly string[], owners: ReadonlyMap<string, Pod>): Pod | undefined {
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
