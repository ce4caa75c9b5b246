/**
 * The pass: observe, allocate, plan, act. It derives everything from the present state and is right whatever was done
 * before it, by whom, and how far. One pass at a time; the loop sees to that.
 */
import { MAPPINGS } from '../core/annotation.ts';
import { BerthError, messageOf } from '../core/errors.ts';
import type { FormerTarget } from '../core/flow.ts';
import { Ledger, portKey } from '../core/ledger.ts';
import { isActive } from '../core/podstate.ts';
import { type PoolConfig, type PortRange, poolOnNode } from '../core/pool.ts';
import { parseMappingsAnnotation } from '../core/result.ts';
import type { ChangedSetting, Grant } from '../core/state.ts';
import type { Mapping, NodeAddress, Pod, Problem } from '../core/vocabulary.ts';
import { adopt, identify } from './adoption.ts';
import { Allocator } from './allocate.ts';
import { Announcer, type Live } from './announcer.ts';
import { Cleaning } from './cleaning.ts';
import { type ClosingGrants, closingOf } from './closing.ts';
import { type Assessment, Assessor, asksFor, type Demand, hindranceOf, partsOf } from './demand.ts';
import { brokenInvariants } from './invariants.ts';
import { Journal } from './journal.ts';
import { Kernel } from './kernel.ts';
import { elementsOnce, mappingKey } from './plan.ts';
import { PodSet } from './podset.ts';
import type { World } from './ports.ts';
import { Sockets } from './sockets.ts';
import { type PodStanding, standingsOf, withRefusal } from './standing.ts';
import { amongNodePorts } from './staticdemand.ts';
import { conflictMessage, conflictsOf, type Statics, staticsOf } from './statics.ts';
import { Surroundings } from './surroundings.ts';

/** How soon what is unfinished is tried again, in ms. */
const RETRY = { flows: 1_000, addresses: 1_000 } as const;
/** A bridge learns a pod's port from the pod's answer to the question that was just put, mostly within a millisecond; doubling. */
const BRIDGE_PORT = { first: 10, cap: 1_000 } as const;

const NOTHING: Assessment = { kind: 'none' };

/** Berth serves the static hostPorts of all pods itself; absent where that is left to another program. */
export interface StaticHostPorts {
  /** Where Services get their NodePorts. */
  readonly nodePorts: PortRange;
}

export class Reconciler {
  readonly pods: PodSet;
  readonly ledger: Ledger;
  readonly announcer: Announcer;
  readonly #world: World;
  readonly #labels: Readonly<Record<string, string>>;
  readonly #staticHostPorts: StaticHostPorts | undefined;
  readonly #surroundings: Surroundings;
  readonly #kernel: Kernel;
  readonly #cleaning: Cleaning;
  readonly #sockets: Sockets;
  readonly #allocator: Allocator;
  readonly #journal: Journal;
  #pools: ReadonlyMap<string, PoolConfig> = new Map();
  #assessor = new Assessor(this.#pools, { labels: {}, addresses: [], isNodeAddress: () => false });
  #mappings: ReadonlyMap<string, Mapping> = new Map();
  /** Un-announced mappings whose rule or flows may still stand. */
  readonly #ending: Live[] = [];
  /** Grants of an earlier agent whose flows were not looked at yet, by grantKey. */
  readonly #inherited = new Set<string>();
  /** Ports of an earlier agent that this one has not announced, by mappingKey. */
  readonly #unseen = new Set<string>();
  /** No pass has come to its end yet: what is live now was live before this agent. */
  #first = true;
  #networkChanged = true;
  #bridgeWait: number = BRIDGE_PORT.first;
  #retryAt: number | undefined;

