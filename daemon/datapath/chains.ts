/**
 * The chains that programs have hung into the kernel's hooks with nf_tables, whoever they belong to, and the rules of a
 * table. Reads only; what a rule means is not known here.
 */
import type { HookedChain } from '../core/diagnosis.ts';
import { AttributeWriter, attribute, attributeText } from '../native/attributes.ts';
import type { NetlinkSocket } from '../native/netlink.ts';

const SUBSYSTEM = 10 << 8;
const NFT_MSG_GETTABLE = SUBSYSTEM | 1;
const NFT_MSG_GETCHAIN = SUBSYSTEM | 4;
const NFT_MSG_GETRULE = SUBSYSTEM | 7;

/** The table's name is the first attribute of tables, chains and rules alike. */
const NFTA_TABLE = 1;
const NFTA_TABLE_FLAGS = 2;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;

const NFT_TABLE_F_DORMANT = 1;
const NF_ACCEPT = 1;
/** sizeof(struct nfgenmsg); its first byte is the family. */
const HEADER = 4;
/** NFPROTO_*; of the others (arp, bridge, netdev) no packet of a mapping is asked about. */
const FAMILIES: ReadonlyMap<number, string> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [10, 'ip6'],
]);
/** enum nf_inet_hooks. */
const HOOKS = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;

export interface BaseChain extends HookedChain {
  readonly policy: 'accept' | 'drop';
}

/** The rules of each chain of one table, in order: what NFTA_RULE_EXPRESSIONS holds. */
export type TableRules = ReadonlyMap<string, readonly Buffer[]>;

/** Every chain in a hook, but those of tables that are switched off (`dormant`). Rejects with NETLINK_FAILED. */
export async function baseChains(socket: NetlinkSocket): Promise<readonly BaseChain[]> {
  const everyFamily = new Uint8Array(HEADER);
  const dormant = new Set<string>();
  await socket.scan(NFT_MSG_GETTABLE, everyFamily, ({ body }) => {
    if ((number(body, NFTA_TABLE_FLAGS) & NFT_TABLE_F_DORMANT) !== 0) dormant.add(tableOf(body));
  });
  const chains: BaseChain[] = [];
  await socket.scan(NFT_MSG_GETCHAIN, everyFamily, ({ body }) => {
    const family = FAMILIES.get(body[0] ?? 0);
    const hook = attribute(body, NFTA_CHAIN_HOOK, HEADER);
    if (family === undefined || hook === undefined || dormant.has(tableOf(body))) return;
    chains.push({
      family,
      table: text(body, NFTA_TABLE),
      name: text(body, NFTA_CHAIN_NAME),
      type: text(body, NFTA_CHAIN_TYPE),
      hook: HOOKS[number(hook, NFTA_HOOK_HOOKNUM, 0)] ?? '',
      priority: number(hook, NFTA_HOOK_PRIORITY, 0) | 0,
      policy: number(body, NFTA_CHAIN_POLICY) === NF_ACCEPT ? 'accept' : 'drop',
    });
  });
  return chains;
}

/** The rules of the chain's table, of every chain, as jumps may lead to any. Rejects with NETLINK_FAILED. */
export async function rulesOf(socket: NetlinkSocket, { family, table }: HookedChain): Promise<TableRules> {
  const number = [...FAMILIES].find(([, name]) => name === family)?.[0] ?? 0;
  const request = new AttributeWriter(Uint8Array.of(number, 0, 0, 0)).text(NFTA_TABLE, table).body();
  const rules = new Map<string, Buffer[]>();
  await socket.scan(NFT_MSG_GETRULE, request, ({ body }) => {
    // Older kernels give the rules of every table of the family.
    if (text(body, NFTA_TABLE) !== table) return;
    const chain = text(body, NFTA_RULE_CHAIN);
    const rule = Buffer.from(attribute(body, NFTA_RULE_EXPRESSIONS, HEADER) ?? []);
    const known = rules.get(chain);
    if (known === undefined) rules.set(chain, [rule]);
    else known.push(rule);
  });
  return rules;
}

function tableOf(body: Buffer): string {
  return `${body[0]} ${text(body, NFTA_TABLE)}`;
}

function text(body: Buffer, type: number): string {
  const payload = attribute(body, type, HEADER);
  return payload === undefined ? '' : attributeText(payload);
}

function number(body: Buffer, type: number, start = HEADER): number {
  return attribute(body, type, start)?.readUInt32BE(0) ?? 0;
}
