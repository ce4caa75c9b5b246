/**
 * I6 of the allow-lists: a mapping never stands open to a source that its pod does not allow, not between two transactions
 * either. What somebody else took out of the table is not held against the agent.
 */
import { type Element, elementId, type SetName } from '../../rules/element.ts';
import type { AgentLife } from './agentlife.ts';
import type { Stage } from './stage.ts';
import { ownerOf, type Rule, rulesOf } from './table.ts';
import { Violation } from './violation.ts';

/** How long a pass waits for the disk between what it hears and what it does. */
const DISK_MS = 1_100;

export class LimitCheck {
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** `before`: the table before this transaction. `excused`: somebody else changed it since the agent last looked. */
  applied(life: AgentLife, before: readonly Element[], excused: boolean): void {
    const { node } = this.#stage;
    const elements = node.ruleset.elements();
    const old = new Set(before);
    const stood = new Set(before.map(elementId));
    const stands = new Set(elements.map(elementId));
    for (const rule of rulesOf(elements)) {
      // Whatever the agent may have gone by, the pod asked for a list.
      const limited = life.link.view.limitedSince(rule.uid) < life.idleAt - DISK_MS;
      if (!limited || node.isForeign(rule.element)) continue;
      for (const limit of limitsOf(rule)) {
        if (stands.has(limit) || (old.has(rule.element) ? !stood.has(limit) : excused)) continue;
        throw new Violation('I6', `${ownerOf(rule)} stands open to everybody: the table lacks ${limit}`);
      }
    }
  }
}

/** The pod allows some sources only, and the table lets in everybody. */
export function standsOpen(rule: Rule, elements: readonly Element[]): boolean {
  const stands = new Set(elements.map(elementId));
  return limitsOf(rule).some((limit) => !stands.has(limit));
}

/** By elementId: what closes the rule to all but the allowed. */
function limitsOf({ hostIP, protocol, first, last }: Rule): readonly string[] {
  const set: SetName = hostIP === '' ? 'limited' : hostIP.includes(':') ? 'limitedhost6' : 'limitedhost4';
  const at = hostIP === '' ? '' : `${hostIP} . `;
  const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return numbers.map((number) => elementId({ set, key: `${at}${protocol.toLowerCase()} . ${number}` }));
}
