/**
 * What a user may do: the API server is asked (SubjectAccessReview), so that RBAC answers for Berth's own resources as for any
 * other. Answers count for a few seconds.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { BerthError } from '../core/errors.ts';
import type { Clock } from '../reconcile/ports.ts';
import type { ApiClient } from './api/client.ts';
import { Remembered } from './remembered.ts';
import type { User } from './tokenreview.ts';

/** What is to be done, as RBAC has it. `mappings.berth.dev` is a resource that no object stands behind. */
export type Access =
  | { readonly kind: 'mappings'; readonly verb: 'get' | 'list' | 'watch'; readonly namespace: string | undefined }
  | { readonly kind: 'path'; readonly verb: 'get'; readonly path: string };

const YES_MS = 10_000;
const NO_MS = 5_000;
const LIMITS = { good: 10_000, bad: 10_000, asking: 256, waiting: 2_048 } as const;

const ANSWER = v.object({
  status: v.object({ allowed: v.optional(v.boolean(), false), denied: v.optional(v.boolean(), false) }),
});

export class AccessReviewer {
  readonly #client: Pick<ApiClient, 'send'>;
  readonly #answers: Remembered<boolean>;

  constructor(client: Pick<ApiClient, 'send'>, clock: Clock) {
    this.#client = client;
    this.#answers = new Remembered(clock, LIMITS, () => {
      return new BerthError('API_UNREACHABLE', `more than ${LIMITS.waiting} rights wait to be looked up: try again`);
    });
  }

  /** Rejects with API_UNREACHABLE or API_REFUSED when that is not known. */
  async allowed(user: User, access: Access): Promise<boolean> {
    const key = createHash('sha256')
      .update(JSON.stringify([user, access]))
      .digest('base64');
    return await this.#answers.get(key, async () => {
      const value = await this.#ask(user, access);
      return { good: value, value, forMs: value ? YES_MS : NO_MS };
    });
  }

  async #ask({ name, uid, groups, extra }: User, access: Access): Promise<boolean> {
    const answer = await this.#client.send({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user: name, uid, groups, extra, ...attributesOf(access) },
      },
    });
    const read = v.safeParse(ANSWER, answer);
    if (!read.success)
      throw new BerthError('API_UNREACHABLE', 'the answer of the API server is no SubjectAccessReview');
    return read.output.status.allowed && !read.output.status.denied;
  }
}

/** No namespace means all of them, which only a right for the whole cluster covers. */
function attributesOf(access: Access): object {
  if (access.kind === 'path') return { nonResourceAttributes: { path: access.path, verb: access.verb } };
  const { verb, namespace } = access;
  return {
    resourceAttributes: { group: 'berth.dev', version: '*', resource: 'mappings', verb, namespace: namespace ?? '' },
  };
}
