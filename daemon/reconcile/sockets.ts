/** Keeps the reservations equal to what the grants need. Holding comes first in a set-up, releasing last in a take-down (I2). */
import { BerthError } from '../core/errors.ts';
import type { Ledger } from '../core/ledger.ts';
import type { Grant } from '../core/state.ts';
import type { Reservation } from '../core/vocabulary.ts';
import { reservation } from './fit.ts';
import type { World } from './ports.ts';

/** How soon a number that another process took is tried again, in ms. */
const RETRY_MS = 5_000;

export class Sockets {
  readonly #ledger: Ledger;
  readonly #world: World;
  #checkedVersion = -1;
  #releasedVersion = -1;
  #heldAfterRelease = -1;
  /** Reservations that could not be had at the last try. */
  readonly #lacking = new Set<string>();

  constructor(ledger: Ledger, world: World) {
    this.#ledger = ledger;
    this.#world = world;
  }

  /**
   * Reserves what grants need and is not held. A number that another process took while no agent ran keeps its mapping
   * (I6) and is tried again at `retryAt` (monotonic). `taken`: the grants of which that is so.
   */
  hold(): { readonly retryAt?: number; readonly taken: readonly Grant[] } {
    const { clock, reserver, recorder } = this.#world;
    if (this.#checkedVersion === this.#ledger.version && this.#lacking.size === 0) return { taken: [] };
    const held = new Set(reserver.held().map(keyOf));
    const before = new Set(this.#lacking);
    const taken = new Set<Grant>();
    this.#lacking.clear();
    for (const grant of this.#ledger.grants()) {
      for (const one of reservationsOf(grant)) {
        const key = keyOf(one);
        if (held.has(key)) continue;
        const outcome = reserver.reserve(one);
        if (outcome.kind === 'held') continue;
        this.#lacking.add(key);
        if (outcome.kind === 'taken') taken.add(grant);
        if (before.has(key)) continue;
        if (outcome.kind === 'taken') {
          recorder.record({
            kind: 'conflict',
            reservation: one,
            pod: { namespace: grant.namespace, name: grant.pod, uid: grant.uid },
          });
        } else {
          recorder.record({
            kind: 'failure',
            operation: 'reserve',
            error: new BerthError('SYSCALL_FAILED', outcome.why),
          });
        }
      }
    }
    this.#checkedVersion = this.#ledger.version;
    return { taken: [...taken], ...(this.#lacking.size === 0 ? {} : { retryAt: clock.monotonic() + RETRY_MS }) };
  }

  /** Releases every socket that no grant needs. */
  releaseRest(): void {
    const { reserver } = this.#world;
    const held = reserver.held();
    if (this.#releasedVersion === this.#ledger.version && held.length === this.#heldAfterRelease) return;
    const needed = new Set<string>();
    for (const grant of this.#ledger.grants()) for (const one of reservationsOf(grant)) needed.add(keyOf(one));
    for (const one of held) if (!needed.has(keyOf(one))) reserver.release(one);
    this.#releasedVersion = this.#ledger.version;
    this.#heldAfterRelease = reserver.held().length;
  }
}

function keyOf({ protocol, port, hostIP }: Reservation): string {
  return `${protocol}/${port}/${hostIP ?? ''}`;
}

function* reservationsOf(grant: Grant): Generator<Reservation> {
  for (let port = grant.hostPort; port < grant.hostPort + grant.size; port++) {
    yield reservation(grant.protocol, port, grant.hostIP);
  }
}