  constructor(world: World, labels: Readonly<Record<string, string>>, staticHostPorts?: StaticHostPorts) {
    this.#world = world;
    this.#labels = labels;
    this.#staticHostPorts = staticHostPorts;
    this.pods = new PodSet(world.clock);
    this.ledger = new Ledger(world.random);
    this.#surroundings = new Surroundings(world.network, (operation, error) => this.#fail(operation, error));
    this.#kernel = new Kernel(world.datapath, world.recorder, world.clock);
    this.#cleaning = new Cleaning(world.flows, world.recorder, world.clock);
    this.#sockets = new Sockets(this.ledger, world);
    this.#allocator = new Allocator(this.ledger, world.reserver, world.clock);
    this.#journal = new Journal(world, this.ledger, this.#surroundings);
    this.announcer = new Announcer(world.registry, world.publisher, world.recorder, world.clock);
  }

  setPools(pools: readonly PoolConfig[]): void {
    this.#pools = new Map(pools.map((pool) => [pool.name, pool]));
    this.ledger.setPools(pools.filter((pool) => poolOnNode(pool, this.#labels)));
  }

  /** The node's own addresses that clients outside can use. */
  get nodeAddresses(): readonly NodeAddress[] {
    return this.#surroundings.outward;
  }

  /** A kernel setting was changed before the first pass: the state file remembers what stood there. */
  noteSetting(changed: ChangedSetting): void {
    this.#surroundings.noteSetting(changed);
  }

  /** Addresses, routes or devices changed: the next pass looks at them anew. */
  networkChanged(): void {
    this.#networkChanged = true;
  }

  /** Takes over what the last agent left. Once, with the lock held, before any pass. Rejects when the table cannot be read. */
  async start(): Promise<void> {
    const state = await this.#journal.load();
    const installed = await this.#kernel.read();
    adopt(this.ledger, [...installed.values()], state);
    for (const grant of this.ledger.grants()) {
      this.#inherited.add(grantKey(grant));
      this.#unseen.add(`${grant.uid}/${portKey(grant)}`);
      this.pods.inherit([{ uid: grant.uid, namespace: grant.namespace, name: grant.pod }]);
    }
    this.#sockets.hold();
  }

  /**
   * One pass. `full` re-reads the kernel. Resolves to the monotonic time at which another pass is due of itself, if any.
   * Rejects when nothing can be done at all (nft missing): what stands stays.
   */
  async pass(full: boolean): Promise<number | undefined> {
    const { clock, recorder } = this.#world;
    const began = clock.monotonic();
    this.#retryAt = undefined;
    await this.#observe(full);

    // Taken once: what is heard while this pass waits for disk and kernel is the next pass's business.
    const pods = [...this.pods.values()];
    const suspects = this.pods.unseenSuspects;
    const problems = new Map<string, Problem>();
    const demands = this.#demands(pods, problems);
    const statics = staticsOf(pods);
    this.#noteInherited(suspects);
    const { version } = this.ledger;
    const before = closingOf(this.ledger, demands, suspects);
    const waits = ({ pod }: Demand) => this.pods.waits(pod);
    const parts = [...demands.values()].flatMap(partsOf);
    const allocation = this.#allocator.allocate(parts, statics.has, before, hints, waits);
    this.#wake(allocation.retryAt);
    for (const [uid, problem] of allocation.problems) problems.set(uid, problem);
    if (allocation.given.size > 0) await this.#journal.save();

    const standings = standingsOf(pods, demands, problems, this.ledger, this.#mappings);
    const promised = standings.flatMap((standing) => standing.promised);
    const mappings = new Map(promised.map((mapping) => [mappingKey(mapping), mapping]));
    this.#noteChanged(mappings);
    this.#mappings = mappings;
    for (const standing of standings) if (allocation.given.has(standing.pod.uid)) this.#tell(this.#judged(standing));
    const wanted = promised.filter((mapping) => elementsOnce(mapping).length > 0);
    const closing = this.ledger.version === version ? before : closingOf(this.ledger, demands, suspects);
    if (await this.#install(wanted, standings, suspects)) this.#settle(wanted, standings, closing);
    else if (this.#first) this.#announceAdopted(wanted);
    if (suspects.size === 0 && !this.#first) this.#kernel.forgetInherited();
    for (const standing of standings) this.#tell(this.#judged(standing));
    this.#reportConflicts(statics, demands.values(), this.#sockets.hold());
    this.#journal.saveLater();
    if (full) this.#checkInvariants();
    recorder.record({ kind: 'pass', full, ms: clock.monotonic() - began });
    return this.#retryAt;
  }

  /** Nothing is left running. */
  stop(): void {
    this.pods.stop();
    this.#journal.stop();
  }

  async #observe(full: boolean): Promise<void> {
    if (full || this.#networkChanged) {
      this.#networkChanged = !this.#surroundings.refresh();
      if (this.#networkChanged) this.#wake(this.#world.clock.monotonic() + RETRY.addresses);
    }
    if (full || this.#kernel.installed === undefined) await this.#kernel.read();
    for (const pod of this.pods.takeGone()) this.announcer.forget(pod);
  }

  /** What every active pod wants; what is wrong with the others goes to `problems`. */
  #demands(pods: readonly Pod[], problems: Map<string, Problem>): ReadonlyMap<string, Demand> {
    const { addresses, isNodeAddress } = this.#surroundings;
    // Whenever the node's addresses are read anew they are another object.
    if (this.#assessor.pools !== this.#pools || this.#assessor.node.addresses !== addresses) {
      const servesStatics = this.#staticHostPorts !== undefined;
      this.#assessor = new Assessor(this.#pools, { labels: this.#labels, addresses, isNodeAddress, servesStatics });
    }
    const demands = new Map<string, Demand>();
    for (const pod of pods) {
      const assessment = isActive(pod) ? this.#assessor.assess(pod, this.#heldAddress(pod)) : NOTHING;
      identify(this.ledger, pod, (grant) => (assessment.kind === 'wanted' ? poolFor(assessment, grant) : ''));
      if (assessment.kind === 'problem') problems.set(pod.uid, assessment.problem);
      if (assessment.kind !== 'wanted') continue;
      demands.set(pod.uid, assessment);
      const hindrance = hindranceOf(assessment);
      if (hindrance !== undefined) problems.set(pod.uid, hindrance);
    }
    return demands;
  }

  /** The address at which the pod has what it asks for. That of a static host port is the port's own. */
  #heldAddress(pod: Pod): string | undefined {
    for (const [key, { hostIP }] of this.ledger.grantsOf(pod.uid)) {
      if (hostIP !== undefined && asksFor(pod, key)) return hostIP;
    }
    return undefined;
  }

  /**
   * Where the flows of mappings that change or end may lead, whether or not a rule is there to be removed: somebody may have
   * flushed the table.
   */
  #noteChanged(now: ReadonlyMap<string, Mapping>): void {
    for (const [key, mapping] of this.#mappings) {
      if (mapping.podIPs.length > 0 && now.get(key) !== mapping) this.#noteFlows(mapping);
    }
  }

  /** Once, those of every grant of an earlier agent, which may have died in the midst of a take-down. */
  #noteInherited(suspects: ReadonlySet<string>): void {
    if (this.#inherited.size === 0) return;
    for (const grant of this.ledger.grants()) {
      if (!suspects.has(grant.uid) && this.#inherited.delete(grantKey(grant))) this.#noteFlows(grant);
    }
  }

  #noteFlows(former: FormerTarget): void {
    this.#cleaning.note([{ protocol: former.protocol, port: former.hostPort, size: former.size }], [former]);
  }

  /** From un-announcing to cleaned flows. False when announcing has to wait. */
  async #install(
    wanted: readonly Mapping[],
    standings: readonly PodStanding[],
    suspects: ReadonlySet<string>,
  ): Promise<boolean> {
    const { clock } = this.#world;
    const { elements, complete } = this.#surroundings.environment(wanted);
    if (!complete) this.#wake(clock.monotonic() + this.#bridgeWait);
    this.#bridgeWait = complete ? BRIDGE_PORT.first : Math.min(2 * this.#bridgeWait, BRIDGE_PORT.cap);
    const environment = [...elements, ...this.#kernel.inheritedBy(this.#ownersOf(suspects))];
    const makePlan = () => {
      const steps = this.#kernel.plan(wanted, environment, this.announcer.mappings);
      this.#unannounce(steps.unannounce, standings);
      this.#cleaning.note(steps.ports, steps.former);
      return steps;
    };
    await this.#kernel.install(makePlan(), wanted, makePlan);
    this.#wake(this.#kernel.retryAt);
    const stands = (mapping: Mapping) => this.#kernel.refusal(mapping) === undefined;
    this.#unannounce(
      wanted.filter((mapping) => !stands(mapping) && this.announcer.live.has(mappingKey(mapping))),
      standings,
    );
    const settled = await this.#cleaning.run(wanted, stands, this.#surroundings.isNodeAddress);
    if (this.#cleaning.due) this.#wake(clock.monotonic() + RETRY.flows);
    return settled;
  }

  /** The grants of pods that only an earlier agent saw, as the comments of their elements name them. */
  #ownersOf(uids: ReadonlySet<string>): ReadonlySet<string> {
    const owners = new Set<string>();
    if (uids.size === 0) return owners;
    for (const { uid, name } of this.ledger.grants()) if (uids.has(uid)) owners.add(`${uid}/${name}`);
    return owners;
  }

  #unannounce(mappings: readonly Mapping[], standings: readonly PodStanding[]): void {
    if (mappings.length === 0) return;
    const uids = new Set(mappings.map(({ pod }) => pod.uid));
    for (const mapping of mappings) {
      this.#ending.push(this.announcer.live.get(mappingKey(mapping)) as Live);
      this.announcer.unannounce(mapping);
    }
    for (const standing of standings) if (uids.has(standing.pod.uid)) this.#tell(standing);
  }

  /** The last agent had announced them, and they work: that connections cannot be cleaned yet changes nothing of that (I6). */
  #announceAdopted(wanted: readonly Mapping[]): void {
    for (const mapping of wanted) {
      const known = this.announcer.live.has(mappingKey(mapping));
      if (known || !this.#kernel.adopted(mapping) || this.#kernel.refusal(mapping) !== undefined) continue;
      this.#unseen.delete(mappingKey(mapping));
      this.announcer.announce(mapping, true, this.pods.addressedAt(mapping.pod.uid));
    }
  }

  /** Rules and flows are as they should be: announce what is new, release what has ended. */
  #settle(wanted: readonly Mapping[], standings: readonly PodStanding[], closing: ClosingGrants): void {
    const { clock } = this.#world;
    const mapped = new Set<string>();
    for (const mapping of wanted) {
      const known = this.announcer.live.get(mappingKey(mapping));
      if (known?.mapping === mapping || this.#kernel.refusal(mapping) !== undefined) continue;
      const adopted = this.#first && this.#kernel.adopted(mapping);
      this.#unseen.delete(mappingKey(mapping));
      this.announcer.announce(mapping, adopted, this.pods.addressedAt(mapping.pod.uid));
      if (!adopted) mapped.add(mapping.pod.uid);
    }
    const ended = new Set<string>();
    for (const live of this.#ending.splice(0)) {
      this.announcer.released(live, this.#givenAt(live.mapping));
      if (!this.announcer.live.has(mappingKey(live.mapping))) ended.add(live.mapping.pod.uid);
    }
    const waiting = standings.some(
      ({ problem }) => problem?.reason === 'PoolExhausted' || problem?.reason === 'PortConflict',
    );
    for (const grant of closing) {
      if (this.#kernel.isStuck(grant)) continue;
      this.ledger.revoke(grant, clock.monotonic(), clock.now());
      this.#endUnseen(grant);
      // Somebody may be waiting for the number: the next pass tells when its rest ends.
      if (waiting) this.#wake(clock.monotonic());
    }
    this.#sockets.releaseRest();
    for (const { pod, promised } of standings) {
      if (mapped.has(pod.uid)) this.announcer.mappedEvent(pod, promised);
      if (ended.has(pod.uid)) this.announcer.releasedEvent(pod);
    }
    this.#first = false;
  }

  #checkInvariants(): void {
    const { installed } = this.#kernel;
    if (installed === undefined) return;
    for (const finding of brokenInvariants(this.announcer.mappings.values(), installed))
      this.#world.recorder.record({ kind: 'violation', ...finding });
  }

  #givenAt(mapping: Mapping): number | undefined {
    return this.ledger.grantsOf(mapping.pod.uid).get(portKey(mapping))?.givenAt;
  }

  /** The audit trail knows of the end of what an earlier agent began, also when this one never announced it. */
  #endUnseen(grant: Grant): void {
    const { uid, namespace, pod: name, givenAt, ...rest } = grant;
    const mapping: Mapping = { ...rest, pod: { namespace, name, uid }, podIPs: [] };
    if (!this.#unseen.delete(mappingKey(mapping))) return;
    this.#world.recorder.record({ kind: 'released', mapping, liveMs: undefined, givenAt });
  }

  #reportConflicts(statics: Statics, demands: Iterable<Demand>, sockets: ReturnType<Sockets['hold']>): void {
    this.#wake(sockets.retryAt);
    const warn = (pod: Pod | undefined, message: string) => {
      if (pod !== undefined)
        this.announcer.warn(pod, `${pod.uid}/${message}`, { type: 'Warning', reason: 'PortConflict', message });
    };
    const served = this.#staticHostPorts;
    for (const conflict of conflictsOf(statics, this.ledger)) {
      const message = conflictMessage(conflict);
      // Where it is served, that it cannot be is a problem of the pod's, and told as such.
      if (served === undefined) warn(conflict.pod, message);
      warn(this.pods.get(conflict.grant.uid), message);
    }
    if (served !== undefined) {
      for (const { pod, statics: own = [] } of demands) {
        for (const message of amongNodePorts(own, served.nodePorts)) warn(pod, message);
      }
    }
    for (const grant of sockets.taken) {
      const message = `another process on the node holds host port ${grant.hostPort}/${grant.protocol} (port "${grant.name}"); the mapping stays and the reservation is tried again`;
      warn(this.pods.get(grant.uid), message);
    }
    this.announcer.endWarnings();
  }

  #judged(standing: PodStanding): PodStanding {
    return withRefusal(standing, (mapping) => this.#kernel.refusal(mapping));
  }

  #tell(standing: PodStanding): void {
    this.announcer.tell(standing, this.#surroundings.outward);
  }

  #wake(at: number | undefined): void {
    if (at !== undefined) this.#retryAt = Math.min(at, this.#retryAt ?? at);
  }

  #fail(operation: string, error: unknown): void {
    const failure = error instanceof Error ? error : new BerthError('SYSCALL_FAILED', messageOf(error));
    this.#world.recorder.record({ kind: 'failure', operation, error: failure });
  }
}

/** The numbers that the pod's own annotation names: used only when nothing better is known, and only if they are free. */
function hints({ pod }: Demand): ReadonlyMap<string, number> {
  if (!Object.hasOwn(pod.annotations, MAPPINGS)) return new Map();
  const text = pod.annotations[MAPPINGS] as string;
  const own = parseMappingsAnnotation(text).filter(({ podUID }) => podUID === pod.uid);
  return new Map(own.map((entry) => [portKey(entry), entry.hostPort]));
}

/** The pool of the part of the demand to which a grant without one belongs: by its port. */
function poolFor(demand: Demand, grant: Grant): string {
  const key = portKey(grant);
  const owner = demand.statics?.find(({ request }) => request.requests.some((one) => portKey(one) === key));
  return (owner ?? demand).request.pool;
}

function grantKey(grant: Grant): string {
  return `${grant.uid}/${portKey(grant)}/${grant.hostPort}`;
}
