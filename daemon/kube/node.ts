/**
 * The agent's own node as the API server has it: its labels, for the nodeSelector of pools, read once, as pools are not chosen anew
 * for every label; and its addresses, which clouds add when the node runs already.
 */
import { parseAddress } from '../core/address.ts';
import type { NodeAddressType, ReportedAddress } from '../core/noderecord.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import type { Api } from './api/client.ts';
import { pause } from './api/pause.ts';
import { fieldsOf } from './apipod.ts';

export interface NodeFacts {
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly ReportedAddress[];
}

const TYPES = new Map<unknown, NodeAddressType>([
  ['InternalIP', 'internal-ip'],
  ['ExternalIP', 'external-ip'],
  ['InternalDNS', 'internal-dns'],
  ['ExternalDNS', 'external-dns'],
  ['Hostname', 'hostname'],
]);
/** As the contract has them; the aggregator refuses an agent that sends others. */
const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$/;

/** Rejects with an ApiError: not found when there is no such node, forbidden when the agent may not read it. */
export async function readNode(client: Pick<Api, 'send'>, node: string, signal: AbortSignal): Promise<NodeFacts> {
  const object = await client.send({ method: 'GET', path: `/api/v1/nodes/${encodeURIComponent(node)}`, signal });
  const { metadata, status } = fieldsOf(object);
  const labels = Object.entries(fieldsOf(fieldsOf(metadata).labels));
  const { addresses } = fieldsOf(status);
  return {
    labels: Object.fromEntries(labels.filter((pair): pair is [string, string] => typeof pair[1] === 'string')),
    addresses: (Array.isArray(addresses) ? addresses : []).flatMap(addressOf),
  };
}

/** None when it is of a type that is not known, or is not what its type says. */
function addressOf(item: unknown): readonly ReportedAddress[] {
  const { type: written, address } = fieldsOf(item);
  const type = TYPES.get(written);
  if (type === undefined || typeof address !== 'string') return [];
  const parsed = parseAddress(address);
  if (parsed !== undefined) return [{ type, address: parsed.text }];
  const named = type !== 'internal-ip' && type !== 'external-ip' && DNS_NAME.test(address);
  return named ? [{ type, address }] : [];
}

export interface NodeFollowing {
  readonly client: Pick<Api, 'send'>;
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** One GET a node: 5,000 nodes ask 17 times a second. A watch would tell of every heartbeat of the kubelet. */
const REREAD_MS = 300_000;

/** Reads the node again and again until the signal aborts; what is known stays while it cannot be read. Never rejects. */
export async function followNode(
  { client, node, clock, random }: NodeFollowing,
  onRead: (facts: NodeFacts) => void,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await pause(clock, REREAD_MS * (0.75 + random() / 2), signal);
    if (signal.aborted) return;
    try {
      onRead(await readNode(client, node, signal));
    } catch {
      // That the API server is away is told by what needs it now.
    }
  }
}
