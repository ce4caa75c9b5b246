/**
 * I6 and I7 of the numbers: a port of a pod keeps its number as long as it asks for the same, no number is given twice, and
 * a released one rests. What an agent could not know any more, because kernel and file lost it, is forgiven at its start.
 */
import { isActive } from '../../daemon/core/podstate.ts';
import { poolHolds } from '../../daemon/core/pool.ts';
import type { Pod, PodRef, PodResult, Protocol, Reservation } from '../../daemon/core/vocabulary.ts';
import type { AgentLife } from './agentlife.ts';
import { type Asked, type AskedPort, isGiven } from './asked.ts';
import { hostIPOf } from './podneeds.ts';
import { DISK_MS, type Stage } from './stage.ts';
import { ownerOf, type Rule, rulesOf } from './table.ts';
import { Violation } from './violation.ts';

/** The wall clock of the state file has whole milliseconds. */
const ROUNDING_MS = 3;

interface Numbered {
  readonly first: number;
  readonly size: number;
  /** What it was given for; undefined when that was not certain. */
  readonly request: string | undefined;
  readonly hostIP: string | undefined;
}

interface Rested {
  readonly pod: PodRef;
  readonly at: number;
  readonly wall: number;
}

interface StateText {
  readonly grants?: readonly {
    uid: string;
    namespace: string;
    pod: string;
    name: string;
    protocol: string;
    hostPort: number;
    size: number;
    hostIP?: string;
  }[];
  readonly resting?: readonly { namespace: string; pod: string; protocol: string; hostPort: number; size: number }[];
}

export class NumberCheck {
  readonly #stage: Stage;
  /** By owner. */
  readonly #numbers = new Map<string, Numbered>();
  /** By protocol/number: the uid of the pod that has it. */
  readonly #holders = new Map<string, string>();
  readonly #rested = new Map<string, Rested>();
  #state: StateText = {};
  /** By owner and number: what stands in the table or the file at the start of the agent. */
  #claimed = new Set<string>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** The number that a port of a pod was given, while it is known. */
  numberOf(owner: string): number | undefined {
    return this.#numbers.get(owner)?.first;
  }

  /** The agent that starts can know that this port had this number. */
  isClaimed(owner: string, port: number): boolean {
    return this.#claimed.has(`${owner} ${port}`);
  }

  /** An agent reads the state file. */
  loading(): void {
    this.#state = parse(this.#stage.node.disk.text);
  }

