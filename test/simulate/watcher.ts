/** Judges what the agents do to the world, at every step. Switched off it does nothing and changes nothing. */

import type { Flow } from '../../daemon/core/flow.ts';
import type { Mapping, Pod, PodResult, Reservation } from '../../daemon/core/vocabulary.ts';
import type { AskedBody } from '../../daemon/kube/api/resources.double.ts';
import type { ReserveOutcome } from '../../daemon/reconcile/ports.ts';
import type { Element, ElementChange } from '../../rules/element.ts';
import type { AgentLife } from './agentlife.ts';
import { ClaimCheck } from './claimcheck.ts';
import { FlowCheck, type SimFlow } from './flowcheck.ts';
import type { Witness } from './ground.ts';
import { HealthCheck } from './healthcheck.ts';
import { LimitCheck } from './limitcheck.ts';
import { NumberCheck } from './numbercheck.ts';
import { RuleCheck } from './rulecheck.ts';
import type { Stage } from './stage.ts';
import { StateCheck } from './statecheck.ts';
import { ownerOf, type Rule, rulesOf } from './table.ts';
import { Violation } from './violation.ts';
import { WriteCheck } from './writecheck.ts';

export class Watcher implements Witness {
  readonly rules: RuleCheck;
  readonly numbers: NumberCheck;
  readonly health: HealthCheck;
  readonly flows: FlowCheck;
  readonly writes: WriteCheck;
  readonly claims: ClaimCheck;
  readonly #limits: LimitCheck;
  readonly #state: StateCheck;
  readonly #stage: Stage;
  readonly #on: boolean;
  #before: readonly Rule[] = [];
  #elementsBefore: readonly Element[] = [];
  #tamperedAt = -1;
  #readAt = 0;
  /** The first invariant that was broken. */
  violation: Violation | undefined;

  constructor(stage: Stage, on: boolean) {
    this.#stage = stage;
    this.#on = on;
    this.rules = new RuleCheck(stage.node);
    this.numbers = new NumberCheck(stage);
    this.flows = new FlowCheck(stage);
    this.claims = new ClaimCheck(stage);
    this.#limits = new LimitCheck(stage);
    this.writes = new WriteCheck(stage);
    this.#state = new StateCheck(stage, this.numbers);
    this.health = new HealthCheck(stage, this.numbers, this.rules);
  }

  fail(invariant: string, detail: string): void {
    this.violation ??= new Violation(invariant, detail);
  }

  starts(_life: AgentLife): void {
    this.rules.starts();
    this.health.starts();
    this.flows.starts();
    this.#state.starts();
    this.writes.starts();
    this.claims.starts();
  }

  ended(): void {
    this.#tamperedAt = this.#stage.time.now;
  }

  /** Somebody else changed the table. */
  tampered(): void {
    this.#tamperedAt = this.#stage.time.now;
  }

  settingsChanged(): void {
    this.health.settingsChanged();
  }

  loading(_life: AgentLife): void {
    this.#judge(() => this.numbers.loading());
  }

  read(life: AgentLife): void {
    this.#readAt = this.#stage.time.now;
    if (life.adopted) return;
    life.adopted = true;
    this.#judge(() => {
      this.numbers.adopting();
      this.flows.adopting((owner, port) => this.numbers.isClaimed(owner, port));
    });
  }

  reserved(_life: AgentLife, reservation: Reservation, outcome: ReserveOutcome): void {
    this.rules.reserved(reservation, outcome);
  }

  released(life: AgentLife, reservation: Reservation): void {
    this.#judge(() => {
      this.rules.released(reservation);
      this.numbers.released(life, reservation);
      this.flows.released(reservation);
      this.#state.released(reservation);
    });
  }

  beforeApply(life: AgentLife): void {
    this.#judge(() => {
      this.#elementsBefore = this.#stage.node.ruleset.elements();
      this.#before = rulesOf(this.#elementsBefore);
      this.rules.beforeApply(life);
    });
  }

  applied(life: AgentLife, _change: ElementChange): void {
    this.#judge(() => {
      const now = rulesOf(this.#stage.node.ruleset.elements());
      const places = new Set(now.map(placeOf));
      const before = new Set(this.#before.map(placeOf));
      for (const rule of this.#before) {
        if (places.has(placeOf(rule))) continue;
        this.health.removed(life, rule, this.#elementsBefore);
        this.numbers.unruled(life, rule);
        this.#state.unruled(rule);
      }
      this.numbers.ruled(
        life,
        now.filter((rule) => !before.has(placeOf(rule))),
      );
      this.rules.applied(life);
      this.claims.applied(life, this.#before, now, this.#isTampered);
      this.#limits.applied(life, this.#elementsBefore, this.#isTampered);
    });
  }

  purgeFailed(): void {
    this.flows.purgeFailed();
  }

  purged(life: AgentLife, before: readonly Flow[], after: readonly Flow[]): void {
    const keeps = (flow: SimFlow) => this.claims.keeps(life, flow);
    this.#judge(() => this.flows.purged(before, after, this.#isTampered, keeps));
  }

  announced(_life: AgentLife, mapping: Mapping): void {
    this.#judge(() => this.rules.announced(mapping, this.#isTampered));
  }

  published(life: AgentLife, pod: Pod, result: PodResult): void {
    this.#judge(() => {
      this.numbers.published(life, pod, result);
      this.#state.published(pod, result);
      this.writes.published(pod, result);
    });
  }

  /** A write to the API server leaves the agent. */
  writing(_life: AgentLife): void {
    this.#judge(() => this.writes.writing());
  }

  /** The pod with this uid was written to. */
  patched(uid: string, body: AskedBody): void {
    this.#judge(() => this.writes.patched(uid, body));
  }

  tick(life: AgentLife): void {
    this.#judge(() => {
      this.health.tick(life);
      this.#state.tick();
      this.claims.tick(life, rulesOf(this.#stage.node.ruleset.elements()));
    });
  }

  /** Since the agent last read the table. */
  get #isTampered(): boolean {
    return this.#tamperedAt >= this.#readAt;
  }

  /** What is wrong is kept, and nothing thrown into the agent. */
  #judge(check: () => void): void {
    if (!this.#on || this.violation !== undefined) return;
    try {
      check();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.violation = error;
    }
  }
}

function placeOf(rule: Rule): string {
  return `${ownerOf(rule)} ${rule.family} ${rule.first} ${rule.hostIP} ${rule.podIP}`;
}
