/**
 * Tells one observer what is new in the catalog since it was told last: it is the difference of two views, whatever happened
 * in between. It must never tell of a deletion across an epoch, as a file may be missing there without having been removed.
 */
import { isDeepStrictEqual } from 'node:util';
import type { BerthError } from '../core/errors.ts';
import type { Pod } from '../core/vocabulary.ts';
import type { PodObserver } from '../reconcile/ports.ts';
import type { Catalog } from './catalog.ts';

export class Teller {
  readonly #observer: PodObserver;
  #pods: ReadonlyMap<string, Pod> = new Map();
  #epoch = 0;
  #failed: ReadonlySet<string> = new Set();

  constructor(observer: PodObserver) {
    this.#observer = observer;
  }

  /** `relist`: the full list even when the epoch is the same. `trouble`: what is wrong with the directory as a whole. */
  tell(catalog: Catalog, relist: boolean, trouble: BerthError | undefined): void {
    const view = catalog.view();
    const pods = new Map([...view.pods].map(([label, pod]) => [label, this.#known(label, pod)]));
    const sameEpoch = catalog.epoch === this.#epoch;
    if (sameEpoch) this.#tellDeleted(pods);
    if (catalog.listed && (relist || !sameEpoch)) {
      this.#epoch = catalog.epoch;
      this.#observer.listed([...pods.values()]);
    } else {
      for (const [label, pod] of pods) if (this.#pods.get(label) !== pod) this.#observer.changed(pod);
    }
    this.#pods = pods;
    this.#tellFailed(trouble === undefined ? view.problems : new Map([...view.problems, ['', trouble]]));
  }

  /** A pod in which nothing changed stays the object that was told, wherever it was read from. */
  #known(label: string, pod: Pod): Pod {
    const told = this.#pods.get(label);
    return told !== undefined && isDeepStrictEqual(told, pod) ? told : pod;
  }

  #tellDeleted(pods: ReadonlyMap<string, Pod>): void {
    for (const [label, { namespace, name, uid }] of this.#pods) {
      if (pods.get(label)?.uid !== uid) this.#observer.deleted({ namespace, name, uid });
    }
  }

  /** Once for each file (or the directory, whose key is empty), and again when it had been right in between. */
  #tellFailed(problems: ReadonlyMap<string, BerthError>): void {
    for (const [key, error] of problems) if (!this.#failed.has(key)) this.#observer.failed(error);
    this.#failed = new Set(problems.keys());
  }
}
