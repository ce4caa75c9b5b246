/**
 * Tells what is so: the registry, the pods' annotations and conditions, Events, the audit trail. It is told the state
 * after each step and passes on what is new; it decides nothing.
 */
import { GALAXY, MAPPINGS } from '../core/annotation.ts';
import { carriesResults, optsIn } from '../core/podstate.ts';
import {
  conditionMapped,
  conditionProblem,
  galaxyAnnotation,
  mappingsAnnotation,
  promiseAnnotations,
} from '../core/result.ts';
import { STATIC_POOL } from '../core/staticports.ts';
import { printable } from '../core/text.ts';
import type { Family, Mapping, NodeAddress, Pod, PodEvent, PodRef, PodResult, Problem } from '../core/vocabulary.ts';
import { podLabel } from '../core/vocabulary.ts';
import { portCount } from './demand.ts';
import { mappingKey } from './plan.ts';
import type { Clock, Publisher, Recorder, Registry } from './ports.ts';
import type { PodStanding } from './standing.ts';

const RULES_PENDING = 'RulesPending';

export interface Live {
  readonly mapping: Mapping;
  /** Monotonic ms. */
  readonly since: number;
  /** It was live before this agent. */
  readonly adopted: boolean;
}

/** What a pod's result is made of, beside which of its mappings are live. */
interface Ground {
  readonly pod: Pod;
  readonly asked: boolean;
  readonly promised: readonly Mapping[];
  readonly problem: Problem | undefined;
  readonly turn: PodStanding['turn'];
  readonly addresses: readonly NodeAddress[];
}

export class Announcer {
  readonly #registry: Registry;
  readonly #publisher: Publisher;
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  readonly #live = new Map<string, Live>();
  readonly #mappings = new Map<string, Mapping>();
  /** The uids of pods of which something was announced or un-announced since they were told. */
  readonly #moved = new Set<string>();
  readonly #told = new Map<string, { readonly ground: Ground; readonly text: string }>();
  readonly #problems = new Map<string, Problem>();
  #adopted = 0;
  readonly #warned = { told: new Set<string>(), seen: new Set<string>() };

  constructor(registry: Registry, publisher: Publisher, recorder: Recorder, clock: Clock) {
    this.#registry = registry;
    this.#publisher = publisher;
    this.#recorder = recorder;
    this.#clock = clock;
  }

  /** The announced mappings by mappingKey. */
  get live(): ReadonlyMap<string, Live> {
    return this.#live;
  }

  /** The same without their times. */
  get mappings(): ReadonlyMap<string, Mapping> {
    return this.#mappings;
  }

  /** Before its rule goes: nobody is sent there any more. `pod` is undefined when it is gone. */
  unannounce(mapping: Mapping): void {
    this.#registry.delete(mapping.pod, mapping.name, mapping.protocol);
    this.#live.delete(mappingKey(mapping));
    this.#mappings.delete(mappingKey(mapping));
    this.#moved.add(mapping.pod.uid);
  }

  /** After rule, flows and everything: the mapping has ended. `last`: what `live` held. `givenAt`: see Grant. */
  released({ mapping, since, adopted }: Live, givenAt: number | undefined): void {
    const liveMs = adopted ? undefined : this.#clock.monotonic() - since;
    this.#recorder.record({ kind: 'released', mapping, liveMs, givenAt });
  }

  /** After the rule was committed and the flows were cleaned (I2). */
  announce(mapping: Mapping, adopted: boolean, addressedAt: number | undefined): void {
    const now = this.#clock.monotonic();
    this.#live.set(mappingKey(mapping), { mapping, since: now, adopted });
    this.#mappings.set(mappingKey(mapping), mapping);
    this.#moved.add(mapping.pod.uid);
    this.#registry.set(mapping);
    if (adopted) this.#adopted++;
    const sinceSeenMs = adopted || addressedAt === undefined ? undefined : now - addressedAt;
    this.#recorder.record({ kind: 'mapped', mapping, adopted, sinceSeenMs });
  }

