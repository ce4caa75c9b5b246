/**
 * What goes wrong between the agent and the API server, as one type: either there was no answer that can be used, or the
 * answer was a refusal. Which refusal it was is asked by predicate; what the server wrote is shown, never obeyed.
 */
import { STATUS_CODES } from 'node:http';
import * as v from 'valibot';
import { BerthError, messageOf } from '../../core/errors.ts';
import { printable } from '../../core/text.ts';

const MAX_MESSAGE = 512;
/** A server that asks to be left alone for longer is asked again after so many ms all the same. */
const MAX_RETRY_AFTER = 60_000;

interface Refusal {
  readonly status: number;
  /** `reason` of the Status object, empty when there was none. */
  readonly reason: string;
  /** `details.causes[].reason` of the Status object. */
  readonly causes: readonly string[];
  readonly retryAfterMs: number | undefined;
}

/** API_REFUSED when the server answered, API_UNREACHABLE when it did not. */
export class ApiError extends BerthError {
  readonly refusal: Refusal | undefined;

  constructor(message: string, refusal: Refusal | undefined, options?: { cause?: unknown }) {
    super(refusal === undefined ? 'API_UNREACHABLE' : 'API_REFUSED', message, options);
    this.refusal = refusal;
  }
}

/** A Status object of Kubernetes (meta/v1), as far as it is understood; every field may be missing. */
const STATUS = v.fallback(
  v.object({
    code: v.fallback(v.optional(v.number()), undefined),
    reason: v.fallback(v.optional(v.string(), ''), ''),
    message: v.fallback(v.optional(v.string(), ''), ''),
    details: v.fallback(
      v.optional(
        v.object({
          causes: v.fallback(
            v.optional(v.array(v.object({ reason: v.fallback(v.optional(v.string(), ''), '') })), []),
            [],
          ),
          retryAfterSeconds: v.fallback(v.optional(v.number()), undefined),
        }),
        { causes: [] },
      ),
      { causes: [] },
    ),
  }),
  { code: undefined, reason: '', message: '', details: { causes: [] } },
);

/** `what` names the request and the server; `body` is the answer, as a rule a Status object. */
export function refused(what: string, status: number | undefined, body: unknown, retryAfter?: string): ApiError {
  const { code, reason, message, details } = v.parse(STATUS, body);
  const seconds =
    retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : details.retryAfterSeconds;
  const number = status ?? code ?? 500;
  const said = message || (typeof body === 'string' ? body : '');
  const text = `${what}: the answer is ${number} ${reason || (STATUS_CODES[number] ?? '')}${said === '' ? '' : `: ${said}`}`;
  return new ApiError(printable(text, MAX_MESSAGE), {
    status: number,
    reason,
    causes: details.causes.map((cause) => cause.reason),
    retryAfterMs: seconds === undefined || !(seconds >= 0) ? undefined : Math.min(MAX_RETRY_AFTER, seconds * 1_000),
  });
}

/** No answer, or one that is not what was asked for. */
export function unreachable(what: string, why: string, cause?: unknown): ApiError {
  return new ApiError(printable(`${what}: ${why}`, MAX_MESSAGE), undefined, { cause });
}

/** Whatever was thrown, as an ApiError. */
export function asApiError(what: string, error: unknown): ApiError {
  return error instanceof ApiError ? error : unreachable(what, messageOf(error), error);
}

function statusOf(error: unknown): number | undefined {
  return error instanceof ApiError ? error.refusal?.status : undefined;
}

export function isNotFound(error: unknown): boolean {
  return statusOf(error) === 404;
}

/** The server knows the kind, and there is no such object: of a kind that it does not know it says 404 in plain text. */
export function isObjectMissing(error: unknown): boolean {
  return isNotFound(error) && error instanceof ApiError && error.refusal?.reason === 'NotFound';
}

export function isForbidden(error: unknown): boolean {
  return statusOf(error) === 403;
}

export function isConflict(error: unknown): boolean {
  return statusOf(error) === 409;
}

/** The object itself is refused: the same again would be refused again. */
export function isInvalid(error: unknown): boolean {
  return [400, 413, 422].includes(statusOf(error) ?? 0);
}

/** The revision is no longer kept: everything has to be listed anew. */
export function isExpired(error: unknown): boolean {
  return statusOf(error) === 410;
}

/** This server has not come as far as the revision that was asked for (another one had). */
export function isAhead(error: unknown): boolean {
  return error instanceof ApiError && error.refusal?.causes.includes('ResourceVersionTooLarge') === true;
}

/** Nothing can be created there any more: the namespace is being deleted. */
export function isNamespaceEnding(error: unknown): boolean {
  return error instanceof ApiError && error.refusal?.causes.includes('NamespaceTerminating') === true;
}

/** What the server asked for by Retry-After, in ms. */
export function retryAfterOf(error: unknown): number {
  return (error instanceof ApiError ? error.refusal?.retryAfterMs : undefined) ?? 0;
}
