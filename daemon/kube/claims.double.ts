/** Claims in memory: what each says, who was asked for, and an API server that is away or slow. No timers. */
import { type ClaimStatus, claimKey } from '../core/claim.ts';
import { BerthError } from '../core/errors.ts';
import type { ClaimSource } from '../reconcile/ports.ts';

export class ClaimsDouble implements ClaimSource {
  /** While set, `get` rejects with it. */
  fault: Error | undefined;
  /** While true, `get` does not answer; `answer` lets it. */
  slow = false;
  /** The claims that were asked for, in this order. */
  readonly gets: string[] = [];
  readonly #claims = new Map<string, ClaimStatus>();
  readonly #waiting: (() => void)[] = [];

  async get(namespace: string, claim: string): Promise<ClaimStatus> {
    const key = claimKey(namespace, claim);
    this.gets.push(key);
    if (this.slow) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.fault !== undefined) throw this.fault;
    return this.#claims.get(key) ?? { kind: 'pending', message: 'there is no such HostPortClaim' };
  }

  /** The claim has this number, for TCP and UDP, and moves when the next pod is ready, unless it is said otherwise. */
  bind(
    namespace: string,
    claim: string,
    port: number,
    more: Partial<Extract<ClaimStatus, { kind: 'bound' }>> = {},
  ): void {
    this.#claims.set(claimKey(namespace, claim), {
      kind: 'bound',
      port,
      protocols: ['TCP', 'UDP'],
      handover: 'OnReady',
      ...more,
    });
  }

  /** The claim is there and has no number. */
  unbind(namespace: string, claim: string, message: string): void {
    this.#claims.set(claimKey(namespace, claim), { kind: 'pending', message });
  }

  /** Deleting what is not there is no error. */
  delete(namespace: string, claim: string): void {
    this.#claims.delete(claimKey(namespace, claim));
  }

  fail(message = 'the API server is away'): void {
    this.fault = new BerthError('API_UNREACHABLE', message);
  }

  /** Everybody who waits gets his answer. */
  answer(): void {
    this.slow = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
