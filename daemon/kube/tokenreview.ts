/**
 * Whose a token is: the API server is asked (TokenReview), and answers for this audience alone. A token is kept nowhere: answers
 * are remembered by its digest, a good one for at most a minute and never beyond the token's own end.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { BerthError } from '../core/errors.ts';
import type { Clock } from '../reconcile/ports.ts';
import type { ApiClient } from './api/client.ts';
import { Remembered } from './remembered.ts';

/** As a SubjectAccessReview takes it. */
export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface TokenReviewOptions {
  readonly client: Pick<ApiClient, 'send'>;
  readonly clock: Clock;
  /**
   * Tokens that were made for others are not accepted: whoever gets one could use it there. Undefined: those for the API server
   * itself, which whoever gets one can use as its owner.
   */
  readonly audience: string | undefined;
}

const GOOD_MS = 60_000;
const BAD_MS = 5_000;
/** A token of a service account has about 1 KB, one of an identity provider some. */
const MAX_TOKEN = 16 * 1024;
/** base64url, dots, and what RFC 6750 section 2.1 allows besides. */
const TOKEN = /^[\w.~+/=-]+$/;
const LIMITS = { good: 20_000, bad: 1_000, asking: 256, waiting: 2_048 } as const;

const strings = v.array(v.string());
const ANSWER = v.object({
  status: v.object({
    authenticated: v.optional(v.boolean(), false),
    user: v.optional(
      v.object({
        username: v.optional(v.string(), ''),
        uid: v.optional(v.string(), ''),
        groups: v.nullish(strings, []),
        extra: v.nullish(v.record(v.string(), strings), {}),
      }),
      {},
    ),
    audiences: v.nullish(strings, []),
  }),
});

export class TokenReviewer {
  readonly #options: TokenReviewOptions;
  readonly #answers: Remembered<User | undefined>;

  constructor(options: TokenReviewOptions) {
    this.#options = options;
    this.#answers = new Remembered(options.clock, LIMITS, () => {
      return new BerthError('API_UNREACHABLE', `more than ${LIMITS.waiting} tokens wait to be reviewed: try again`);
    });
  }

  /** Undefined: not a token that counts here. Rejects with API_UNREACHABLE or API_REFUSED when that is not known. */
  async review(token: string): Promise<User | undefined> {
    if (token.length > MAX_TOKEN || !TOKEN.test(token)) return undefined;
    const leftMs = lifeOf(token) - this.#options.clock.now();
    if (leftMs <= 0) return undefined;
    const key = createHash('sha256').update(token).digest('base64');
    return await this.#answers.get(key, async () => {
      const user = await this.#ask(token);
      return { good: user !== undefined, value: user, forMs: user === undefined ? BAD_MS : Math.min(GOOD_MS, leftMs) };
    });
  }

  async #ask(token: string): Promise<User | undefined> {
    const { client, audience } = this.#options;
    const answer = await client.send({
      method: 'POST',
      path: '/apis/authentication.k8s.io/v1/tokenreviews',
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, ...(audience === undefined ? {} : { audiences: [audience] }) },
      },
    });
    const read = v.safeParse(ANSWER, answer);
    // The answer holds the token: no part of it may reach a message.
    if (!read.success) throw new BerthError('API_UNREACHABLE', 'the answer of the API server is no TokenReview');
    const { authenticated, user, audiences } = read.output.status;
    // An authenticator that knows nothing of audiences says yes to every token and names none.
    if (!authenticated || !user.username) return undefined;
    if (audience !== undefined && !audiences?.includes(audience)) return undefined;
    return { name: user.username, uid: user.uid ?? '', groups: user.groups ?? [], extra: user.extra ?? {} };
  }
}

/**
 * When the token says it ends, in ms since the epoch; infinite when it does not say. Nothing is checked here: a token that lies
 * about its end only harms itself.
 */
function lifeOf(token: string): number {
  try {
    const [, payload = ''] = token.split('.');
    const { exp } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1_000 : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
