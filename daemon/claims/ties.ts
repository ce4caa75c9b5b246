/**
 * Which HostPorts claims say they have, asked for many HostPorts that name no claim at once: no claim can be asked for by its name then.
 *
 * An answer decides about a HostPort that is given up only if it was asked for when the HostPort had been seen as it is. It is given up by
 * a write that names that revision, and a claim can become bound only to one that names it: whichever claim has the number had it
 * before this revision, and says so in an answer to whatever was asked later. A list of which it is merely known that it has come
 * since says nothing: it may be from before the claim was bound.
 */
import type { HostPort } from '../core/claims/objects.ts';
import type { ClaimApi } from './ports.ts';
import type { Shelves } from './shelves.ts';

/**
 * In ms. An older answer would be as good, if nobody ever erased a claimRef while its claim was becoming bound; and when there was none
 * the API server is not asked for everything again at once (I10).
 */
const LASTS_MS = 5_000;

type Names = Promise<ReadonlySet<string>>;

interface Answer {
  /** The HostPorts as they had been seen when it was asked for. */
  readonly seen: WeakSet<HostPort>;
  readonly askedAt: number;
  readonly names: Names;
}

export interface TiesOptions {
  readonly api: Pick<ClaimApi, 'claims'>;
  readonly shelves: Shelves;
  readonly monotonic: () => number;
}

export class Ties {
  readonly #options: TiesOptions;
  #last: Answer | undefined;
  #next: Names | undefined;

  constructor(options: TiesOptions) {
    this.#options = options;
  }

  /** The names of HostPorts that claims have, newer than this one, which is on its shelf or was. Rejects when there was no answer. */
  async since(hostPort: HostPort): Names {
    const last = this.#last;
    const isRecent = last !== undefined && this.#options.monotonic() - last.askedAt < LASTS_MS;
    if (isRecent && last.seen.has(hostPort)) return last.names;
    this.#next ??= this.#ask();
    return this.#next;
  }

  /** One at a time: who comes meanwhile waits for the next one, together. */
  async #ask(): Names {
    await this.#last?.names.catch(() => {});
    this.#next = undefined;
    const { shelves, monotonic } = this.#options;
    const seen = new WeakSet(shelves.hostPorts.values());
    const names = this.#list();
    this.#last = { seen, askedAt: monotonic(), names };
    return names;
  }

  async #list(): Names {
    const { api, shelves } = this.#options;
    const claims = await api.claims();
    for (const claim of claims) shelves.claims.put(claim);
    return new Set(claims.map(({ status }) => status.hostPortName));
  }
}
