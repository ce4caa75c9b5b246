/**
 * Who has which host port, read where it stands and brought into one form, so that the four can be held against each other:
 * the kernel's table, the state file, the agent's answer over gRPC, and the sockets that the agent holds.
 */
import { readFileSync } from 'node:fs';
import { MappingClient } from '../../daemon/rpc/client.ts';
import { agentEndpoint } from '../../daemon/rpc/endpoint.ts';
import type { MappingView } from '../../daemon/rpc/views.ts';
import type { Namespace } from './namespace.ts';

export const NFT = '/usr/sbin/nft';

/** One element of a set or map of `table inet berth`. */
export interface TableElement {
  readonly set: string;
  /** The fields in nft's words: `tcp`, `20001`, `40000-40099`, `10.244.0.11`. */
  readonly key: readonly string[];
  readonly value: readonly string[];
  readonly comment: string;
}

/** `<uid>/<port name>/TCP 20001-20001`: one port of a pod and its numbers. */
export type Holding = string;

export function holding(uid: string, name: string, protocol: string, first: number, last = first): Holding {
  return `${uid}/${name}/${protocol} ${first}-${last}`;
}

/** `TCP/20001` for every number of the holdings, sorted. */
export function numbersOf(holdings: readonly Holding[]): readonly string[] {
  return holdings
    .flatMap((text) => {
      const [, protocol = '', first, last] = /\/(\w+) (\d+)-(\d+)$/.exec(text) ?? [];
      const size = Number(last) - Number(first) + 1;
      return Array.from({ length: size }, (_, index) => `${protocol}/${Number(first) + index}`);
    })
    .sort();
}

/** Every element, as the program nft lists it. Empty when there is no table. */
export function elementsIn(namespace: Namespace): readonly TableElement[] {
  const { nftables }: { nftables: readonly Listed[] } = JSON.parse(
    namespace.run(NFT, ['-j', 'list', 'ruleset', 'inet']),
  );
  return nftables.flatMap(({ set, map }) => {
    const list = set ?? map;
    if (list?.table !== 'berth') return [];
    return (list.elem ?? []).map((entry) => {
      const [key, value] = map === undefined ? [entry, undefined] : (entry as readonly [Json, Json]);
      const { val, comment = '' } = (key as { elem?: { val: Json; comment?: string } }).elem ?? { val: key };
      return { set: list.name, key: fields(val), value: value === undefined ? [] : fields(value), comment };
    });
  });
}

type Json = unknown;

interface Listed {
  readonly set?: List;
  readonly map?: List;
}

interface List {
  readonly table: string;
  readonly name: string;
  readonly elem?: readonly Json[];
}

function fields(value: Json): readonly string[] {
  if (typeof value !== 'object' || value === null) return [String(value)];
  const { concat, range } = value as { concat?: readonly Json[]; range?: readonly Json[] };
  if (concat !== undefined) return concat.flatMap(fields);
  return range === undefined ? [JSON.stringify(value)] : [range.map(String).join('-')];
}

/** The holdings that the maps of the table carry out, each once for both families. */
export function installedIn(elements: readonly TableElement[]): readonly Holding[] {
  const holdings = elements
    .filter(({ set }) => /^(any|host)(block)?[46]$/.test(set))
    .map(({ set, key, comment }) => {
      const [protocol = '', ports = ''] = set.startsWith('host') ? key.slice(1) : key;
      const [first, last] = ports.split('-').map(Number);
      const slash = comment.indexOf('/');
      return holding(comment.slice(0, slash), comment.slice(slash + 1), protocol.toUpperCase(), first ?? 0, last);
    });
  return [...new Set(holdings)].sort();
}

interface StateEntry {
  readonly uid: string;
  readonly pod: string;
  readonly name: string;
  readonly protocol: string;
  readonly hostPort: number;
  readonly size: number;
}

export interface StateText {
  readonly grants: readonly StateEntry[];
  readonly resting: readonly StateEntry[];
  readonly settings: readonly { readonly setting: string; readonly before: string }[];
}

/** What the state file says; nothing when there is none yet. */
export function readState(directory: string): StateText {
  try {
    return JSON.parse(readFileSync(`${directory}/state.json`, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { grants: [], resting: [], settings: [] };
    throw error;
  }
}

export function writtenIn({ grants }: StateText): readonly Holding[] {
  return grants
    .map(({ uid, name, protocol, hostPort, size }) => holding(uid, name, protocol, hostPort, hostPort + size - 1))
    .sort();
}

/** What the agent answers. Rejects while it cannot be asked. */
export async function listFrom(socket: string): Promise<readonly MappingView[]> {
  using client = new MappingClient(agentEndpoint(socket));
  const pages: (readonly MappingView[])[] = [];
  for await (const { mappings } of client.list({})) pages.push(mappings);
  return pages.flat();
}

export function announcedIn(list: readonly MappingView[]): readonly Holding[] {
  return list
    .map(({ podUID, name, protocol, hostPort, endPort }) => holding(podUID, name, protocol, hostPort, endPort))
    .sort();
}
