/** I1 and I2 at the kernel: no host port leads to two pods, no rule without its reservation, no announcement without its rule. */

import type { Mapping, Protocol, Reservation } from '../../daemon/core/vocabulary.ts';
import type { ReserveOutcome } from '../../daemon/reconcile/ports.ts';
import { type Element, elementId } from '../../rules/element.ts';
import type { AgentLife } from './agentlife.ts';
import { expectedElements } from './expected.ts';
import type { SimNode } from './simnode.ts';
import { ownerOf, type Rule, rulesOf } from './table.ts';
import { Violation } from './violation.ts';

export function reservationKey(protocol: Protocol, port: number, hostIP: string | undefined): string {
  return `${protocol}/${port}@${hostIP ?? ''}`;
}

const expectedOnce = new WeakMap<Mapping, readonly Element[]>();

/** What must stand for an announced mapping. */
export function elementsOfMapping(mapping: Mapping): readonly Element[] {
  let elements = expectedOnce.get(mapping);
  if (elements === undefined) {
    const { pod, name, protocol, hostPort, size, hostIP, containerPort, podIPs, allowFrom } = mapping;
    const cidrs = allowFrom?.map(({ text }) => text);
    elements = expectedElements({
      uid: pod.uid,
      name,
      protocol,
      first: hostPort,
      size,
      hostIP,
      containerPort,
      podIPs,
      allowFrom: cidrs,
    });
    expectedOnce.set(mapping, elements);
  }
  return elements;
}

export class RuleCheck {
  readonly #node: SimNode;
  /** Reservations that the running agent tried and could not have. */
  readonly #denied = new Set<string>();
  /** Whether each announced mapping stood before the transaction at hand. */
  #intact = new Map<Mapping, boolean>();

  constructor(node: SimNode) {
    this.#node = node;
  }

  starts(): void {
    this.#denied.clear();
  }

  reserved({ protocol, port, hostIP }: Reservation, outcome: ReserveOutcome): void {
    const key = reservationKey(protocol, port, hostIP);
    if (outcome.kind === 'held') this.#denied.delete(key);
    else this.#denied.add(key);
  }

  /** I2: a socket is closed only after its rule is gone. */
  released({ protocol, port, hostIP }: Reservation): void {
    for (const rule of rulesOf(this.#node.ruleset.elements())) {
      if (rule.protocol !== protocol || port < rule.first || rule.last < port || this.#node.isForeign(rule.element))
        continue;
      if (rule.hostIP !== (hostIP ?? '')) continue;
      throw new Violation(
        'I2',
        `the socket of ${protocol}/${port} was closed before the rule of ${ownerOf(rule)} was removed`,
      );
    }
  }

  beforeApply(life: AgentLife): void {
    const installed = this.#installed();
    this.#intact = new Map();
    for (const mapping of life.announced.values()) this.#intact.set(mapping, stands(mapping, installed));
  }

  applied(life: AgentLife): void {
    const installed = this.#installed();
    for (const mapping of life.announced.values()) {
      if (this.#intact.get(mapping) === true && !stands(mapping, installed)) {
        throw new Violation('I2', `the rule of ${label(mapping)} was taken down while it was announced`);
      }
    }
    const rules = rulesOf([...installed.values()]).filter(({ element }) => !this.#node.isForeign(element));
    this.#checkUnique(rules);
    this.#checkReserved(rules);
  }

  /** `excused`: somebody else changed the table since the agent last looked. */
  announced(mapping: Mapping, excused: boolean): void {
    if (excused || stands(mapping, this.#installed())) return;
    throw new Violation('I2', `${label(mapping)} was announced and its rule does not stand`);
  }

  stands(mapping: Mapping): boolean {
    return stands(mapping, this.#installed());
  }

  #installed(): ReadonlyMap<string, Element> {
    return new Map(this.#node.ruleset.elements().map((element) => [elementId(element), element]));
  }

  #checkUnique(rules: readonly Rule[]): void {
    const users = new Map<string, Rule[]>();
    for (const rule of rules) {
      for (let number = rule.first; number <= rule.last; number++) {
        const key = `${rule.family} ${rule.protocol}/${number}`;
        const others = users.get(key);
        if (others === undefined) users.set(key, [rule]);
        else others.push(rule);
        for (const other of others ?? []) {
          if (other === rule || (other.hostIP !== '' && rule.hostIP !== '' && other.hostIP !== rule.hostIP)) continue;
          throw new Violation('I1', `${key} leads to ${ownerOf(other)} and to ${ownerOf(rule)}`);
        }
      }
    }
  }

  #checkReserved(rules: readonly Rule[]): void {
    const held = new Set(this.#node.reserver.held().map((one) => reservationKey(one.protocol, one.port, one.hostIP)));
    for (const rule of rules) {
      for (let number = rule.first; number <= rule.last; number++) {
        const key = reservationKey(rule.protocol, number, rule.hostIP === '' ? undefined : rule.hostIP);
        if (held.has(key) || this.#denied.has(key)) continue;
        throw new Violation('I2', `the rule of ${ownerOf(rule)} stands without the reservation ${key}`);
      }
    }
  }
}

function stands(mapping: Mapping, installed: ReadonlyMap<string, Element>): boolean {
  return elementsOfMapping(mapping).every((element) => {
    const found = installed.get(elementId(element));
    return found !== undefined && found.value === element.value && found.comment === element.comment;
  });
}

function label({ pod, name, protocol, hostPort }: Mapping): string {
  return `${pod.uid}/${name}/${protocol} at ${hostPort}`;
}
