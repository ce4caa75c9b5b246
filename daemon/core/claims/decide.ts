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
  const deciding = decideInSteps(seen, time);
  for (;;) {
    const { done, value } = deciding.next();
    if (done) return value;
  }
}

/** Yields wherever whoever decides may do something else for a moment: what was seen must stay as it is. */
export function* decideInSteps(seen: ClaimView, time: PassTime): Generator<void, Decision> {
  const view = yield* ordered(seen);
  const index = new Index(view);
  yield* index.fill();
  const grants = new Grants(index);
  yield* grants.count();
  const pass: ClaimPass = {
    index,
    grants,
    time,
    verdicts: new Map(),
    ending: new Map(),
    asks: new Set(),
    wakeAt: Number.POSITIVE_INFINITY,
  };
  const ofClaims = yield* each(view.claims, (claim) => stepsForClaim(pass, claim));
  const ofHostPorts = yield* each(view.hostPorts, (hostPort) => stepsForHostPort(pass, hostPort));
  const byClass = Map.groupBy(view.hostPorts, ({ className }: HostPort) => className);
  yield;
  const ofClasses = yield* each(view.classes, (found) => {
    return stepsForClass(pass, found, byClass.get(found.meta.name) ?? []);
  });
  const asks = [...pass.asks].map((namespace): Step => {
    return { kind: 'ask', namespace, claims: pass.ending.get(namespace) ?? [] };
  });
  const complaints: Complaint[] = [];
  const provided = yield* each(view.statefulSets, (statefulSet): readonly Provide[] => {
    const found = stepsForStatefulSet(index, statefulSet);
    complaints.push(...found.complaints);
    return found.steps;
  });
  const made = inTurn(provided, namespaceOf).slice(0, MAX_PROVIDED);
  yield;
  const steps = [...undisturbed(ofClaims, ofHostPorts), ...ofHostPorts, ...ofClasses, ...asks, ...made];
  yield;
  return { steps: inTurn(steps, namespaceOf), complaints, wakeAt: pass.wakeAt };
}

function* each<T, R>(values: readonly T[], stepsFor: (value: T) => readonly R[]): Generator<void, readonly R[]> {
  const steps: R[] = [];
  for (const value of values) {
    for (const step of stepsFor(value)) steps.push(step);
    yield;
  }
  return steps;
}

/** What is seen comes in the order in which it was heard of, which must decide nothing. */
function* ordered(seen: ClaimView): Generator<void, ClaimView> {
  const byKey = <T extends { readonly meta: ObjectMeta & { readonly namespace?: string } }>(objects: readonly T[]) =>
    objects
      .map((object) => ({ object, key: `${object.meta.namespace ?? ''}/${object.meta.name}` }))
      .sort((one, other) => (one.key < other.key ? -1 : 1))
      .map(({ object }) => object);
  const number = ({ meta }: HostPort) => numberOfName(meta.name) ?? Number.POSITIVE_INFINITY;
  const classes = byKey(seen.classes);
  const statefulSets = byKey(seen.statefulSets);
  yield;
  const claims = byAge(seen.claims);
  yield;
  const named = byKey(seen.hostPorts);
  yield;
  const hostPorts = named
    .map((hostPort) => ({ hostPort, at: number(hostPort) }))
    .sort((one, other) => (one.at === other.at ? 0 : one.at - other.at))
    .map(({ hostPort }) => hostPort);
  yield;
  return { ...seen, classes, claims, statefulSets, hostPorts };
}

/** Of a claim that is to lose a HostPort first, nothing else can be written: it would be refused by its revision. */
function undisturbed(ofClaims: readonly Step[], ofHostPorts: readonly Step[]): readonly Step[] {
  const touched = new Set(ofHostPorts.flatMap((step) => (step.kind === 'withdraw' ? step.claim.meta.uid : [])));
  return ofClaims.filter((step) => {
    const claim = step.kind === 'bind' ? step.claim : step.kind === 'tell-claim' ? step.object : undefined;
    return claim === undefined || !touched.has(claim.meta.uid);
  });
}
