/**
 * The table's chains, rules and sets as the kernel has them: whether they are the skeleton, and whether anybody
 * changed them since. Elements are none of its business. Reads only.
 *
 * The kernel gives every object a handle that it never uses again in the same table, and a set is never changed, only
 * replaced. A rule that is replaced keeps its handle (`nft replace rule`), so its expressions are compared, too. They tell
 * whether anything is other than it was; no listing is needed (nft 1.0.6 lists some rules wrongly).
 */
import { SETS } from '../../rules/element.ts';
import { type FieldType, LAYOUTS } from '../../rules/layout.ts';
import { CHAINS, RULE_COUNTS, TABLE, type TableObjects } from '../../rules/skeleton.ts';
import { printable } from '../core/text.ts';
import { AttributeWriter, attribute } from '../native/attributes.ts';
import { isErrno } from '../native/errno.ts';
import type { NetlinkSocket } from '../native/netlink.ts';
import { fieldsLength } from './elementcodec.ts';
import * as nft from './nftables.ts';
import { HEADER, number, text } from './nftables.ts';

const NFT_MSG_GETSET = (10 << 8) | 10;

const NFTA_TABLE_HANDLE = 4;
const NFTA_CHAIN_HANDLE = 2;
const NFTA_RULE_HANDLE = 3;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DATA_TYPE = 6;
const NFTA_SET_DATA_LEN = 7;
const NFTA_SET_HANDLE = 16;

const NFT_SET_ANONYMOUS = 0x1;
const NFT_SET_INTERVAL = 0x4;
const NFT_SET_MAP = 0x8;
const NFT_SET_CONCAT = 0x80;
/** struct nfgenmsg of NFPROTO_INET. */
const INET = Uint8Array.of(1, 0, 0, 0);

/** enum datatypes of nft: what a set's creator told the kernel to remember. */
const TYPES: Readonly<Record<FieldType, number>> = { address4: 7, address6: 8, protocol: 12, port: 13, device: 41 };
const FORM = [NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN] as const;

const FORMS: ReadonlyMap<string, string> = new Map(
  SETS.map((set) => {
    const { key, value, interval } = LAYOUTS[set];
    const flags = (interval ? NFT_SET_INTERVAL : 0) | (value.length > 0 ? NFT_SET_MAP : 0);
    return [set, [flags, typeOf(key), fieldsLength(key), typeOf(value), fieldsLength(value)].join(' ')];
  }),
);

const HOOKED: ReadonlyMap<string, string> = new Map(
  Object.entries(CHAINS).map(([name, base]) => [
    name,
    base === undefined ? '' : `${base.type} ${base.hook} ${base.priority} accept`,
  ]),
);

/** Six bits a field. */
function typeOf(fields: readonly FieldType[]): number {
  return fields.reduce((type, field) => (type << 6) | TYPES[field], 0);
}

interface ChainState {
  readonly handle: string;
  /** `nat prerouting -110 accept`; empty for a chain without a hook. */
  readonly hook: string;
}

interface SetState {
  readonly handle: string;
  /** Flags, types and lengths. */
  readonly form: string;
}

export interface TableState {
  readonly handle: string;
  readonly flags: number;
  readonly chains: ReadonlyMap<string, ChainState>;
  /** Handle and expressions of each chain's rules, in order. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
  /** Without the anonymous ones, which are part of their rules. */
  readonly sets: ReadonlyMap<string, SetState>;
}

