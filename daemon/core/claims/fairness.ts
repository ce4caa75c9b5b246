/** Whose steps come when: one of each namespace, then another one, so that those of one that has many hold up no other (I8). Pure. */
import type { Step } from './steps.ts';

/** Of each key in its turn; those of one key stay in their order. */
export function inTurn<T>(values: readonly T[], keyOf: (value: T) => string): readonly T[] {
  const ordered: T[] = [];
  let groups = [...Map.groupBy(values, keyOf).values()];
  for (let at = 0; groups.length > 0; at++) {
    groups = groups.filter(({ length }) => length > at);
    for (const group of groups) ordered.push(group[at] as T);
  }
  return ordered;
}

/** Empty: what is everybody's. */
export function namespaceOf(step: Step): string {
  switch (step.kind) {
    case 'hold':
      return step.owned.kind === 'claim' ? step.owned.object.meta.namespace : '';
    case 'tell-claim':
      return step.object.meta.namespace;
    case 'bind':
    case 'remake':
    case 'restore':
    case 'lose':
    case 'finish':
      return step.claim.meta.namespace;
    case 'withdraw':
    case 'retain':
    case 'release':
    case 'let-go':
      return step.hostPort.claimRef?.namespace ?? '';
    case 'tell-hostport':
      return step.object.claimRef?.namespace ?? '';
    case 'ask':
      return step.namespace;
    case 'provide':
      return step.claim.namespace;
    case 'tell-class':
    case 'retire':
      return '';
  }
}
