/**
 * The numbers of claims: each leads to pods of its claim only (I1), moves forward to ready pods only, in one step (I6), and comes to
 * the pod whose turn it is (I8). By what the agent was told, and in the end by the truth.
 */
import { isActive, isNewer } from '../../daemon/core/podstate.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import type { AgentLife } from './agentlife.ts';
import type { SimClaim } from './claims.ts';
import type { SimFlow } from './flowcheck.ts';
import { targetsOf } from './podneeds.ts';
import { DISK_MS, type Stage } from './stage.ts';
import { ownerOf, type Rule, rulesOf } from './table.ts';
import { Violation } from './violation.ts';

/** By when whose turn it is has the number: a claim is asked for at least every 30 s. */
const TURN_MS = 40_000;

export class ClaimCheck {
  readonly #stage: Stage;
  /** Since when something is as it should not be, by what it is. */
  readonly #since = new Map<string, number>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  starts(): void {
    this.#since.clear();
  }

  /** A transaction turned these rules into those. `excused`: somebody else changed the table since the agent last looked. */
  applied(life: AgentLife, before: readonly Rule[], now: readonly Rule[], excused: boolean): void {
    for (const claim of this.#stage.claims?.all ?? []) {
      const at = ({ first, last, protocol, family }: Rule) =>
        first <= claim.number && claim.number <= last && protocol === 'TCP' && family === 4;
      const [was, is] = [before.find(at), now.find(at)];
      if (is !== undefined && is !== was) this.#belongs(life, claim, is);
      if (was === undefined || was.uid === is?.uid) continue;
      if (is !== undefined) this.#moved(life, claim, was, is);
      else if (!excused) this.#dropped(life, claim, was);
    }
  }

  /** I6: the connection was the pod's that had the number before; it keeps it for as long as it lives. */
  keeps(life: AgentLife, flow: SimFlow): boolean {
    const pod = this.#podAt(life.link.view.pods, flow);
    return (
      pod !== undefined && (life.link.view.since(pod.uid) ?? 0) < life.idleAt - DISK_MS && this.#hasOpened(flow, pod)
    );
  }

  /** By the truth the connection may be there. */
  mayStay(flow: SimFlow): boolean {
    const pod = this.#podAt(this.#stage.api.pods, flow);
    return pod !== undefined && this.#hasOpened(flow, pod);
  }

  /** To be called now and then. */
  tick(life: AgentLife, rules: readonly Rule[]): void {
    const { claims, time, weather } = this.#stage;
    if (claims === undefined || life.link.view.listedAt === undefined) return;
    const found = new Set<string>();
    for (const claim of claims.all) {
      const what = this.#wrong(life, claim, rules);
      if (what === undefined) continue;
      found.add(what);
      const since = this.#since.get(what) ?? time.now;
      this.#since.set(what, since);
      const told = [...life.link.view.pods].filter((pod) => this.#names(pod, claim));
      const from = Math.max(
        ...[since, claim.since, weather.impairedUntil, weather.claimsDownUntil, life.startedAt],
        ...told.map(({ uid }) => Math.max(life.link.view.since(uid) ?? 0, life.link.view.readySince(uid) ?? 0)),
      );
      if (time.now - from > TURN_MS) throw new Violation('I8', `${what} for ${Math.round(time.now - from)} ms`);
    }
    for (const what of this.#since.keys()) if (!found.has(what)) this.#since.delete(what);
  }

  /** The pod names a claim: undefined for another pod, else whether the number is the pod's, by the rules that stand. */
  hasTurn(pod: Pod, rules: readonly Rule[]): boolean | undefined {
    const claim = this.#claimOf(pod);
    if (claim === undefined) return undefined;
    return rules.some(({ uid, first }) => uid === pod.uid && first === claim.number);
  }

  /** In the end every claim's number is where it should be. */
  end(rules: readonly Rule[]): void {
    const { claims, api } = this.#stage;
    for (const claim of claims?.all ?? []) {
      const what = this.#misplaced(
        claim,
        rules,
        api.pods.filter((pod) => this.#names(pod, claim)),
        () => true,
      );
      if (what !== undefined) throw new Violation('I8', what);
    }
  }

  /** Somebody else has the number of the pod's claim, or may have it before the pod. */
  isBlocked(pod: Pod): boolean {
    const claim = this.#claimOf(pod);
    if (claim === undefined) return false;
    const { node, api } = this.#stage;
    const namers = new Set(api.pods.filter((one) => this.#names(one, claim)).map(({ uid }) => uid));
    const rules = rulesOf(node.ruleset.elements());
    return this.#blocked(claim) || rules.some(({ uid, first }) => first === claim.number && !namers.has(uid));
  }

  #wrong(life: AgentLife, claim: SimClaim, rules: readonly Rule[]): string | undefined {
    if (!claim.bound || this.#blocked(claim)) return undefined;
    const { view } = life.link;
    const told = [...view.pods].filter((pod) => this.#names(pod, claim));
    if (told.some(({ uid }) => this.#stage.weather.guilty.has(uid))) return undefined;
    return this.#misplaced(claim, rules, told, (pod) => pod.podIPs.every((ip) => view.owns(pod, ip)));
  }

  #misplaced(
    claim: SimClaim,
    rules: readonly Rule[],
    pods: readonly Pod[],
    owns: (pod: Pod) => boolean,
  ): string | undefined {
    const { node } = this.#stage;
    if (this.#blocked(claim)) return undefined;
    const able = pods.filter((pod) => targetsOf(pod, undefined, node).length > 0 && owns(pod) && !this.#isShared(pod));
    const holder = pods.find(({ uid }) => rules.some((rule) => rule.uid === uid && rule.first === claim.number));
    // Who claimed it once, and asks for something else by now, keeps it if the state file that told them apart was lost.
    if (holder === undefined && rules.some(({ first }) => first === claim.number)) return undefined;
    if (holder === undefined)
      return able.length === pods.length && able.length > 0 ? `${claim.name} leads to nobody` : undefined;
    if (claim.handover === 'OnTerminated') return undefined;
    const next = able.filter((pod) => pod.ready === true && !pod.terminating && pod.uid !== holder.uid);
    const follower = next.find((pod) => isNewer(pod, holder) || holder.terminating);
    return follower && `${claim.name} leads to ${holder.uid} and not to ${follower.uid}`;
  }

  #belongs(life: AgentLife, { name, number }: SimClaim, rule: Rule): void {
    const { node, api } = this.#stage;
    const isStatic = life.link.view.get(rule.uid)?.ports.some(({ hostPort }) => hostPort === number);
    if (isStatic || node.isForeign(rule.element) || api.hasNamed(rule.uid, name)) return;
    throw new Violation('I1', `the number of claim ${name} leads to ${ownerOf(rule)}, which never named it`);
  }

  #moved(life: AgentLife, claim: SimClaim, was: Rule, is: Rule): void {
    const { view } = life.link;
    const [from, to] = [view.get(was.uid), view.get(is.uid)];
    if (from === undefined || to === undefined || !this.#isSettled(life, claim, was)) return;
    this.#stage.counts.reached('number of a claim handed over');
    const decidedAt = life.idleAt - DISK_MS;
    if ((view.since(to.uid) ?? 0) >= decidedAt) return;
    const what = `the number of claim ${claim.name} went from ${from.uid} to ${to.uid}`;
    if (claim.handover === 'OnTerminated') throw new Violation('I6', `${what} before that one had ended`);
    const unready = to.ready !== true && (view.readySince(to.uid) ?? 0) < decidedAt;
    if (unready || to.terminating) throw new Violation('I6', `${what}, which is not ready`);
    if (isNewer(from, to) && !from.terminating) throw new Violation('I6', `${what}, which is older`);
  }

  #dropped(life: AgentLife, claim: SimClaim, was: Rule): void {
    if (this.#stage.weather.guilty.size > 0 || !this.#isSettled(life, claim, was)) return;
    throw new Violation('I6', `the number of claim ${claim.name} was taken from ${was.uid} and given to nobody`);
  }

  /** The pod that had the rule could have it still, by all that the agent has heard for long enough. */
  #isSettled(life: AgentLife, claim: SimClaim, rule: Rule): boolean {
    const { view } = life.link;
    const pod = view.get(rule.uid);
    if (pod === undefined || this.#stage.node.isForeign(rule.element) || !this.#names(pod, claim)) return false;
    return (view.since(pod.uid) ?? 0) < life.idleAt - DISK_MS && view.owns(pod, rule.podIP);
  }

  #podAt(pods: Iterable<Pod>, flow: SimFlow): Pod | undefined {
    const claim = this.#stage.claims?.numbered(flow.port);
    if (claim === undefined || flow.protocol !== 'TCP' || flow.replyPort !== 80) return undefined;
    const at = [...pods].filter(({ podIPs, hostNetwork }) => !hostNetwork && podIPs.includes(flow.replySource));
    const [pod] = at;
    return at.length === 1 && pod !== undefined && this.#names(pod, claim) ? pod : undefined;
  }

  #hasOpened({ owner }: SimFlow, { uid }: Pod): boolean {
    return owner.startsWith(uid);
  }

  #claimOf(pod: Pod): SimClaim | undefined {
    const { claims, api } = this.#stage;
    return claims?.named(api.asked(pod)?.claim);
  }

  #names(pod: Pod, claim: SimClaim): boolean {
    return isActive(pod) && !pod.hostNetwork && this.#claimOf(pod) === claim;
  }

  /** Two active pods have one address: whose it is, is not judged here. */
  #isShared(pod: Pod): boolean {
    return this.#stage.api.pods.some(
      (other) => other.uid !== pod.uid && isActive(other) && other.podIPs.some((ip) => pod.podIPs.includes(ip)),
    );
  }

  #blocked({ number }: SimClaim): boolean {
    const { node, api } = this.#stage;
    const isStatic = api.pods.some((pod) => isActive(pod) && pod.ports.some(({ hostPort }) => hostPort === number));
    return isStatic || node.isOccupied({ protocol: 'TCP', port: number });
  }
}