  /** Tells how many mappings were adopted since the last call, if any were. */
  recordAdopted(): void {
    if (this.#adopted > 0) this.#recorder.record({ kind: 'adopted', mappings: this.#adopted });
    this.#adopted = 0;
  }

  /** An Event on the pod; the same one is not repeated while its reason lasts (`key`; see `endWarnings`). */
  warn(pod: Pod, key: string, event: PodEvent): void {
    this.#warned.seen.add(key);
    if (this.#warned.told.has(key)) return;
    this.#warned.told.add(key);
    this.#publisher.event(pod, event);
  }

  /** Forgets the warnings whose reason has gone since the last call. */
  endWarnings(): void {
    for (const key of this.#warned.told) if (!this.#warned.seen.has(key)) this.#warned.told.delete(key);
    this.#warned.seen.clear();
  }

  /** Names those of the pod's mappings that are live; nothing for a pod that does not opt in. */
  mappedEvent(pod: Pod, promised: readonly Mapping[]): void {
    if (!optsIn(pod)) return;
    const ports = this.#liveOf(promised).map(
      (one) => `${one.name} ${numbers(one)}/${one.protocol} -> ${one.containerPort}`,
    );
    this.#publisher.event(pod, {
      type: 'Normal',
      reason: 'PortsMapped',
      message: printable(`mapped ${ports.join(', ')}`, 1024),
    });
  }

  /** The number of a claim leads to another pod from now on. */
  handedOverEvent(pod: Pod, message: string): void {
    this.#publisher.event(pod, { type: 'Normal', reason: 'HandedOver', message });
  }

  /** Who was never told of its host ports is not told that they are gone. */
  releasedEvent(pod: Pod): void {
    if (!this.#told.has(pod.uid)) return;
    this.#publisher.event(pod, {
      type: 'Normal',
      reason: 'PortsReleased',
      message: 'the host ports of the pod were released',
    });
  }

  /** Tells the pod where it stands. Only what is new is passed on. */
  tell(standing: PodStanding, addresses: readonly NodeAddress[]): void {
    const { pod, problem, promised, unheard = false } = standing;
    if (unheard && !this.#told.has(pod.uid)) return;
    this.#tellProblem(pod, problem);
    const ground: Ground = {
      pod,
      asked: standing.demand !== undefined,
      promised,
      problem,
      turn: standing.turn,
      addresses,
    };
    const told = this.#told.get(pod.uid);
    // Most pods stand in most passes where they stood: writing out what they know would be half of the pass.
    if (!this.#moved.delete(pod.uid) && told !== undefined && sameGround(told.ground, ground)) return;
    const live = this.#liveOf(promised);
    const result = this.#resultOf(standing, live, addresses);
    if (result === undefined) {
      if (told === undefined && !carriesResults(pod) && !optsIn(pod)) return;
    }
    const text = JSON.stringify(result ?? {});
    this.#told.set(pod.uid, { ground, text });
    if (told?.text === text && told.ground.pod === pod) return;
    this.#publisher.publish(pod, result ?? { annotations: {} });
  }

  #liveOf(mappings: readonly Mapping[]): readonly Mapping[] {
    return mappings.filter((mapping) => this.#mappings.get(mappingKey(mapping)) === mapping);
  }

  /** The pod is gone. */
  forget(pod: PodRef): void {
    this.#told.delete(pod.uid);
    this.#problems.delete(pod.uid);
    this.#moved.delete(pod.uid);
    this.#publisher.forget(pod);
  }

  #tellProblem(pod: Pod, problem: Problem | undefined): void {
    const before = this.#problems.get(pod.uid);
    if (before?.message === problem?.message && before?.reason === problem?.reason) return;
    if (problem === undefined) {
      this.#problems.delete(pod.uid);
      this.#recorder.record({ kind: 'solved', pod });
      return;
    }
    this.#problems.set(pod.uid, problem);
    // Lists of pools and addresses may be long (I10).
    const message = printable(problem.message, 1024);
    this.#recorder.record({ kind: 'problem', pod, problem: { ...problem, message } });
    this.#publisher.event(pod, { type: 'Warning', reason: eventReason(problem), message });
  }

  /** Undefined: nothing of Berth's stands on the pod. */
  #resultOf(standing: PodStanding, live: readonly Mapping[], addresses: readonly NodeAddress[]): PodResult | undefined {
    const { pod, demand, promised, problem } = standing;
    const galaxyAsked = Object.hasOwn(pod.annotations, GALAXY);
    if (demand === undefined) {
      if (problem === undefined || !optsIn(pod)) return undefined;
      return { annotations: galaxyAsked ? { [GALAXY]: '' } : {}, condition: conditionProblem(problem) };
    }
    // Static host ports are served without a word to the pod.
    if (!optsIn(pod)) return undefined;
    const mapped = problem === undefined && live.length === promised.length && promised.length === portCount(demand);
    const annotations: Record<string, string> = {};
    if (demand.request.berth) {
      const nodeIPs = (family: Family) =>
        addresses.filter((one) => one.family === family).map(({ address }) => address);
      // The number of a static port stands in the spec: nobody waits for it to be promised.
      Object.assign(annotations, promiseAnnotations(promised.filter(({ pool }) => pool !== STATIC_POOL.name)));
      if (live.length > 0) annotations[MAPPINGS] = mappingsAnnotation(live, nodeIPs);
    }
    // Galaxy's key is the opt-in too: until there is a result it stays, empty.
    if (galaxyAsked) annotations[GALAXY] = mapped ? galaxyAnnotation(pod, live) : '';
    if (problem !== undefined) return { annotations, condition: conditionProblem(problem) };
    if (mapped) return { annotations, condition: conditionMapped(live) };
    const condition = pending(standing);
    return { annotations, condition, ...(condition.reason === RULES_PENDING ? { passing: true } : {}) };
  }
}

