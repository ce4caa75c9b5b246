/** What an account may not do, the agent's unless told otherwise, said once for each verb and resource, with the remedy, and again when it had been allowed. */
import { BerthError, messageOf } from '../core/errors.ts';

export class Forbidden {
  readonly #reported = new Set<string>();
  readonly #onError: (error: BerthError) => void;

  readonly #who: string;
  readonly #otherwise: string;

  /** `otherwise`: how things are without it. */
  constructor(
    onError: (error: BerthError) => void,
    who = 'agent',
    otherwise = 'mappings work without it, but pods are not told',
  ) {
    this.#onError = onError;
    this.#who = who;
    this.#otherwise = otherwise;
  }

  /** `operation`: verb and resource, such as `patch pods/status`. There are few of them. */
  refused(operation: string, error: unknown): void {
    if (this.#reported.has(operation)) return;
    this.#reported.add(operation);
    const remedy = `allow the ${this.#who}'s service account to ${operation} (a rule of its ClusterRole)`;
    const why = `the ${this.#who} may not ${operation}: ${messageOf(error)}; ${remedy}; ${this.#otherwise}`;
    this.#onError(new BerthError('PUBLISH_FAILED', why, { cause: error }));
  }

  allowed(operation: string): void {
    this.#reported.delete(operation);
  }
}
