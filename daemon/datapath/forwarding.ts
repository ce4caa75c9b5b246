/**
 * What a chain of the forward hook does with a connection to a pod, followed through its jumps. Pure: rules come in as they
 * were read. It says "drops" and "accepts" only where that is certain.
 */
import type { ForwardVerdict, Passage } from '../core/diagnosis.ts';
import type { TableRules } from './chains.ts';
import { effectOf } from './ruleeffect.ts';

/** NFT_JUMP_STACK_SIZE: the kernel accepts no deeper nesting. */
const MAX_DEPTH = 16;
/** So many rules are looked at; a chain may be jumped to again and again. */
const MAX_RULES = 50_000;

interface Walk {
  readonly rules: TableRules;
  readonly passage: Passage;
  /** A rule was met that may accept. */
  possible: boolean;
  left: number;
}

type End = 'accept' | 'drop' | 'pass';

/** A rule that may drop is no reason to doubt: network policies are such rules. */
export function forwardVerdict(
  chain: string,
  policy: 'accept' | 'drop',
  rules: TableRules,
  passage: Passage,
): ForwardVerdict {
  const walk: Walk = { rules, passage, possible: false, left: MAX_RULES };
  const end = follow(walk, chain, true, 0);
  if (walk.left <= 0) return 'undecided';
  if (end === 'accept' || (end === 'pass' && policy === 'accept')) return 'accepts';
  return walk.possible ? 'undecided' : 'drops';
}

/** `certain`: the packet is sure to come here. Otherwise nothing here is certain, and the answer is `pass`. */
function follow(walk: Walk, chain: string, certain: boolean, depth: number): End {
  if (depth > MAX_DEPTH) return 'pass';
  let here = certain;
  for (const rule of walk.rules.get(chain) ?? []) {
    if (walk.left-- <= 0) return 'pass';
    const { matches, action } = effectOf(rule, walk.passage);
    if (matches === 'no') continue;
    const sure = here && matches === 'yes';
    switch (action.kind) {
      case 'none':
        break;
      case 'any':
        walk.possible = true;
        break;
      case 'accept':
        if (sure) return 'accept';
        walk.possible = true;
        break;
      case 'drop':
        if (sure) return 'drop';
        break;
      case 'return':
        if (matches === 'yes') return 'pass';
        here = false;
        break;
      default: {
        const end = follow(walk, action.chain, sure, depth + 1);
        if (end !== 'pass') return end;
        if (action.kind === 'jump') break;
        if (matches === 'yes') return 'pass';
        here = false;
      }
    }
  }
  return 'pass';
}
