/**
 * From everything that is seen to everything that is to be done: pure, total, the same for the same view. It derives all from the
 * present, so that whoever looks next goes on where the last one was stopped.
 */
import { byAge, type ClaimPass, stepsForClaim } from './claimsteps.ts';
import { stepsForClass } from './classsteps.ts';
import { inTurn, namespaceOf } from './fairness.ts';
import { Grants } from './grant.ts';
import { stepsForHostPort } from './hostportsteps.ts';
import type { PassTime } from './moment.ts';
import { numberOfName } from './numbers.ts';
import type { HostPort, ObjectMeta } from './objects.ts';
import { type Provide, stepsForStatefulSet } from './statefulsetsteps.ts';
import type { Complaint, Step } from './steps.ts';
import { type ClaimView, Index } from './view.ts';

/** More claims than that are made for StatefulSets in the next pass. */
const MAX_PROVIDED = 500;

export interface Decision {
  /** Of each namespace in its turn. Otherwise in no order that matters: each can fail by itself, and is found again. */
  readonly steps: readonly Step[];
  readonly complaints: readonly Complaint[];
  /** Monotonic ms at which something is due without any news; Infinity: never. */
  readonly wakeAt: number;
}

export function decide(seen: ClaimView, time: PassTime): Decision {
  const view = ordered(seen);
  const index = new Index(view);
  const pass: ClaimPass = {
    index,
    grants: new Grants(index),
    time,
    verdicts: new Map(),
    ending: new Map(),
    asks: new Set(),
    wakeAt: Number.POSITIVE_INFINITY,
  };
  const ofClaims = view.claims.flatMap((claim) => stepsForClaim(pass, claim));
  const ofHostPorts = view.hostPorts.flatMap((hostPort) => stepsForHostPort(pass, hostPort));
  const byClass = Map.groupBy(view.hostPorts, ({ className }: HostPort) => className);
  const ofClasses = view.classes.flatMap((found) => stepsForClass(pass, found, byClass.get(found.meta.name) ?? []));
  const asks = [...pass.asks].map((namespace): Step => {
    return { kind: 'ask', namespace, claims: pass.ending.get(namespace) ?? [] };
  });
  const provided: Provide[] = [];
  const complaints: Complaint[] = [];
  for (const statefulSet of view.statefulSets) {
    const found = stepsForStatefulSet(index, statefulSet);
    provided.push(...found.steps);
    complaints.push(...found.complaints);
  }
  const made = inTurn(provided, namespaceOf).slice(0, MAX_PROVIDED);
  const steps = [...undisturbed(ofClaims, ofHostPorts), ...ofHostPorts, ...ofClasses, ...asks, ...made];
  return { steps: inTurn(steps, namespaceOf), complaints, wakeAt: pass.wakeAt };
}

/** What is seen comes in the order in which it was heard of, which must decide nothing. */
function ordered(seen: ClaimView): ClaimView {
  const byKey = <T extends { readonly meta: ObjectMeta & { readonly namespace?: string } }>(objects: readonly T[]) =>
    objects
      .map((object) => ({ object, key: `${object.meta.namespace ?? ''}/${object.meta.name}` }))
      .sort((one, other) => (one.key < other.key ? -1 : 1))
      .map(({ object }) => object);
  const number = ({ meta }: HostPort) => numberOfName(meta.name) ?? Number.POSITIVE_INFINITY;
  const hostPorts = byKey(seen.hostPorts)
    .map((hostPort) => ({ hostPort, at: number(hostPort) }))
    .sort((one, other) => (one.at === other.at ? 0 : one.at - other.at))
    .map(({ hostPort }) => hostPort);
  return {
    ...seen,
    classes: byKey(seen.classes),
    claims: byAge(seen.claims),
    statefulSets: byKey(seen.statefulSets),
    hostPorts,
  };
}

/** Of a claim that is to lose a HostPort first, nothing else can be written: it would be refused by its revision. */
function undisturbed(ofClaims: readonly Step[], ofHostPorts: readonly Step[]): readonly Step[] {
  const touched = new Set(ofHostPorts.flatMap((step) => (step.kind === 'withdraw' ? step.claim.meta.uid : [])));
  return ofClaims.filter((step) => {
    const claim = step.kind === 'bind' ? step.claim : step.kind === 'tell-claim' ? step.object : undefined;
    return claim === undefined || !touched.has(claim.meta.uid);
  });
}
