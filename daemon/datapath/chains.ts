/**
 * The chains that programs have hung into the kernel's hooks with nf_tables, whoever they belong to, and the rules of a
 * table. Reads only; what a rule means is not known here.
 */
import type { HookedChain } from '../core/diagnosis.ts';
import { AttributeWriter, attribute } from '../native/attributes.ts';
import type { NetlinkSocket } from '../native/netlink.ts';
import * as nft from './nftables.ts';
import { HEADER, number, text } from './nftables.ts';

const NFT_TABLE_F_DORMANT = 1;
/** NFPROTO_*; of the others (arp, bridge, netdev) no packet of a mapping is asked about. */
const FAMILIES: ReadonlyMap<number, string> = new Map([
  [1, 'inet'],
  [2, 'ip'],
  [10, 'ip6'],
]);
export interface BaseChain extends HookedChain {
  readonly policy: 'accept' | 'drop';
}

/** The rules of each chain of one table, in order: what NFTA_RULE_EXPRESSIONS holds. */
export type TableRules = ReadonlyMap<string, readonly Buffer[]>;

/** Every chain in a hook, but those of tables that are switched off (`dormant`). Rejects with NETLINK_FAILED. */
export async function baseChains(socket: NetlinkSocket): Promise<readonly BaseChain[]> {
  const everyFamily = new Uint8Array(HEADER);
  const dormant = new Set<string>();
  await socket.scan(nft.NFT_MSG_GETTABLE, everyFamily, ({ body }) => {
    if ((number(body, nft.NFTA_TABLE_FLAGS) & NFT_TABLE_F_DORMANT) !== 0) dormant.add(tableOf(body));
  });
  const chains: BaseChain[] = [];
  await socket.scan(nft.NFT_MSG_GETCHAIN, everyFamily, ({ body }) => {
    const family = FAMILIES.get(body[0] ?? 0);
    const hook = attribute(body, nft.NFTA_CHAIN_HOOK, HEADER);
    if (family === undefined || hook === undefined || dormant.has(tableOf(body))) return;
    chains.push({
      family,
      table: text(body, nft.NFTA_TABLE),
      name: text(body, nft.NFTA_CHAIN_NAME),
      type: text(body, nft.NFTA_CHAIN_TYPE),
      hook: nft.HOOKS[number(hook, nft.NFTA_HOOK_HOOKNUM, 0)] ?? '',
      priority: number(hook, nft.NFTA_HOOK_PRIORITY, 0) | 0,
      policy: number(body, nft.NFTA_CHAIN_POLICY) === nft.NF_ACCEPT ? 'accept' : 'drop',
    });
  });
  return chains;
}

/** The rules of the chain's table, of every chain, as jumps may lead to any. Rejects with NETLINK_FAILED. */
export async function rulesOf(socket: NetlinkSocket, { family, table }: HookedChain): Promise<TableRules> {
  const number = [...FAMILIES].find(([, name]) => name === family)?.[0] ?? 0;
  const request = new AttributeWriter(Uint8Array.of(number, 0, 0, 0)).text(nft.NFTA_TABLE, table).body();
  const rules = new Map<string, Buffer[]>();
  await socket.scan(nft.NFT_MSG_GETRULE, request, ({ body }) => {
    // Older kernels give the rules of every table of the family.
    if (text(body, nft.NFTA_TABLE) !== table) return;
    const chain = text(body, nft.NFTA_RULE_CHAIN);
    const rule = Buffer.from(attribute(body, nft.NFTA_RULE_EXPRESSIONS, HEADER) ?? []);
    const known = rules.get(chain);
    if (known === undefined) rules.set(chain, [rule]);
    else known.push(rule);
  });
  return rules;
}

function tableOf(body: Buffer): string {
  return `${body[0]} ${text(body, nft.NFTA_TABLE)}`;
}
