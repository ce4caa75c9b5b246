/**
 * What one nf_tables rule does to a packet of which only a part is known: its expressions carried out on registers, each of
 * which holds bytes or is unknown. It must never claim more than it can know: what it does not understand may match or not.
 */
import type { Passage } from '../core/diagnosis.ts';
import { attribute, attributes, attributeText } from '../native/attributes.ts';
import { headerBytes, metaValue, STATE_NEW, trackedValue, type Value } from './passagevalues.ts';

export type Action =
  | { readonly kind: 'none' | 'accept' | 'drop' | 'return' }
  /** A verdict that depends on what is not known here (a verdict map, a queue). */
  | { readonly kind: 'any' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

export interface Effect {
  /** Whether the rule's conditions hold. */
  readonly matches: 'yes' | 'no' | 'maybe';
  readonly action: Action;
}

type Registers = Map<number, Value>;

const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;

const NO: Effect = { matches: 'no', action: { kind: 'none' } };
/** Targets of iptables that end a rule by dropping the packet; all others change or note something and go on. */
const DROPPING: ReadonlySet<string> = new Set(['REJECT', 'DROP']);
/** Expressions without conditions. */
const TRANSPARENT: ReadonlySet<string> = new Set(['counter', 'log', 'notrack', 'last', 'objref', 'dup', 'dynset']);

/** `rule` is what NFTA_RULE_EXPRESSIONS holds. */
export function effectOf(rule: Buffer, passage: Passage): Effect {
  const registers: Registers = new Map();
  let certain = true;
  const ends = (action: Action): Effect => ({ matches: certain ? 'yes' : 'maybe', action });
  for (const [, expression] of attributes(rule)) {
    const name = attributeText(attribute(expression, NFTA_EXPR_NAME) ?? NOTHING);
    const data = attribute(expression, NFTA_EXPR_DATA) ?? NOTHING;
    switch (name) {
      case 'immediate': {
        const verdict = attribute(attribute(data, 2) ?? NOTHING, NFTA_DATA_VERDICT);
        if (verdict !== undefined) return ends(actionOf(verdict));
        registers.set(slot(u32(data, 1)), valueIn(data, 2));
        break;
      }
      case 'meta':
        // NFTA_META_DREG is absent when the rule sets a mark or the like.
        if (attribute(data, 1) !== undefined) registers.set(slot(u32(data, 1)), metaValue(u32(data, 2), passage));
        break;
      case 'ct':
        if (attribute(data, 1) !== undefined) registers.set(slot(u32(data, 1)), trackedValue(u32(data, 2)));
        break;
      case 'payload':
        if (attribute(data, 1) !== undefined)
          registers.set(slot(u32(data, 1)), headerBytes(u32(data, 2), u32(data, 3), u32(data, 4), passage));
        break;
      case 'bitwise':
        registers.set(slot(u32(data, 2)), bitwise(data, registers));
        break;
      case 'cmp': {
        const holds = compare(data, registers);
        if (holds === false) return NO;
        certain &&= holds === true;
        break;
      }
      case 'match': {
        const holds = matchOfIptables(data);
        if (holds === false) return NO;
        certain &&= holds === true;
        break;
      }
      case 'target':
        if (DROPPING.has(attributeText(attribute(data, 1) ?? NOTHING))) return ends({ kind: 'drop' });
        break;
      case 'reject':
        return ends({ kind: 'drop' });
      case 'queue':
        return ends({ kind: 'any' });
      case 'lookup':
        certain = false;
        // NFTA_LOOKUP_DREG 0 is the verdict: a verdict map.
        if (attribute(data, 3) !== undefined && u32(data, 3) === 0) return ends({ kind: 'any' });
        registers.clear();
        break;
      default:
        if (TRANSPARENT.has(name)) break;
        certain = false;
        registers.clear();
    }
  }
  return ends({ kind: 'none' });
}

const NOTHING = Buffer.alloc(0);

/** enum nft_verdicts and NF_*. */
function actionOf(verdict: Buffer): Action {
  const chain = attributeText(attribute(verdict, NFTA_VERDICT_CHAIN) ?? NOTHING);
  switch (u32(verdict, NFTA_VERDICT_CODE) | 0) {
    case 0:
      return { kind: 'drop' };
    case 1:
      return { kind: 'accept' };
    case -1:
      return { kind: 'none' };
    case -3:
      return { kind: 'jump', chain };
    case -4:
      return { kind: 'goto', chain };
    case -5:
      return { kind: 'return' };
    default:
      return { kind: 'any' };
  }
}

/** NFT_REG_1 … 4 hold 16 bytes, NFT_REG32_00 … 15 the same bytes four at a time: here all are counted in fours. */
function slot(register: number): number {
  return register < 8 ? 4 * (register - 1) : register - 8;
}

/** `(register & mask) ^ xor`; shifts are not followed. */
function bitwise(data: Buffer, registers: Registers): Value {
  const value = registers.get(slot(u32(data, 1)));
  const mask = valueIn(data, 4);
  const xor = valueIn(data, 5);
  if (value === undefined || mask === undefined || xor === undefined || u32(data, 6) !== 0) return undefined;
  return Buffer.from(mask.map((bits, index) => ((value[index] ?? 0) & bits) ^ (xor[index] ?? 0)));
}

/** enum nft_cmp_ops, in this order; undefined when it cannot be known. A shorter operand (`eth*`) compares a prefix. */
function compare(data: Buffer, registers: Registers): boolean | undefined {
  const value = registers.get(slot(u32(data, 1)));
  const operand = valueIn(data, 3);
  if (value === undefined || operand === undefined || value.length < operand.length) return undefined;
  const order = Buffer.compare(value.subarray(0, operand.length), operand);
  return [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][u32(data, 2)];
}

// struct xt_conntrack_mtinfo2 and 3, behind eight addresses, two numbers of 32 bits, a protocol and four ports.
const MATCH_FLAGS = 146;
const INVERT_FLAGS = 148;
const STATE_MASK = 150;
const MATCHES_STATE = 1;
/** XT_CONNTRACK_STATE_DNAT */
const STATE_DNAT = 0x80;

/** A match of iptables that was not translated: `-m conntrack --ctstate`, as every firewall has it, and comments. */
function matchOfIptables(data: Buffer): boolean | undefined {
  const name = attributeText(attribute(data, 1) ?? NOTHING);
  if (name === 'comment') return true;
  const info = attribute(data, 3);
  if (name !== 'conntrack' || info === undefined || u32(data, 2) < 2) return undefined;
  if (info.readUInt16LE(MATCH_FLAGS) !== MATCHES_STATE) return undefined;
  const inverted = (info.readUInt16LE(INVERT_FLAGS) & MATCHES_STATE) !== 0;
  return ((info.readUInt16LE(STATE_MASK) & (STATE_NEW | STATE_DNAT)) !== 0) !== inverted;
}

/** The bytes of a nested nft_data. */
function valueIn(data: Buffer, type: number): Value {
  return attribute(attribute(data, type) ?? NOTHING, NFTA_DATA_VALUE);
}

function u32(data: Buffer, type: number): number {
  return attribute(data, type)?.readUInt32BE(0) ?? 0;
}
