/** Places that callers share, as a server gives them away: whoever finds none left is refused, and told how many there are. */
import { status } from '@grpc/grpc-js';
import { type Lacking, Share, type ShareLimits } from '../core/share.ts';
import { Refusal } from './refusal.ts';

export class Places {
  readonly #share: Share;
  readonly #says: Readonly<Record<Lacking, string>>;

  /** `says`: what there are so many of, as in `clients can watch at once`. */
  constructor(limits: ShareLimits, says: Readonly<Record<Lacking, string>>) {
    this.#share = new Share(limits);
    this.#says = says;
  }

  /** Returns what gives the place back, which may be called again. Throws a Refusal (RESOURCE_EXHAUSTED). */
  take(key: string | undefined): () => void {
    const lacking = this.#share.lacking(key);
    if (lacking !== undefined) {
      throw new Refusal(status.RESOURCE_EXHAUSTED, `at most ${this.#share.limits[lacking]} ${this.#says[lacking]}`);
    }
    this.#share.add(key);
    let taken = true;
    return () => {
      if (taken) this.#share.add(key, -1);
      taken = false;
    };
  }
}