  /** An agent has read the table: what is in neither it cannot know. */
  adopting(): void {
    const { node, api, time } = this.#stage;
    const rules = rulesOf(node.ruleset.elements());
    const claims = new Map<string, Set<string>>();
    const claim = (protocol: string, first: number, last: number, uid: string) => {
      for (let number = first; number <= last; number++) {
        const key = `${protocol}/${number}`;
        claims.set(key, (claims.get(key) ?? new Set()).add(uid));
      }
    };
    const known = new Set<string>();
    this.#claimed = new Set();
    const remember = (owner: string, first: number, size: number) => {
      for (let number = first; number < first + size; number++) this.#claimed.add(`${owner} ${number}`);
    };
    for (const rule of rules) {
      remember(ownerOf(rule), rule.first, rule.last - rule.first + 1);
      claim(rule.protocol, rule.first, rule.last, rule.uid);
      known.add(`${ownerOf(rule)} ${rule.first} ${rule.hostIP}`);
    }
    for (const { uid, name, protocol, hostPort, size, hostIP } of this.#state.grants ?? []) {
      remember(`${uid}/${name}/${protocol}`, hostPort, size);
      claim(protocol, hostPort, hostPort + size - 1, uid);
      known.add(`${uid}/${name}/${protocol} ${hostPort} ${hostIP ?? ''}`);
    }
    for (const [owner, { first, size, hostIP }] of this.#numbers) {
      const protocol = owner.split('/')[2];
      const disputed = Array.from({ length: size }, (_, index) => claims.get(`${protocol}/${first + index}`)).some(
        (claimants) => (claimants?.size ?? 0) > 1,
      );
      if (!known.has(`${owner} ${first} ${hostIP ?? ''}`) || disputed) this.#numbers.delete(owner);
    }
    for (const [key, uid] of this.#holders) if (!claims.get(key)?.has(uid)) this.#holders.delete(key);
    for (const [key, { pod, at, wall }] of this.#rested) {
      const remembered = [...(this.#state.resting ?? []), ...(this.#state.grants ?? [])].some(
        (one) => one.namespace === pod.namespace && one.pod === pod.name && covers(one, key),
      );
      const ruled = [...(claims.get(key) ?? [])].some((uid) => sameName(api.known.get(uid), pod));
      const jumped = time.wall - wall > time.now - at + ROUNDING_MS;
      if ((!remembered && !ruled) || jumped) this.#rested.delete(key);
    }
  }

  /** The agent promises, or takes back. */
  published(life: AgentLife, pod: Pod, result: PodResult): void {
    const asked = this.#stage.api.asked(pod);
    // It has not noticed yet that the node has the address, or has lost it.
    const lacking = result.condition?.reason === 'HostIPNotFound';
    for (const [owner, { request }] of this.#numbers) {
      if (!owner.startsWith(pod.uid)) continue;
      const port = asked?.ports.find((one) => ownerOf({ uid: pod.uid, ...one }) === owner);
      const now = lacking ? undefined : asked && port && this.#requestOf(asked, port);
      const other = port === undefined || (now !== undefined && now !== request);
      const promised = !asked?.berth || `port.berth.dev/${port?.name}` in result.annotations;
      if (other || !promised) this.#numbers.delete(owner);
    }
    // Of pods that name one claim all are promised its number, and one has it: that one has a rule.
    if (asked === undefined || asked.claim !== undefined) return;
    for (const port of asked.ports) {
      const text = result.annotations[`port.berth.dev/${port.name}`];
      // One half of a pair may have to wait for the number that the other half has.
      const half =
        result.condition?.reason === 'PortConflict' && asked.ports.filter(({ unit }) => unit === port.unit).length > 1;
      if (text === undefined || half) continue;
      const [first = 0, last = first] = text.split('-').map(Number);
      if (last - first + 1 !== port.size)
        throw new Violation('I2', `the promise of ${pod.uid}/${port.name} is ${text}`);
      this.#given(life, pod, port, first, lacking ? undefined : this.#requestOf(asked, port));
    }
  }

  /** Rules that a transaction has added. */
  ruled(life: AgentLife, rules: readonly Rule[]): void {
    for (const rule of rules) {
      const pod = life.link.view.get(rule.uid);
      const asked = pod && this.#stage.api.asked(pod);
      const port = asked?.ports.find(({ name, protocol }) => name === rule.name && protocol === rule.protocol);
      if (pod === undefined || asked === undefined || port === undefined) continue;
      if (port.size !== rule.last - rule.first + 1) continue;
      // What was heard since the pass began is not what the rule was made for.
      const certain = (life.link.view.since(rule.uid) ?? 0) < life.idleAt - DISK_MS;
      this.#given(life, pod, port, rule.first, certain ? this.#requestOf(asked, port) : undefined);
    }
  }

  /** A rule is gone: of a port that its pod does not ask for any more the number is forgotten. */
  unruled(life: AgentLife, rule: Rule): void {
    // A socket that could not be had is never closed.
    for (let port = rule.first; port <= rule.last; port++) {
      const held = this.#stage.node.reserver.held().some((one) => one.protocol === rule.protocol && one.port === port);
      if (!held) this.released(life, { protocol: rule.protocol, port });
    }
    const pod = life.link.view.get(rule.uid);
    const asked = pod && this.#stage.api.asked(pod);
    if (asked?.ports.some(({ name, protocol }) => name === rule.name && protocol === rule.protocol)) return;
    this.#numbers.delete(ownerOf(rule));
  }

  released(life: AgentLife, { protocol, port }: Reservation): void {
    const { time, api, node } = this.#stage;
    const key = `${protocol}/${port}`;
    this.#forget((owner) => {
      const pod = life.link.view.get(owner.split('/')[0] ?? '');
      return pod === undefined || !isActive(pod);
    }, port);
    if (node.reserver.held().some((one) => one.protocol === protocol && one.port === port)) return;
    const uid = this.#holders.get(key);
    const pod = uid === undefined ? undefined : api.known.get(uid);
    this.#holders.delete(key);
    if (pod !== undefined) this.#rested.set(key, { pod, at: time.now, wall: time.wall });
  }

