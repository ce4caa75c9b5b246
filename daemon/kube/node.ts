/** The labels of the agent's own node, for the nodeSelector of pools. Read once: pools are not chosen anew for every label. */
import type { Api } from './api/client.ts';
import { fieldsOf } from './apipod.ts';

/** Rejects with an ApiError: not found when there is no such node, forbidden when the agent may not read it. */
export async function readNodeLabels(
  client: Api,
  node: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const object = await client.send({ method: 'GET', path: `/api/v1/nodes/${encodeURIComponent(node)}`, signal });
  const labels = Object.entries(fieldsOf(fieldsOf(fieldsOf(object).metadata).labels));
  return Object.fromEntries(labels.filter((pair): pair is [string, string] => typeof pair[1] === 'string'));
}
