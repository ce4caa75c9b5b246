/** What the agent's account may not do, said once for each verb and resource, with the remedy, and again when it had been allowed. */
import { BerthError, messageOf } from '../core/errors.ts';

export class Forbidden {
  readonly #reported = new Set<string>();
  readonly #onError: (error: BerthError) => void;

  constructor(onError: (error: BerthError) => void) {
    this.#onError = onError;
  }

  /** `operation`: verb and resource, such as `patch pods/status`. There are few of them. */
  refused(operation: string, error: unknown): void {
    if (this.#reported.has(operation)) return;
    this.#reported.add(operation);
    const remedy = `allow the agent's service account to ${operation} (a rule of its ClusterRole)`;
    const why = `the agent may not ${operation}: ${messageOf(error)}; ${remedy}; mappings work without it, but pods are not told`;
    this.#onError(new BerthError('PUBLISH_FAILED', why, { cause: error }));
  }

  allowed(operation: string): void {
    this.#reported.delete(operation);
  }
}
