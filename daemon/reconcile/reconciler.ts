/**
 * The pass: observe, allocate, plan, act. It derives everything from the present state and is right whatever was done
 * before it, by whom, and how far. One pass at a time; the loop sees to that.
 */
import { MAPPINGS } from '../core/annotation.ts';
import { BerthError, messageOf } from '../core/errors.ts';
import type { FormerTarget } from '../core/flow.ts';
import { Ledger, portKey } from '../core/ledger.ts';
import { type PoolConfig, poolOnNode } from '../core/pool.ts';
import { parseMappingsAnnotation } from '../core/result.ts';
import type { ChangedSetting } from '../core/state.ts';
import type { Mapping, NodeAddress, Pod, Problem } from '../core/vocabulary.ts';
import { adopt } from './adoption.ts';
import { Allocator } from './allocate.ts';
import { Announcer, type Live } from './announcer.ts';
import { Assessments } from './assessments.ts';
import { Claims } from './claims.ts';
import { Cleaning } from './cleaning.ts';
import { type ClosingGrants, closingOf } from './closing.ts';
import { Conflicts, type StaticHostPorts } from './conflicts.ts';
import type { Demand } from './demand.ts';
import { HeldBack } from './heldback.ts';
import { Inheritance } from './inheritance.ts';
import { brokenInvariants } from './invariants.ts';
import { Journal } from './journal.ts';
import { Kernel } from './kernel.ts';
import { elementsOnce, mappingKey, sameMapping } from './plan.ts';
import { PodSet } from './podset.ts';
import type { World } from './ports.ts';
import { Sockets } from './sockets.ts';
import { addressOwners, otherOwner, type PodStanding, standingsOf, withRefusal } from './standing.ts';
import { staticsOf } from './statics.ts';
import { Surroundings } from './surroundings.ts';
import { claimUses, Turns } from './turns.ts';
import { turnMappings } from './wanted.ts';

/** How soon what is unfinished is tried again, in ms. */
const RETRY = { flows: 1_000, addresses: 1_000 } as const;
/** A bridge learns a pod's port from the pod's answer to the question that was just put, mostly within a millisecond; doubling. */
const BRIDGE_PORT = { first: 10, cap: 1_000 } as const;

export class Reconciler {
  readonly pods: PodSet;
  readonly ledger: Ledger;
  readonly announcer: Announcer;
  readonly #world: World;
  readonly #labels: Readonly<Record<string, string>>;
  readonly #surroundings: Surroundings;
  readonly #kernel: Kernel;
  readonly #cleaning: Cleaning;
  readonly #sockets: Sockets;
  readonly #allocator: Allocator;
  readonly #journal: Journal;
  readonly #claims: Claims;
  readonly #inheritance: Inheritance;
  readonly #assessments: Assessments;
  readonly #conflicts: Conflicts;
  readonly #heldBack = new HeldBack();
  #pools: ReadonlyMap<string, PoolConfig> = new Map();
  #mappings: ReadonlyMap<string, Mapping> = new Map();
  /** What led to pods whose claim another has now, by mappingKey: they keep the connections that they have. */
  #draining: ReadonlyMap<string, Mapping> = new Map();
  /** By uid of pods that were given nothing in the last pass: see Allocation. */
  #refused: ReadonlyMap<string, string> = new Map();
  /** Un-announced mappings whose rule or flows may still stand. */
  readonly #ending: Live[] = [];
  /** No pass has come to its end yet: what is live now was live before this agent. */
  #first = true;
  #networkChanged = true;
  #bridgeWait: number = BRIDGE_PORT.first;
  #retryAt: number | undefined;

