/**
 * The claims that pods of the node name, each asked for by its name: the agent may neither list nor watch them. What the API server
 * says is held against what the contract allows; whatever else stands there is no number.
 */
import * as v from 'valibot';
import type { ClaimStatus } from '../core/claim.ts';
import { messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import type { ClaimSource } from '../reconcile/ports.ts';
import { ApiError, isForbidden, isNotFound } from './api/apierror.ts';
import type { Api } from './api/client.ts';

const GROUP = '/apis/berth.dev/v1alpha1';
const MAX_MESSAGE = 512;
const MAX_CONDITIONS = 100;

const BOUND = v.object({
  port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  protocols: v.pipe(v.array(v.picklist(['TCP', 'UDP', 'SCTP'])), v.minLength(1), v.maxLength(3)),
  handover: v.nullish(v.picklist(['OnReady', 'OnTerminated']), 'OnReady'),
});

const CLAIM = v.object({
  metadata: v.object({ deletionTimestamp: v.nullish(v.string()) }),
  status: v.nullish(
    v.looseObject({
      phase: v.fallback(v.nullish(v.string(), ''), ''),
      conditions: v.fallback(v.array(v.unknown()), []),
    }),
    { phase: '', conditions: [] },
  ),
});

const CONDITION = v.object({ type: v.literal('Bound'), status: v.string(), message: v.fallback(v.string(), '') });

export class ApiClaims implements ClaimSource {
  readonly #client: Pick<Api, 'send'>;

  constructor(client: Pick<Api, 'send'>) {
    this.#client = client;
  }

  async get(namespace: string, claim: string): Promise<ClaimStatus> {
    const path = `${GROUP}/namespaces/${encodeURIComponent(namespace)}/hostportclaims/${encodeURIComponent(claim)}`;
    try {
      return decodeClaim(await this.#client.send({ method: 'GET', path }));
    } catch (error) {
      const message = whyNot(error, namespace);
      if (message === undefined) throw error;
      return { kind: 'pending', message };
    }
  }
}

/** Total. */
export function decodeClaim(object: unknown): ClaimStatus {
  const read = v.safeParse(CLAIM, object);
  if (!read.success) return pending('the answer is no HostPortClaim that is understood');
  const { metadata, status } = read.output;
  if (typeof metadata.deletionTimestamp === 'string' || status.phase === 'Deleting')
    return pending('it is being deleted; take the annotation away, or make the claim anew when it is gone');
  if (status.phase !== 'Bound') return pending(reasonOf(status.conditions));
  const bound = v.safeParse(BOUND, status);
  if (!bound.success)
    return pending('its status says Bound, and no port that is understood: is the controller of another version?');
  const { port, protocols, handover } = bound.output;
  return { kind: 'bound', port, protocols: [...new Set(protocols)].sort(), handover };
}

/** What the controller says of it. */
function reasonOf(conditions: readonly unknown[]): string {
  const found = conditions
    .slice(0, MAX_CONDITIONS)
    .flatMap((one) => {
      const read = v.safeParse(CONDITION, one);
      return read.success ? [read.output] : [];
    })
    .find(({ status, message }) => status !== 'True' && message !== '');
  return found === undefined ? 'it is not bound yet; is the controller of claims running?' : found.message;
}

/** Undefined: nothing is known of the claim. */
function whyNot(error: unknown, namespace: string): string | undefined {
  if (isForbidden(error)) {
    return printable(
      `${messageOf(error)}; allow the agent's service account to get hostportclaims (a rule of its ClusterRole)`,
      MAX_MESSAGE,
    );
  }
  if (!isNotFound(error)) return undefined;
  // Of a resource that it does not have the API server says so in plain text, and not as a Status object.
  const known = error instanceof ApiError && error.refusal?.reason === 'NotFound';
  return known
    ? `there is no such HostPortClaim in namespace ${namespace}; make it, or name another one`
    : 'the cluster has no HostPortClaims; install deploy/claims';
}

function pending(message: string): ClaimStatus {
  return { kind: 'pending', message: printable(message, MAX_MESSAGE) };
}
