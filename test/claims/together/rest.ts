/** What must be so on the nodes when everything has come to rest. */
import type { ClaimFacts, History, PodFacts } from './history.ts';
import type { Host } from './host.ts';
import { type KernelJudge, type Lead, nameOf } from './kerneljudge.ts';
import { mapped, promised } from './telljudge.ts';

export interface RestOptions {
  readonly host: Host;
  readonly kernel: KernelJudge;
  readonly history: History;
}

/** What is wrong with this node. */
export function wrongAtRest({ host, kernel, history }: RestOptions): readonly string[] {
  const leads = kernel.leads();
  const here = [...history.pods.values()].filter(({ active, node }) => active && node === host.name);
  return [
    ...leads.filter(({ pod }) => !pod.active).map(({ rule, pod }) => `${rule.first} leads to ended pod ${nameOf(pod)}`),
    ...[...history.claims.values()].flatMap((claim) => turn(claim, here, leads, history)),
    ...here.flatMap((pod) => told(pod, leads, history)),
  ];
}

/** Whose turn it is has the number. */
function turn(
  claim: ClaimFacts,
  here: readonly PodFacts[],
  leads: readonly Lead[],
  history: History,
): readonly string[] {
  // One that is being deleted gives its number to nobody any more.
  if (claim.number === undefined || claim.deletedAt !== undefined) return [];
  const able = here.filter((pod) => portOf(pod, claim) !== undefined && isAble(pod, history));
  const holder = leads.find((lead) => lead.claim === claim)?.pod;
  const label = `${claim.number} of claim ${claim.key}`;
  if (holder === undefined)
    return able.length === 0 ? [] : [`${label} leads to none of ${able.map(nameOf).join(', ')}`];
  if (!claim.onReady) return [];
  const next = able.find(
    (pod) => pod !== holder && pod.ready && !pod.terminating && (pod.created > holder.created || holder.terminating),
  );
  return next === undefined ? [] : [`${label} leads to ${nameOf(holder)} and not to ${nameOf(next)}`];
}

/** It shows its numbers, and says that it is mapped when it is. */
function told(pod: PodFacts, leads: readonly Lead[], history: History): readonly string[] {
  if (!isAble(pod, history)) return [];
  const promises = promised(pod);
  const numbers = [...pod.claims].map(
    ([port, name]) => [port, history.claimNamed(pod.namespace, name)?.number] as const,
  );
  const missing = numbers.filter(([port, number]) => promises.get(port) !== number);
  const own = leads.filter((lead) => lead.pod === pod).map(({ rule }) => rule.first);
  const shown = mapped(pod).map(({ hostPort }) => hostPort);
  return [
    ...missing.map(([port, number]) => `pod ${nameOf(pod)} does not show ${number} at port ${port}`),
    ...(own.toSorted().join() === shown.toSorted().join() ? [] : [`pod ${nameOf(pod)} has ${own} and shows ${shown}`]),
  ];
}

/** It has an address, and every claim that it names a number. */
function isAble({ namespace, claims, object }: PodFacts, history: History): boolean {
  if (object.status?.podIP === undefined) return false;
  return [...claims.values()].every((name) => {
    const claim = history.claimNamed(namespace, name);
    return claim?.number !== undefined && claim.deletedAt === undefined;
  });
}

function portOf({ namespace, claims }: PodFacts, claim: ClaimFacts): string | undefined {
  return [...claims].find(([, name]) => `${namespace}/${name}` === claim.key)?.[0];
}
