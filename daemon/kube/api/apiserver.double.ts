/**
 * An API server in memory, as far as the agent uses one: pods are listed, watched, read and patched, Events are created and
 * patched, each answered as the real one does. It has no clock and no connections: who carries the requests is the caller's matter.
 */
import { type Asked, isSelected, type Reply, Resources, refusal } from './resources.double.ts';
import { type Change, Store } from './store.double.ts';

/** What goes wrong with a request. `replyLost`: it is done all the same. */
export type Fault =
  | {
      readonly kind: 'status';
      readonly code: number;
      readonly reason?: string;
      readonly retryAfter?: number;
      readonly causes?: readonly string[];
    }
  | { readonly kind: 'text'; readonly text: string; readonly cut?: boolean }
  | { readonly kind: 'silence' | 'replyLost' | 'refuseConnection' };

/** A line of a watch. */
export interface WatchLine {
  readonly type: Change['type'] | 'BOOKMARK' | 'ERROR';
  readonly object: object;
}

export class ApiServerDouble {
  readonly store = new Store();
  readonly resources = new Resources(this.store);
  readonly #watchers = new Set<(line: WatchLine) => void>();

  answer(asked: Asked): Reply {
    return this.resources.answer(asked);
  }

  /**
   * Says what changed since the revision that is asked for, and from then on whatever changes, until the returned function is
   * called. Undefined: the revision is no longer kept, which is all that was said.
   */
  watch(path: string, query: Asked['query'], say: (line: WatchLine) => void): (() => void) | undefined {
    const from = Number(query.resourceVersion);
    if (from < this.store.compacted) {
      say({ type: 'ERROR', object: refusal(410, 'Expired', 'too old resource version').body });
      return undefined;
    }
    const tell = ({ type, object }: Change) => {
      if (isSelected(object, path, query)) say({ type, object });
    };
    for (const change of this.store.history) if (change.revision > from) tell(change);
    this.store.onChange.add(tell);
    this.#watchers.add(say);
    return () => {
      this.store.onChange.delete(tell);
      this.#watchers.delete(say);
    };
  }

  /** That nothing changed up to now. */
  reminder(): WatchLine {
    return { type: 'BOOKMARK', object: { kind: 'Pod', metadata: { resourceVersion: `${this.store.revision}` } } };
  }

  /** Tells that to everybody who watches. */
  bookmark(): void {
    const line = this.reminder();
    for (const say of [...this.#watchers]) say(line);
  }
}