/** Pods, their requests and mappings are immutable, so that the same objects make the same result. */
function sameGround(one: Ground, other: Ground): boolean {
  return (
    one.pod === other.pod &&
    one.asked === other.asked &&
    one.addresses === other.addresses &&
    one.problem?.reason === other.problem?.reason &&
    one.problem?.message === other.problem?.message &&
    one.turn?.message === other.turn?.message &&
    sameObjects(one.promised, other.promised)
  );
}

function sameObjects(one: readonly Mapping[], other: readonly Mapping[]): boolean {
  return one === other || (one.length === other.length && one.every((mapping, index) => mapping === other[index]));
}

/** What is still waited for. */
function pending({ pod, demand, promised, turn }: PodStanding): NonNullable<PodResult['condition']> {
  const what = (reason: string, message: string) =>
    ({ status: 'False', reason, message: `pod ${podLabel(pod)}: ${message}` }) as const;
  if (demand !== undefined && promised.length < portCount(demand))
    return what('PortsPending', 'its host ports are being chosen');
  if (turn !== undefined) return { status: 'False', ...turn };
  if (promised.some(({ podIPs }) => podIPs.length > 0))
    return what(RULES_PENDING, 'the host ports are reserved; their rules are being installed');
  return what('PodIPPending', 'the host ports are reserved; they are mapped when the pod has an address');
}

function numbers({ hostPort, size }: Mapping): string {
  return size === 1 ? `${hostPort}` : `${hostPort}-${hostPort + size - 1}`;
}

function eventReason({ reason }: Problem): PodEvent['reason'] {
  switch (reason) {
    case 'PoolExhausted':
    case 'PortConflict':
    case 'DatapathFailed':
    case 'ClaimPending':
      return reason;
    default:
      return 'InvalidPortRequest';
  }
}
