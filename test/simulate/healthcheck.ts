/**
 * I6, I8 and the healing of I3, by what the agent was told: no rule of a healthy pod is taken away, none is missing for long,
 * none of a dead pod stays for long, and what stands is announced.
 */

import { isActive } from '../../daemon/core/podstate.ts';
import { poolHolds } from '../../daemon/core/pool.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import type { Element } from '../../rules/element.ts';
import type { AgentLife } from './agentlife.ts';
import { type Asked, STATIC } from './asked.ts';
import { standsOpen } from './limitcheck.ts';
import type { NumberCheck } from './numbercheck.ts';
import { hostIPOf, portOfRule, targetsOf } from './podneeds.ts';
import type { RuleCheck } from './rulecheck.ts';
import { DISK_MS, type Stage } from './stage.ts';
import { ownerOf, type Rule, rulesOf } from './table.ts';
import { Violation } from './violation.ts';

/** How long, beyond what its surroundings keep it from, an agent may take to put things right, in ms. */
const HEALING_MS = 4_000;

export class HealthCheck {
  readonly #stage: Stage;
  readonly #numbers: NumberCheck;
  readonly #rules: RuleCheck;
  /** Since when something is as it should not be, by what it is. */
  readonly #since = new Map<string, number>();
  #found = new Set<string>();
  /** When addresses or pools changed for the last time. */
  #settingsAt = 0;

  constructor(stage: Stage, numbers: NumberCheck, rules: RuleCheck) {
    this.#stage = stage;
    this.#numbers = numbers;
    this.#rules = rules;
  }

  starts(): void {
    this.#since.clear();
  }

  settingsChanged(): void {
    this.#settingsAt = this.#stage.time.now;
  }

  /** I6: the agent took this rule away, and no other stands in its place. `before`: the table as it was. */
  removed(life: AgentLife, rule: Rule, before: readonly Element[]): void {
    const { api, weather, node } = this.#stage;
    if (!api.known.has(rule.uid) || node.isForeign(rule.element) || weather.guilty.has(rule.uid)) return;
    const { view } = life.link;
    const what = `the rule of ${ownerOf(rule)} at ${rule.first}`;
    if (view.listedAt === undefined) throw new Violation('I6', `${what} was removed before the first list`);
    const pod = view.get(rule.uid);
    if (pod === undefined) {
      if (view.gone.has(rule.uid)) return;
      throw new Violation('I6', `${what} was removed although nobody said that its pod is gone`);
    }
    // What cannot be closed to those whom the pod does not allow is taken away.
    if (view.limitedSince(rule.uid) < life.idleAt && standsOpen(rule, before)) return;
    const stableSince = Math.max(view.since(rule.uid) ?? 0, this.#settingsAt);
    if (stableSince >= life.idleAt - DISK_MS || !this.#isRightful(rule, pod, life)) return;
    throw new Violation('I6', `${what} was removed although its pod lives and asks for it`);
  }

  /** To be called now and then. */
  tick(life: AgentLife): void {
    const { api, node } = this.#stage;
    const { view } = life.link;
    if (view.listedAt === undefined) return;
    this.#found = new Set();
    const rules = rulesOf(node.ruleset.elements());
    const ruled = new Map(rules.map((rule) => [`${ownerOf(rule)} ${rule.podIP}`, rule]));
    for (const pod of view.pods) {
      const asked = isActive(pod) ? api.asked(pod) : undefined;
      if (asked !== undefined) this.#checkPod(life, pod, asked, ruled);
    }
    for (const rule of rules) this.#checkDead(life, rule);
    for (const mapping of life.announced.values()) {
      if (this.#rules.stands(mapping)) continue;
      this.#wrong('I2', `${mapping.pod.uid}/${mapping.name} is announced and has no rule`, life, mapping.pod.uid);
    }
    for (const what of this.#since.keys()) if (!this.#found.has(what)) this.#since.delete(what);
  }

  #checkPod(life: AgentLife, pod: Pod, asked: Asked, ruled: ReadonlyMap<string, Rule>): void {
    const { node, weather, pools } = this.#stage;
    // Whose turn it is to have a claim's number is another question.
    if (weather.guilty.has(pod.uid) || asked.claim !== undefined) return;
    const pool = pools.find(({ name }) => name === asked.pool);
    const hostIP = hostIPOf(asked, pool, node);
    if (hostIP === null) return;
    for (const podIP of targetsOf(pod, hostIP, node)) {
      if (!life.link.view.owns(pod, podIP)) return;
      for (const port of asked.ports) {
        const owner = ownerOf({ uid: pod.uid, ...port });
        const expected = this.#numbers.numberOf(owner) !== undefined || isEasy(asked);
        if (!expected) continue;
        if (!ruled.has(`${owner} ${podIP}`)) this.#wrong('I8', `${owner} has no rule to ${podIP}`, life, pod.uid);
        else if (!life.announced.has(owner))
          this.#wrong('I8', `${owner} has a rule and is not announced`, life, pod.uid);
      }
    }
  }

  /** I7: who is gone, or has ended, has no rule. */
  #checkDead(life: AgentLife, rule: Rule): void {
    const { view } = life.link;
    const pod = view.get(rule.uid);
    if (pod === undefined ? !view.gone.has(rule.uid) : isActive(pod)) return;
    if (!this.#stage.weather.guilty.has(rule.uid))
      this.#wrong('I7', `${ownerOf(rule)} is gone and has a rule`, life, rule.uid);
  }

  #wrong(invariant: string, what: string, life: AgentLife, uid: string): void {
    const { time, weather } = this.#stage;
    this.#found.add(what);
    const since = this.#since.get(what) ?? time.now;
    this.#since.set(what, since);
    const { view } = life.link;
    const from = Math.max(since, weather.impairedUntil, view.since(uid) ?? 0, view.listedAt ?? 0, this.#settingsAt);
    if (time.now - from > HEALING_MS) throw new Violation(invariant, `${what} for ${Math.round(time.now - from)} ms`);
  }

  #isRightful(rule: Rule, pod: Pod, life: AgentLife): boolean {
    const { api, node, pools } = this.#stage;
    const asked = api.asked(pod);
    if (asked === undefined || portOfRule(rule, asked) === undefined) return false;
    const pool = pools.find(({ name }) => name === asked.pool);
    const hostIP = hostIPOf(asked, pool, node, rule.hostIP);
    if (hostIP === null || (hostIP ?? '') !== rule.hostIP) return false;
    const inPool = pool !== undefined && poolHolds(pool, rule.first, rule.last - rule.first + 1);
    if (asked.pool !== STATIC && !inPool) return false;
    return targetsOf(pod, hostIP, node).includes(rule.podIP) && life.link.view.owns(pod, rule.podIP);
  }
}

/** Nothing but the agent itself can keep it from being mapped: there is room, and nobody else wants just these numbers. */
function isEasy({ pool, hostIP, ports }: Asked): boolean {
  const single = new Set(ports.map(({ unit }) => unit)).size === ports.length;
  return (
    pool === 'default' &&
    hostIP === undefined &&
    single &&
    ports.every(({ size, exact }) => size === 1 && exact === undefined)
  );
}
