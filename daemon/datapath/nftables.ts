/**
 * The numbers of nf_tables that more than one file here needs (include/uapi/linux/netfilter/nf_tables.h), and readers of its
 * attributes, which are in network order. Only constants and pure functions.
 */
import { attribute, attributeText } from '../native/attributes.ts';

/** NFNL_SUBSYS_NFTABLES << 8 */
const SUBSYSTEM = 10 << 8;
export const NFT_MSG_GETTABLE = SUBSYSTEM | 1;
export const NFT_MSG_GETCHAIN = SUBSYSTEM | 4;
export const NFT_MSG_GETRULE = SUBSYSTEM | 7;

/** The table's name is the first attribute of tables, chains, rules and sets alike. */
export const NFTA_TABLE = 1;
export const NFTA_TABLE_FLAGS = 2;
export const NFTA_CHAIN_NAME = 3;
export const NFTA_CHAIN_HOOK = 4;
export const NFTA_CHAIN_POLICY = 5;
export const NFTA_CHAIN_TYPE = 7;
export const NFTA_HOOK_HOOKNUM = 1;
export const NFTA_HOOK_PRIORITY = 2;
export const NFTA_RULE_CHAIN = 2;
export const NFTA_RULE_EXPRESSIONS = 4;

export const NF_ACCEPT = 1;
/** enum nf_inet_hooks. */
export const HOOKS = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;

/** sizeof(struct nfgenmsg); its first byte is the family. */
export const HEADER = 4;

/** Empty when there is no such attribute. */
export function text(body: Buffer, type: number): string {
  const payload = attribute(body, type, HEADER);
  return payload === undefined ? '' : attributeText(payload);
}

/** 0 when there is no such attribute. `start`: where the attributes begin, 0 inside of a nest. */
export function number(body: Buffer, type: number, start = HEADER): number {
  return attribute(body, type, start)?.readUInt32BE(0) ?? 0;
}