  /** `onClaim`: something new is known of a claim, which is a reason for a pass. */
  constructor(
    world: World,
    labels: Readonly<Record<string, string>>,
    onClaim: () => void,
    staticHostPorts?: StaticHostPorts,
  ) {
    this.#world = world;
    this.#labels = labels;
    this.pods = new PodSet(world.clock);
    this.ledger = new Ledger(world.random);
    this.#surroundings = new Surroundings(world.network, (operation, error) => this.#fail(operation, error));
    this.#kernel = new Kernel(world.datapath, world.recorder, world.clock);
    this.#cleaning = new Cleaning(world.flows, world.recorder, world.clock);
    this.#sockets = new Sockets(this.ledger, world);
    this.#allocator = new Allocator(this.ledger, world.reserver, world.clock);
    this.#journal = new Journal(world, this.ledger, this.#surroundings);
    this.announcer = new Announcer(world.registry, world.publisher, world.recorder, world.clock);
    this.#claims = new Claims(world, onClaim);
    this.#inheritance = new Inheritance(world.recorder);
    this.#assessments = new Assessments(this.ledger, { labels, servesStatics: staticHostPorts !== undefined });
    this.#conflicts = new Conflicts(this.pods, this.ledger, this.announcer, staticHostPorts);
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
      this.#inheritance.take(grant);
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
    const assessed = this.#assessments.demands(pods, this.#pools, this.#surroundings, problems);
    this.#claims.follow(claimUses(assessed.values()));
    const known = (namespace: string, claim: string) => this.#claims.known(namespace, claim);
    const stands = (part: Demand) => turnMappings(part, part.podIPs).some((mapping) => this.#kernel.leadsTo(mapping));
    const turns = new Turns(assessed, {
      ...{
        ledger: this.ledger,
        known,
        hasHeard: (use) => this.#claims.hasHeard(use),
        stands,
        suspects,
        refused: this.#refused,
      },
      reaches: reachable(pods),
      isHeldBack: (uid) => this.#heldBack.has(uid, began),
    });
    const statics = staticsOf(pods);
    for (const grant of this.#inheritance.takeFlows(this.ledger, suspects)) this.#noteFlows(grant);
    const { version } = this.ledger;
    const before = closingOf(this.ledger, turns.demands, suspects);
    const waits = ({ pod }: Demand) => this.pods.waits(pod);
    const taken = { isStatic: statics.has, isClaimed: turns.isClaimed };
    const allocation = this.#allocator.allocate(turns.bundles(), taken, before, hints, waits);
    this.#wake(allocation.retryAt);
    if (turns.couldGoOn(allocation.refused)) this.#wake(clock.monotonic());
    this.#refused = allocation.refused;
    const demands = turns.settle((demand, unit) => this.#allocator.isGranted(demand, unit));
    for (const [uid, problem] of allocation.problems) problems.set(uid, problem);
    if (allocation.given.size > 0) await this.#journal.save();

    const others = {
      turnsOf: (uid: string) => turns.othersOf(uid),
      formerOf: (uid: string) => turns.formerOf(uid),
      draining: this.#draining,
    };
    const standings = standingsOf(pods, demands, problems, this.ledger, this.#mappings, others);
    const promised = standings.flatMap((standing) => standing.promised);
    const mappings = new Map(promised.map((mapping) => [mappingKey(mapping), mapping]));
    const draining = new Map(standings.flatMap((one) => one.draining).map((mapping) => [mappingKey(mapping), mapping]));
    this.#noteChanged(this.#mappings, mappings);
    this.#noteChanged(this.#draining, draining);
    this.#mappings = mappings;
    this.#draining = draining;
    for (const standing of standings) if (allocation.given.has(standing.pod.uid)) this.#tell(this.#judged(standing));
    const wanted = promised.filter((mapping) => elementsOnce(mapping).length > 0);
    const same = this.ledger.version === version && demands === turns.demands;
    const closing = same ? before : closingOf(this.ledger, demands, suspects);
    if (await this.#install(wanted, standings, suspects)) this.#settle(wanted, standings, closing);
    else if (this.#first) this.#announceAdopted(wanted);
    this.announcer.recordAdopted();
    if (suspects.size === 0 && !this.#first) this.#kernel.forgetInherited();
    for (const standing of standings) this.#tell(this.#judged(standing));
    const sockets = this.#sockets.hold();
    this.#wake(sockets.retryAt);
    this.#conflicts.report(statics, demands.values(), sockets.taken);
    this.#journal.saveLater();
    if (full) this.#checkInvariants();
    recorder.record({ kind: 'pass', full, ms: clock.monotonic() - began });
    return this.#retryAt;
  }

  /** Nothing is left running. */
  stop(): void {
    this.pods.stop();
    this.#claims.stop();
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

  /**
   * Where the flows of mappings that change or end may lead, whether or not a rule is there to be removed: somebody may have
   * flushed the table.
   */
  #noteChanged(before: ReadonlyMap<string, Mapping>, now: ReadonlyMap<string, Mapping>): void {
    for (const [key, mapping] of before) {
      if (mapping.podIPs.length > 0 && now.get(key) !== mapping) this.#noteFlows(mapping);
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
    if (this.#surroundings.foresee(wanted)) await this.#journal.save();
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
    const draining = [...this.#draining.values()];
    await this.#kernel.install(makePlan(), wanted, makePlan, draining);
    this.#wake(this.#kernel.retryAt);
    const now = clock.monotonic();
    const isNews = this.#heldBack.note(standings, (mapping) => this.#kernel.refusal(mapping), now);
    // Whoever has the number is announced again.
    this.#wake(isNews ? now : this.#heldBack.retryAt(now));
    const stands = (mapping: Mapping) => this.#kernel.refusal(mapping) === undefined;
    this.#unannounce(
      wanted.filter((mapping) => !stands(mapping) && this.announcer.live.has(mappingKey(mapping))),
      standings,
    );
    const settled = await this.#cleaning.run(wanted, stands, this.#surroundings.isNodeAddress, draining);
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
      this.#inheritance.announced(mapping);
      this.announcer.announce(mapping, true, this.pods.addressedAt(mapping.pod.uid));
    }
  }

  /** Rules and flows are as they should be: announce what is new, release what has ended. */
  #settle(wanted: readonly Mapping[], standings: readonly PodStanding[], closing: ClosingGrants): void {
    const { clock } = this.#world;
    const mapped = new Set<string>();
    const { stuck = [], rest = [] } = Object.groupBy(this.#ending.splice(0), ({ mapping: { pod, name } }) =>
      this.#kernel.isStuck({ uid: pod.uid, name }) ? 'stuck' : 'rest',
    );
    // Of what is not certain to be gone nobody is told that it is.
    this.#ending.push(...stuck);
    const gone = new Set(rest);
    const endings = Map.groupBy(rest, ({ mapping }) => mappingKey(mapping));
    for (const mapping of wanted) {
      const known = this.announcer.live.get(mappingKey(mapping));
      if (known?.mapping === mapping || this.#kernel.refusal(mapping) !== undefined) continue;
      const adopted = this.#first && this.#kernel.adopted(mapping);
      this.#inheritance.announced(mapping);
      const unchanged = endings.get(mappingKey(mapping))?.find((live) => sameMapping(live.mapping, mapping));
      if (unchanged !== undefined) {
        gone.delete(unchanged);
        this.announcer.released(unchanged, this.#givenAt(mapping));
      }
      this.announcer.announce(mapping, adopted, this.pods.addressedAt(mapping.pod.uid));
      // What was to be handed over and was not is no news to its pod.
      if (!adopted && unchanged === undefined) mapped.add(mapping.pod.uid);
    }
    const ended = new Set<string>();
    for (const live of gone) {
      this.announcer.released(live, this.#givenAt(live.mapping));
      if (!this.announcer.live.has(mappingKey(live.mapping))) ended.add(live.mapping.pod.uid);
    }
    const waiting = standings.some(
      ({ problem }) => problem?.reason === 'PoolExhausted' || problem?.reason === 'PortConflict',
    );
    for (const grant of closing) {
      if (this.#kernel.isStuck(grant)) continue;
      this.ledger.revoke(grant, clock.monotonic(), clock.now());
      this.#inheritance.revoked(grant);
      // Somebody may be waiting for the number: the next pass tells when its rest ends.
      if (waiting) this.#wake(clock.monotonic());
    }
    this.#sockets.releaseRest();
    for (const { pod, promised, turn } of standings) {
      if (mapped.has(pod.uid)) this.announcer.mappedEvent(pod, promised);
      if (!ended.has(pod.uid)) continue;
      if (turn?.reason === 'HandedOver') this.announcer.handedOverEvent(pod, turn.message);
      else this.announcer.releasedEvent(pod);
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

  #judged(standing: PodStanding): PodStanding {
    return this.#heldBack.told(withRefusal(standing, (mapping) => this.#kernel.refusal(mapping)));
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

/** Whether a pod's addresses are its own. Who has which is found out when somebody wants to know. */
function reachable(pods: readonly Pod[]): (part: Demand) => boolean {
  let owners: ReturnType<typeof addressOwners> | undefined;
  return ({ pod, podIPs }) => {
    owners ??= addressOwners(pods);
    return otherOwner(pod, podIPs, owners) === undefined;
  };
}

/** The numbers that the pod's own annotation names: used only when nothing better is known, and only if they are free. */
function hints({ pod }: Demand): ReadonlyMap<string, number> {
  if (!Object.hasOwn(pod.annotations, MAPPINGS)) return new Map();
  const text = pod.annotations[MAPPINGS] as string;
  const own = parseMappingsAnnotation(text).filter(({ podUID }) => podUID === pod.uid);
  return new Map(own.map((entry) => [portKey(entry), entry.hostPort]));
}