/** Undefined when there is no table `inet berth`. A change during the call may be seen in part. Throws NETLINK_FAILED. */
export function readTableState(socket: NetlinkSocket): TableState | undefined {
  const ofTable = new AttributeWriter(INET).text(nft.NFTA_TABLE, TABLE).body();
  try {
    const { body } = socket.get(nft.NFT_MSG_GETTABLE, ofTable);
    return {
      handle: hex(body, NFTA_TABLE_HANDLE),
      flags: number(body, nft.NFTA_TABLE_FLAGS),
      chains: new Map(dumped(socket, nft.NFT_MSG_GETCHAIN, ofTable).map(chainState)),
      rules: rulesByChain(dumped(socket, nft.NFT_MSG_GETRULE, ofTable)),
      sets: new Map(dumped(socket, NFT_MSG_GETSET, ofTable).filter(isNamed).map(setState)),
    };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The table's objects of a kind. Older kernels give every chain of the family. */
function dumped(socket: NetlinkSocket, type: number, ofTable: Uint8Array): readonly Buffer[] {
  return socket
    .dump(type, ofTable)
    .map(({ body }) => body)
    .filter((body) => text(body, nft.NFTA_TABLE) === TABLE);
}

function chainState(body: Buffer): [string, ChainState] {
  const hook = attribute(body, nft.NFTA_CHAIN_HOOK, HEADER);
  const accepts = number(body, nft.NFTA_CHAIN_POLICY) === nft.NF_ACCEPT ? 'accept' : 'drop';
  const place =
    hook === undefined
      ? ''
      : [
          text(body, nft.NFTA_CHAIN_TYPE),
          nft.HOOKS[number(hook, nft.NFTA_HOOK_HOOKNUM, 0)] ?? '',
          number(hook, nft.NFTA_HOOK_PRIORITY, 0) | 0,
          accepts,
        ].join(' ');
  return [text(body, nft.NFTA_CHAIN_NAME), { handle: hex(body, NFTA_CHAIN_HANDLE), hook: place }];
}

function rulesByChain(bodies: readonly Buffer[]): ReadonlyMap<string, readonly string[]> {
  const rules = new Map<string, string[]>();
  for (const body of bodies) {
    const chain = text(body, nft.NFTA_RULE_CHAIN);
    const known = rules.get(chain);
    const rule = `${hex(body, NFTA_RULE_HANDLE)} ${hex(body, nft.NFTA_RULE_EXPRESSIONS)}`;
    if (known === undefined) rules.set(chain, [rule]);
    else known.push(rule);
  }
  return rules;
}

function isNamed(body: Buffer): boolean {
  return (number(body, NFTA_SET_FLAGS) & NFT_SET_ANONYMOUS) === 0;
}

function setState(body: Buffer): [string, SetState] {
  // nft versions differ in whether they set NFT_SET_CONCAT where nothing depends on it.
  const flags = number(body, NFTA_SET_FLAGS) & ~NFT_SET_CONCAT;
  const form = [flags, ...FORM.map((type) => number(body, type))].join(' ');
  return [text(body, NFTA_SET_NAME), { handle: hex(body, NFTA_SET_HANDLE), form }];
}

/** What the transaction that puts the table right must know. */
export function objectsOf(state: TableState): TableObjects {
  return {
    chains: [...state.chains.keys()],
    // A policy can be redeclared.
    wrongChains: names(state.chains, (name, { hook }) => HOOKED.get(name) !== hook.replace(/drop$/, 'accept')),
    sets: SETS.filter((name) => state.sets.get(name)?.form === FORMS.get(name)),
    wrongSets: names(state.sets, (name, { form }) => FORMS.get(name) !== form),
  };
}

function names<T>(objects: ReadonlyMap<string, T>, isMeant: (name: string, object: T) => boolean): string[] {
  return [...objects].filter(([name, object]) => isMeant(name, object)).map(([name]) => name);
}

/** In what the table is other than the skeleton: empty when in nothing. Of rules only the number is looked at. */
export function deviation(state: TableState): string {
  if (state.flags !== 0) return 'the table has flags';
  for (const [name, expected] of HOOKED) {
    if (state.chains.get(name)?.hook !== expected) return `chain ${name} is missing or not as it should be`;
    if ((state.rules.get(name)?.length ?? 0) !== RULE_COUNTS.get(name)) return `chain ${name} has other rules`;
  }
  for (const [name, expected] of FORMS) {
    if (state.sets.get(name)?.form !== expected) return `set ${name} is missing or not as it should be`;
  }
  for (const name of state.chains.keys()) if (!HOOKED.has(name)) return `chain ${shown(name)} is foreign`;
  for (const name of state.sets.keys()) if (!FORMS.has(name)) return `set ${shown(name)} is foreign`;
  return '';
}

/** What is other than it was, for people: empty when nothing is. */
export function differences(before: TableState, now: TableState | undefined): string {
  if (now === undefined) return 'the table was deleted';
  if (now.handle !== before.handle) return 'the table was deleted and made anew';
  const found = [
    ...(now.flags === before.flags ? [] : ['flags of the table']),
    ...changed('chain', before.chains, now.chains),
    ...changed('set', before.sets, now.sets),
    ...changed('rules of chain', before.rules, now.rules),
  ];
  const more = found.length > MAX_SHOWN ? `, and ${found.length - MAX_SHOWN} more` : '';
  return found.length === 0 ? '' : `changed: ${found.slice(0, MAX_SHOWN).join(', ')}${more}`;
}

function changed<T>(what: string, before: ReadonlyMap<string, T>, now: ReadonlyMap<string, T>): string[] {
  const names = new Set([...before.keys(), ...now.keys()]);
  return [...names]
    .filter((name) => JSON.stringify(before.get(name)) !== JSON.stringify(now.get(name)))
    .map((name) => `${what} ${shown(name)}`);
}

const MAX_SHOWN = 5;

/** A name that somebody else chose. */
function shown(name: string): string {
  return printable(name, 64);
}

function hex(body: Buffer, type: number): string {
  return attribute(body, type, HEADER)?.toString('hex') ?? '';
}
