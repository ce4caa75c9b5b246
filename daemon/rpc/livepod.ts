/** Waits until the ports of a pod are live, by watching it. */
import type { MappingFilter } from '../core/livemapping.ts';
import type { BerthClient } from './berthclient.ts';
import type { FollowEvent } from './follow.ts';
import type { MappingView } from './views.ts';

export interface Awaited {
  readonly namespace: string;
  readonly pod: string;
  /** Names of ports; absent: any, at least one. */
  readonly ports?: readonly string[] | undefined;
}

/**
 * Resolves to the mappings of those ports, of one pod: while one ends, another of the same name may already have some, and then
 * the one that came last counts. Undefined when the signal aborts before. What is stale does not count: nobody knows whether it
 * still is so. `onLost` hears why nobody answers meanwhile.
 */
export async function liveMappings(
  client: Pick<BerthClient, 'watch'>,
  { namespace, pod, ports }: Awaited,
  signal: AbortSignal,
  onLost: (error: unknown) => void,
): Promise<readonly MappingView[] | undefined> {
  const filter: MappingFilter = { namespace, pod };
  const pods = new Map<string, Map<string, MappingView>>();
  let synced = false;
  for await (const event of client.watch(filter, { signal, patient: true })) {
    if (event.kind === 'lost') onLost(event.error);
    else if (event.kind === 'synced') synced = true;
    else take(pods, event);
    if (!synced) continue;
    const found = completeOf(pods, ports);
    if (found !== undefined) return found;
  }
  return undefined;
}

function take(
  pods: Map<string, Map<string, MappingView>>,
  { kind, mapping }: Extract<FollowEvent, { readonly mapping: MappingView }>,
): void {
  const { podUID, node, name, protocol } = mapping;
  const key = JSON.stringify([node, name, protocol]);
  const own = pods.get(podUID) ?? new Map<string, MappingView>();
  if (kind === 'gone' || mapping.stale) own.delete(key);
  else own.set(key, mapping);
  // The pod that was heard of last comes last.
  pods.delete(podUID);
  pods.set(podUID, own);
}

function completeOf(
  pods: ReadonlyMap<string, ReadonlyMap<string, MappingView>>,
  ports: readonly string[] | undefined,
): readonly MappingView[] | undefined {
  const complete = [...pods.values()]
    .map((own) => [...own.values()].filter(({ name }) => ports === undefined || ports.includes(name)))
    .filter((own) => own.length > 0 && (ports ?? []).every((port) => own.some(({ name }) => name === port)));
  return complete.toSorted((one, other) => newestOf(one) - newestOf(other)).at(-1);
}

function newestOf(mappings: readonly MappingView[]): number {
  return Math.max(...mappings.map(({ since }) => since ?? 0));
}
