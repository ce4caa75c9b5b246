/**
 * The certificate that an aggregator shows, kept good while it runs: signed by the shared authority and made anew before it ends,
 * or read from files whenever they change. What was good stays in use until there is something better.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock, Random } from '../reconcile/ports.ts';
import { type AuthorityStore, type AuthorityTimes, settleAuthority } from './authority.ts';
import { issueServer } from './certificates.ts';
import type { Identity } from './identity.ts';

export interface IdentityKeeperOptions {
  readonly store: AuthorityStore;
  /** DNS names and addresses under which clients reach the aggregator. */
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  /** Now, and with every certificate after that. */
  readonly onIdentity: (identity: Identity) => void;
  /** The authority could not be read, or not be used. It is tried again. */
  readonly onError: (error: Error) => void;
  readonly times?: AuthorityTimes;
}

/** A certificate costs a millisecond: one that was stolen is of use for a week. */
const LIFE_MS = 7 * 86_400_000;
/** How often the authority is looked at: another replica may have turned it, or somebody put another one there. In ms. */
const LOOK_MS = 10 * 60_000;
const RETRY = { first: 1_000, cap: 60_000 } as const;

export class IdentityKeeper implements Disposable {
  readonly #options: IdentityKeeperOptions;
  #current: { readonly signer: string; readonly from: number; readonly to: number } | undefined;
  #failures = 0;
  #cancel: () => void = () => {};
  #ended = false;

  constructor(options: IdentityKeeperOptions) {
    this.#options = options;
  }

  /** Resolves when there was a first certificate, or a first failure. */
  async start(): Promise<void> {
    await this.#look();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { store, clock, random, onError, times } = this.#options;
    try {
      const { signer } = await settleAuthority(store, clock, times);
      if (this.#ended) return;
      this.#renew(signer);
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      if (!this.#ended) onError(error as Error);
    }
    if (this.#ended) return;
    const pause = this.#failures === 0 ? LOOK_MS : Math.min(RETRY.cap, RETRY.first * 2 ** Math.min(this.#failures, 10));
    this.#cancel = clock.after(pause * (0.75 + random() / 4), () => void this.#look());
  }

  /** When another authority signs, or half of the certificate's life is over. */
  #renew(signer: Identity): void {
    const { names, clock, onIdentity } = this.#options;
    const now = clock.now();
    const current = this.#current;
    if (current?.signer === signer.cert && now < (current.from + current.to) / 2) return;
    const issued = issueServer(signer, names, { from: now, to: now + LIFE_MS });
    this.#current = { signer: signer.cert, from: now, to: new X509Certificate(issued.cert).validToDate.getTime() };
    onIdentity(issued);
  }
}