  /** The pod still asks for what it was given the number for. */
  #asksFor(pod: Pod, protocol: Protocol, number: number): boolean {
    const asked = this.#stage.api.asked(pod);
    return [...this.#numbers].some(([owner, { first, request }]) => {
      const port = asked?.ports.find((one) => ownerOf({ uid: pod.uid, ...one }) === owner);
      if (asked === undefined || port?.protocol !== protocol) return false;
      return first <= number && number < first + port.size && this.#requestOf(asked, port) === request;
    });
  }

  /** The agent was told for certain that the pod is gone: should an old list bring it back, it may get another number. */
  gone(uid: string): void {
    for (const owner of this.#numbers.keys()) if (owner.startsWith(uid)) this.#numbers.delete(owner);
  }

  /** A pod that is gone, and that an event out of order brings back, gets another number. */
  #forget(isMeant: (owner: string) => boolean, number: number): void {
    for (const [owner, { first }] of this.#numbers) if (first === number && isMeant(owner)) this.#numbers.delete(owner);
  }

  #given(life: AgentLife, pod: Pod, port: AskedPort, first: number, request: string | undefined): void {
    const owner = ownerOf({ uid: pod.uid, name: port.name, protocol: port.protocol });
    const before = this.#numbers.get(owner);
    if (before !== undefined && request !== undefined && before.request === request && before.first !== first) {
      throw new Violation('I6', `${owner} had number ${before.first} and has ${first} now`);
    }
    // A rule may stand already for what the pod asked before.
    if (before?.first !== first)
      this.#numbers.set(owner, { first, size: port.size, request, hostIP: request?.split(' ')[1] });
    for (let number = first; number < first + port.size; number++) this.#take(life, pod, port.protocol, number);
  }

  #take(life: AgentLife, pod: Pod, protocol: Protocol, number: number): void {
    const { time, api } = this.#stage;
    const key = `${protocol}/${number}`;
    const asked = api.asked(pod);
    // By what it asked for when the number was given: it may ask for something else since.
    const claim = this.#stage.claims?.numbered(number)?.name ?? '';
    const claimed = api.hasNamed(pod.uid, claim);
    const given = claimed || (asked !== undefined && isGiven(asked));
    const holder = this.#holders.get(key);
    if (holder !== undefined && holder !== pod.uid) {
      const { view } = life.link;
      const former = view.get(holder);
      const lives =
        former !== undefined &&
        isActive(former) &&
        (view.since(holder) ?? 0) < life.idleAt &&
        !(claimed && api.hasNamed(holder, claim)) &&
        this.#asksFor(former, protocol, number);
      // A static or claimed number follows any pod that is gone, and waits for no rest.
      if (lives || !(given || sameName(api.known.get(holder), pod))) {
        throw new Violation('I1', `${key} was given to ${pod.uid} while ${holder} had it`);
      }
      this.#forget((owner) => owner.startsWith(holder), number);
    }
    const rested = this.#rested.get(key);
    if (rested !== undefined && !given && !sameName(rested.pod, pod)) {
      const pool = this.#stage.pools.find((one) => poolHolds(one, number, 1));
      const rest = time.now - rested.at;
      if (pool !== undefined && rest < pool.quarantineMs - ROUNDING_MS) {
        throw new Violation('I7', `${key} of ${rested.pod.name} rested ${rest} ms and was given to ${pod.name}`);
      }
    }
    this.#rested.delete(key);
    this.#holders.set(key, pod.uid);
  }

  /** What of the request decides about the number; undefined while the node lacks the address that is meant. */
  #requestOf(asked: Asked, port: AskedPort): string | undefined {
    const unit = asked.ports.filter((one) => one.unit === port.unit).map(({ protocol }) => protocol);
    const pool = this.#stage.pools.find(({ name }) => name === asked.pool);
    const hostIP = hostIPOf(asked, pool, this.#stage.node);
    if (hostIP === null) return undefined;
    return [asked.pool, hostIP, port.size, port.containerPort, port.exact, ...unit.sort()].join(' ');
  }
}

function parse(text: string | undefined): StateText {
  try {
    const content = JSON.parse(text ?? '') as StateText & { readonly version?: number };
    return content.version === 1 ? content : {};
  } catch {
    return {};
  }
}

function covers(one: { protocol: string; hostPort: number; size: number }, key: string): boolean {
  const [protocol, number] = key.split('/');
  return one.protocol === protocol && one.hostPort <= Number(number) && Number(number) < one.hostPort + one.size;
}

function sameName(one: PodRef | undefined, other: PodRef): boolean {
  return one !== undefined && one.namespace === other.namespace && one.name === other.name;
}
