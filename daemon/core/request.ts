/**
 * What a pod asks for, from its annotations and declared ports. Pure and total: whatever stands in an annotation becomes
 * a request or one problem that says what is wrong, where, and what would be right. It must never look at an annotation
 * that Berth writes, and never at more than 4 KiB of one that it reads.
 */
import { ALLOW_FROM, GALAXY, HOST_IP, POOL, PORTS } from './annotation.ts';
import { claimAnnotations, claimNameOf } from './claimrequest.ts';
import { DeclaredPorts } from './declared.ts';
import { type Fault, fault, faultMessage } from './fault.ts';
import { type Parsed, parseAllowFrom, parseHostIP, parsePoolName } from './reach.ts';
import { Selection } from './selection.ts';
import { exceedsBytes, printable } from './text.ts';
import { type Cidr, type Pod, type PodRequest, type Problem, podLabel } from './vocabulary.ts';

/** Of one annotation, in UTF-8. */
export const MAX_ANNOTATION_BYTES = 4096;

/** The API server lets no longer key pass; other sources of pods may. */
const MAX_KEY = 100;

/** Of one pod: as many as a pool lets it have ports. Each is asked of the API server by itself. */
const MAX_CLAIMS = 64;

/** Where no `berth.dev/pool` stands. */
export const DEFAULT_POOL = 'default';

export type PodRequestResult =
  /** The pod does not opt in. */
  | { readonly kind: 'none' }
  | { readonly kind: 'ok'; readonly request: PodRequest }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** Linear in the number of declared ports; of several mistakes the first is reported. */
export function parsePodRequest(pod: Pod): PodRequestResult {
  const berth = Object.hasOwn(pod.annotations, PORTS);
  const galaxy = Object.hasOwn(pod.annotations, GALAXY);
  const claims = claimAnnotations(pod);
  const [claim] = claims;
  if (!berth && !galaxy && claim === undefined) return { kind: 'none' };
  if (pod.hostNetwork) return hostNetworkProblem(pod, berth ? PORTS : galaxy ? GALAXY : (claim?.key ?? ''));

  const selection = new Selection(new DeclaredPorts(pod.ports));
  const ports = read(pod, PORTS, (value): Parsed<null> => selection.selectListed(value) ?? { kind: 'ok', value: null });
  if (ports?.kind === 'fault') return problem(pod, PORTS, ports);
  const mistake = galaxy ? selection.selectContainers() : undefined;
  if (mistake !== undefined) return problem(pod, GALAXY, mistake);
  const surplus = claims[MAX_CLAIMS];
  if (surplus !== undefined) {
    const what = `is one of ${claims.length} claims`;
    return problem(pod, surplus.key, fault('', what, `claim at most ${MAX_CLAIMS} ports in a pod`));
  }
  for (const one of claims) {
    const claimed = read(pod, one.key, (value) => claimNameOf(pod, one, value));
    const wrong = claimed?.kind === 'ok' ? selection.claim(one.port, claimed.value) : claimed;
    if (wrong !== undefined) return problem(pod, one.key, wrong);
  }

  const pool = read(pod, POOL, parsePoolName);
  if (pool?.kind === 'fault') return problem(pod, POOL, pool);
  const hostIP = read(pod, HOST_IP, parseHostIP);
  if (hostIP?.kind === 'fault') return problem(pod, HOST_IP, hostIP);
  const allowFrom = read(pod, ALLOW_FROM, parseAllowFrom);
  if (allowFrom?.kind === 'fault') return problem(pod, ALLOW_FROM, allowFrom);

  const request: PodRequest = {
    pool: pool?.value ?? DEFAULT_POOL,
    requests: selection.requests,
    ...(hostIP === undefined ? {} : { hostIP: hostIP.value }),
    ...(allowFrom === undefined ? {} : { allowFrom: allowFrom.value }),
    berth: berth || claim !== undefined,
    galaxy,
  };
  return { kind: 'ok', request };
}

export type Sources =
  /** `allowFrom` is absent where every source is allowed. */
  | { readonly kind: 'ok'; readonly allowFrom?: readonly Cidr[] }
  | { readonly kind: 'problem'; readonly problem: Problem };

/** `berth.dev/allow-from` alone: it counts for static host ports too, whether or not the pod opts in. */
export function parseSources(pod: Pod): Sources {
  const allowFrom = read(pod, ALLOW_FROM, parseAllowFrom);
  if (allowFrom?.kind === 'fault') return problem(pod, ALLOW_FROM, allowFrom);
  return allowFrom === undefined ? { kind: 'ok' } : { kind: 'ok', allowFrom: allowFrom.value };
}

/** Undefined when the pod has no such annotation. */
function read<T>(pod: Pod, key: string, parse: (value: string) => Parsed<T>): Parsed<T> | undefined {
  if (!Object.hasOwn(pod.annotations, key)) return undefined;
  const value = pod.annotations[key] ?? '';
  if (!exceedsBytes(value, MAX_ANNOTATION_BYTES)) return parse(value);
  return fault(value, `is longer than ${MAX_ANNOTATION_BYTES} bytes`, 'shorten it, no more than that is read');
}

function problem(pod: Pod, key: string, mistake: Fault): { readonly kind: 'problem'; readonly problem: Problem } {
  const message = faultMessage(pod, printable(key, MAX_KEY), pod.annotations[key] ?? '', mistake);
  return { kind: 'problem', problem: { reason: 'InvalidPortRequest', message } };
}

function hostNetworkProblem(pod: Pod, key: string): PodRequestResult {
  const why = "its ports are already the node's and cannot be mapped";
  const message = `pod ${podLabel(pod)}: annotation ${printable(key, MAX_KEY)}: the pod has hostNetwork: true; ${why}; remove the annotation or hostNetwork`;
  return { kind: 'problem', problem: { reason: 'HostNetwork', message: printable(message, 1024) } };
}
